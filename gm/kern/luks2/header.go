package luks2

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/anole-os/anole/gm/sm3"
)

// binarySize is of a copy's first part, before the JSON.
const binarySize = 4096

// sizes are what a copy of the header may have, clause 2.1.
var sizes = []int64{16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20, 2 << 20, 4 << 20}

const (
	magicFirst  = "LUKS\xba\xbe"
	magicSecond = "SKUL\xba\xbe"
	checksumAt  = 448
)

// What Open says of a file. They are found by errors.Is.
var (
	ErrNoHeader    = errors.New("no header of LUKS2")
	ErrDamaged     = errors.New("damaged header")
	ErrUnsupported = errors.New("not supported here")
)

// hashes are those that headers name.
var hashes = map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sm3": sm3.New}

func hashNamed(name string) (func() hash.Hash, error) {
	if h, ok := hashes[name]; ok {
		return h, nil
	}
	return nil, fmt.Errorf("hash %q: %w: sm3, sha256 and sha512 are", name, ErrUnsupported)
}

// binaryHeader is struct luks2_hdr_disk, clause 2.1; what is not here is derived.
type binaryHeader struct {
	size      int64
	seq       uint64
	label     string
	checksum  string // the hash's name
	uuid      string
	subsystem string
}

func text(b []byte) string {
	before, _, _ := bytes.Cut(b, []byte{0})
	return string(before)
}

// readCopy reads the copy at an offset, which is of the first where that is 0. The error
// wraps ErrNoHeader where there is none, ErrDamaged where it cannot be used.
func readCopy(f io.ReaderAt, at int64) (h binaryHeader, meta []byte, err error) {
	b := make([]byte, binarySize)
	if _, err := f.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			return h, nil, ErrNoHeader
		}
		return h, nil, fmt.Errorf("read header: %w", err)
	}
	magic := magicFirst
	if at > 0 {
		magic = magicSecond
	}
	if string(b[:6]) != magic {
		return h, nil, ErrNoHeader
	}
	if v := binary.BigEndian.Uint16(b[6:]); v != 2 {
		return h, nil, fmt.Errorf("%w: version %d of LUKS, 2 is", ErrUnsupported, v)
	}
	size, offset := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[256:])
	if size > 4<<20 || !slices.Contains(sizes, int64(size)) {
		return h, nil, fmt.Errorf("%w: a size of %d bytes, which none can have", ErrDamaged, size)
	}
	if offset != uint64(at) || at > 0 && size != offset {
		return h, nil, fmt.Errorf("%w: it says it is at %d, and is at %d", ErrDamaged, offset, at)
	}
	h = binaryHeader{int64(size), binary.BigEndian.Uint64(b[16:]), text(b[24:72]), text(b[72:104]), text(b[168:208]), text(b[208:256])}
	b = append(b, make([]byte, size-binarySize)...)
	if _, err := f.ReadAt(b[binarySize:], at+binarySize); err != nil {
		return h, nil, fmt.Errorf("%w: read the metadata: %w", ErrDamaged, err)
	}
	if err := verifySum(h.checksum, b); err != nil {
		return h, nil, err
	}
	meta, _, ended := bytes.Cut(b[binarySize:], []byte{0})
	if !ended {
		return h, nil, fmt.Errorf("%w: the metadata has no end", ErrDamaged)
	}
	return h, meta, nil
}

func verifySum(name string, b []byte) error {
	sum, err := hashNamed(name)
	if err != nil {
		return fmt.Errorf("%w: checksum: %w", ErrDamaged, err)
	}
	h := sum()
	var want [64]byte
	copy(want[:], b[checksumAt:])
	clear(b[checksumAt : checksumAt+len(want)])
	h.Write(b)
	if subtle.ConstantTimeCompare(h.Sum(nil), want[:h.Size()]) != 1 {
		return fmt.Errorf("%w: the checksum is of something else", ErrDamaged)
	}
	return nil
}

// encode makes a copy for an offset.
func (h *binaryHeader) encode(meta []byte, at int64) ([]byte, error) {
	if int64(len(meta)) >= h.size-binarySize {
		return nil, fmt.Errorf("the metadata takes %d bytes, there is room for %d", len(meta), h.size-binarySize-1)
	}
	sum, err := hashNamed(h.checksum)
	if err != nil {
		return nil, err
	}
	b := make([]byte, h.size)
	copy(b, magicFirst)
	if at > 0 {
		copy(b, magicSecond)
	}
	binary.BigEndian.PutUint16(b[6:], 2)
	binary.BigEndian.PutUint64(b[8:], uint64(h.size))
	binary.BigEndian.PutUint64(b[16:], h.seq)
	for _, f := range []struct {
		name, value string
		room        []byte
	}{{"label", h.label, b[24:72]}, {"checksum", h.checksum, b[72:104]}, {"uuid", h.uuid, b[168:208]}, {"subsystem", h.subsystem, b[208:256]}} {
		if len(f.value) >= len(f.room) {
			return nil, fmt.Errorf("%s %q is too long: %d bytes at most", f.name, f.value, len(f.room)-1)
		}
		copy(f.room, f.value)
	}
	if err := noise(b[104:168]); err != nil { // the salt, so that no two copies are alike
		return nil, err
	}
	binary.BigEndian.PutUint64(b[256:], uint64(at))
	copy(b[binarySize:], meta)
	s := sum()
	s.Write(b)
	copy(b[checksumAt:checksumAt+64], s.Sum(nil))
	return b, nil
}

// readHeader takes the better one of both copies. The warning, if any, is of the other.
func readHeader(f io.ReaderAt) (h binaryHeader, meta []byte, warning, err error) {
	first, firstMeta, err1 := readCopy(f, 0)
	if errors.Is(err1, ErrUnsupported) && !errors.Is(err1, ErrDamaged) {
		return h, nil, nil, err1
	}
	second, secondMeta, err2 := binaryHeader{}, []byte(nil), ErrNoHeader
	if err1 == nil {
		second, secondMeta, err2 = readCopy(f, first.size)
	} else {
		for _, at := range sizes {
			if second, secondMeta, err2 = readCopy(f, at); !errors.Is(err2, ErrNoHeader) {
				break
			}
		}
	}
	switch {
	case err1 != nil && err2 != nil:
		if errors.Is(err1, ErrNoHeader) && errors.Is(err2, ErrNoHeader) {
			return h, nil, nil, ErrNoHeader
		}
		return h, nil, nil, fmt.Errorf("both copies of the header are of no use: the first: %w; the second: %w", err1, err2)
	case err1 != nil:
		return second, secondMeta, fmt.Errorf("the first copy of the header is of no use and the second is taken: %w", err1), nil
	case err2 != nil:
		return first, firstMeta, fmt.Errorf("the second copy of the header is of no use: %w", err2), nil
	case second.seq > first.seq:
		return second, secondMeta, errors.New("the first copy of the header is older than the second, which is taken"), nil
	case second.seq < first.seq:
		return first, firstMeta, errors.New("the second copy of the header is older than the first"), nil
	}
	return first, firstMeta, nil, nil
}
