package ima

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is a label's first byte: enum evm_ima_xattr_type of Linux.
type Type uint8

// Types of labels. Of those that are not here (1 is a SHA-1, 6 is of fs-verity) Parse
// says that they are unsupported; 2 it knows by name alone, since only the kernel has the
// key.
const (
	TypeHMAC      Type = 2
	TypeSignature Type = 3
	TypeDigest    Type = 4
	TypePortable  Type = 5 // of security.evm, not bound to an inode
)

const (
	headerVersion = 2
	headerSize    = 9 // type, version, hash, key id, length
)

// MaxLabel bounds a label's length in bytes. RSA with 16384 bits takes half of it.
const MaxLabel = 4096

// What is wrong with a label. They are found by errors.Is.
var (
	ErrUnlabelled = errors.New("no label")
	ErrMalformed  = errors.New("malformed label")
	ErrAlgo       = errors.New("unsupported kind of label")
	ErrUnsigned   = errors.New("the label is a digest and not a signature")
	ErrUnknownKey = errors.New("signed with a key that is not known")
	ErrMismatch   = errors.New("the label is not of this content")
)

// Label is what a file is known by.
type Label struct {
	Type      Type
	Algo      Algo
	KeyID     uint32 // of signatures
	Signature []byte // of signatures
	Digest    []byte // where Type is TypeDigest
}

// Parse reads a label, which keeps parts of b. The error wraps ErrMalformed or ErrAlgo.
func Parse(b []byte) (Label, error) {
	if len(b) == 0 || len(b) > MaxLabel {
		return Label{}, fmt.Errorf("%w: %d bytes, which must be 1 to %d", ErrMalformed, len(b), MaxLabel)
	}
	switch l := (Label{Type: Type(b[0])}); l.Type {
	case TypeSignature, TypePortable:
		return l.signature(b)
	case TypeDigest:
		if len(b) < 2 {
			return Label{}, fmt.Errorf("%w: a digest without its hash's number", ErrMalformed)
		}
		l.Algo, l.Digest = Algo(b[1]), b[2:]
		if !l.Algo.Known() {
			return Label{}, fmt.Errorf("%w: %v", ErrAlgo, l.Algo)
		}
		if len(l.Digest) != l.Algo.Size() {
			return Label{}, fmt.Errorf("%w: a digest of %d bytes, %v has %d", ErrMalformed, len(l.Digest), l.Algo, l.Algo.Size())
		}
		return l, nil
	case TypeHMAC:
		return Label{}, fmt.Errorf("%w: an HMAC, whose key is the kernel's", ErrAlgo)
	default:
		return Label{}, fmt.Errorf("%w: type %d", ErrAlgo, b[0])
	}
}

// signature reads struct signature_v2_hdr of security/integrity/integrity.h.
func (l Label) signature(b []byte) (Label, error) {
	if len(b) < headerSize {
		return Label{}, fmt.Errorf("%w: %d bytes of a header of %d", ErrMalformed, len(b), headerSize)
	}
	if b[1] != headerVersion {
		return Label{}, fmt.Errorf("%w: version %d of the header", ErrAlgo, b[1])
	}
	l.Algo, l.KeyID, l.Signature = Algo(b[2]), binary.BigEndian.Uint32(b[3:]), b[headerSize:]
	if n := int(binary.BigEndian.Uint16(b[7:])); n == 0 || n != len(l.Signature) {
		return Label{}, fmt.Errorf("%w: a signature of %d bytes where the header says %d", ErrMalformed, len(l.Signature), n)
	}
	if !l.Algo.Known() {
		return Label{}, fmt.Errorf("%w: %v", ErrAlgo, l.Algo)
	}
	return l, nil
}

// Bytes is the label as a file carries it.
func (l Label) Bytes() []byte {
	if l.Type == TypeDigest {
		return append([]byte{byte(l.Type), byte(l.Algo)}, l.Digest...)
	}
	b := binary.BigEndian.AppendUint32([]byte{byte(l.Type), headerVersion, byte(l.Algo)}, l.KeyID)
	b = binary.BigEndian.AppendUint16(b, uint16(len(l.Signature)))
	return append(b, l.Signature...)
}

// DigestLabel is the label that has a digest and no signature.
func DigestLabel(a Algo, digest []byte) Label {
	return Label{Type: TypeDigest, Algo: a, Digest: digest}
}
