package sm2

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	"github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/sm3"
)

// Errors of encryption. ErrDecrypt is of every ciphertext that is refused, whatever is
// wrong with it: who could tell one reason from another would have an oracle.
var (
	ErrDecrypt = errors.New("sm2: decryption failed")
	errEmpty   = errors.New("sm2: an empty message is not encrypted: the standard gives it no ciphertext")
	errLong    = errors.New("sm2: a message to encrypt has at most 2^30 bytes; encrypt a key of SM4 instead")
	errOrder   = errors.New("sm2: no such order of a ciphertext's parts, want C1C3C2, C1C2C3 or ASN1")
)

// longest is how many bytes a message has at most: far from where the 32-bit counter of
// the key derivation ends, and from where a 32-bit int does.
const longest = 1 << 30

// Order is how a ciphertext's parts are put together: the point C1, as long as the message
// C2, and the hash C3 of 32 bytes. As opts of Decrypter.Decrypt it says what is read.
type Order int

// The orders. C1 is written as 04 x y; where it is read, it may be compressed (02, 03) and
// hybrid (06, 07) too.
const (
	C1C3C2 Order = iota // GB/T 32918.4-2016
	C1C2C3              // of what was before it, and of programs that stayed with that
	ASN1                // DER of SEQUENCE { x, y INTEGER, C3, C2 OCTET STRING }: GM/T 0009-2012, 7.2
)

// String is its name.
func (o Order) String() string {
	if o < C1C3C2 || o > ASN1 {
		return fmt.Sprintf("Order(%d)", int(o))
	}
	return [...]string{"C1C3C2", "C1C2C3", "ASN1"}[o]
}

// draws bounds how many scalars are drawn for one encryption. One in 2^32 is none; and one
// in 256 encrypts a message of one byte with a key of zeros, and is drawn again.
const draws = 128

// Encrypt encrypts a message, of 1 byte to 1 GiB, for who has the key of pub: GB/T
// 32918.4-2016, 6.1. The errors are of a public key that is none, of a message that cannot
// be encrypted, and random's, which is crypto/rand's where it is nil.
func Encrypt(random io.Reader, pub *PublicKey, msg []byte, order Order) ([]byte, error) {
	if _, _, ok := coordinates(pub); !ok {
		return nil, errPublic
	}
	switch {
	case len(msg) == 0:
		return nil, errEmpty
	case len(msg) > longest:
		return nil, errLong
	}
	var opts *sm2.EncrypterOpts
	switch order {
	case C1C3C2:
		opts = sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C3C2)
	case C1C2C3:
		opts = sm2.NewPlainEncrypterOpts(sm2.MarshalUncompressed, sm2.C1C2C3)
	case ASN1:
		opts = sm2.ASN1EncrypterOpts
	default:
		return nil, errOrder
	}
	if random == nil {
		random = rand.Reader
	}
	var k [32]byte
	defer clear(k[:])
	for range draws {
		if _, err := io.ReadFull(random, k[:]); err != nil {
			return nil, fmt.Errorf("read random bytes: %w", err)
		}
		if w := wordsOf(k[:]); !inRange(&w) {
			continue
		}
		// gmsm's is given one scalar and no other: where it draws again, it goes on from
		// a public key that it has multiplied, and nobody can read what comes of it.
		out, err := sm2.Encrypt(bytes.NewReader(k[:]), pub, msg, opts)
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("encrypt: %w", err)
		}
	}
	return nil, errNonces
}

// Decrypt decrypts what was encrypted for a key: GB/T 32918.4-2016, 7.1. The error is
// ErrDecrypt, or of a private key or an order that is none.
func Decrypt(key *PrivateKey, ciphertext []byte, order Order) ([]byte, error) {
	if !isPrivateKey(key) {
		return nil, errKey
	}
	c, ok, err := parted(ciphertext, order)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, ErrDecrypt
	}
	// gmsm's checks that the point is on the curve, that the derived key is not all
	// zeros, and the hash, in constant time.
	msg, err := key.Decrypt(nil, c, sm2.NewPlainDecrypterOpts(sm2.C1C3C2))
	if err != nil {
		return nil, ErrDecrypt
	}
	return msg, nil
}

// isPrivateKey says whether a key's scalar is in [1, n-2] and its point one of the curve.
func isPrivateKey(key *PrivateKey) bool {
	if key == nil || key.D == nil || key.D.Sign() <= 0 || key.D.BitLen() > 256 {
		return false
	}
	if _, _, ok := coordinates(&key.PublicKey); !ok {
		return false
	}
	var b [32]byte
	d := wordsOf(key.D.FillBytes(b[:]))
	next := addOrder(&d, &words{1})
	ok := inRange(&d) && !isZero(&next)
	clear(b[:])
	clear(d[:])
	return ok
}

// Decrypter decrypts with one key. It implements crypto.Decrypter.
type Decrypter struct{ key *PrivateKey }

// NewDecrypter makes one. Of a key that is none, each decryption fails.
func NewDecrypter(key *PrivateKey) *Decrypter { return &Decrypter{key} }

// Public implements crypto.Decrypter: a *PublicKey, nil of no key.
func (d *Decrypter) Public() crypto.PublicKey {
	if d.key == nil {
		return (*PublicKey)(nil)
	}
	return &d.key.PublicKey
}

// Decrypt implements crypto.Decrypter, as the function of that name does it; random is
// not read. opts are an Order. Without any, as with gmsm's, what begins as a SEQUENCE is
// read as ASN1, and else as opts say, or as C1C3C2.
func (d *Decrypter) Decrypt(_ io.Reader, ciphertext []byte, opts crypto.DecrypterOpts) ([]byte, error) {
	order := C1C3C2
	switch o := opts.(type) {
	case nil:
	case Order:
		return Decrypt(d.key, ciphertext, o)
	case *sm2.DecrypterOpts:
		if o != nil && *o == *sm2.NewPlainDecrypterOpts(sm2.C1C2C3) {
			order = C1C2C3
		}
	default:
		return nil, errOrder
	}
	if len(ciphertext) > 0 && ciphertext[0] == 0x30 {
		order = ASN1
	}
	return Decrypt(d.key, ciphertext, order)
}

var _ crypto.Decrypter = (*Decrypter)(nil)

// hashSize is of C3.
const hashSize = sm3.Size
