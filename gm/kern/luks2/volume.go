package luks2

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/anole-os/anole/gm/policy"
)

// Volume is a container's content in the clear. Reads may go on side by side; a write is
// alone with its sectors as far as this process goes.
type Volume struct {
	f      File
	cipher sectors
	offset int64
	fixed  int64 // bytes, where the segment is not to the end
	sector int64
	tweak  uint64
	mu     sync.RWMutex
}

// Volume gives the content of a container whose key is known, if policy.Default lets what
// it is under be read and written.
func (c *Container) Volume(key *Key) (*Volume, error) {
	if len(c.meta.segments) != 1 {
		return nil, fmt.Errorf("a volume of %d segments: %w", len(c.meta.segments), ErrUnsupported)
	}
	s := c.meta.segments[key.segment]
	switch {
	case s == nil || s.Type != "crypt":
		return nil, fmt.Errorf("a volume that is no crypt segment: %w", ErrUnsupported)
	case len(s.Integrity) > 0:
		return nil, fmt.Errorf("a volume with integrity: %w", ErrUnsupported)
	case !slices.Contains([]int{512, 1024, 2048, 4096}, s.SectorSize):
		return nil, fmt.Errorf("sectors of %d bytes: %w", s.SectorSize, ErrUnsupported)
	}
	for _, op := range []policy.Op{policy.Decrypt, policy.Encrypt} {
		if err := cipherAllowed(op, s.Encryption, len(key.bytes)); err != nil {
			return nil, err
		}
	}
	cipher, err := newSectors(s.Encryption, key.bytes)
	if err != nil {
		return nil, err
	}
	v := &Volume{f: c.f, cipher: cipher, offset: int64(s.Offset), sector: int64(s.SectorSize), tweak: uint64(s.IVTweak), fixed: -1}
	if s.Size != "dynamic" {
		if v.fixed, err = s.length(0); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// Size is in bytes, of whole sectors.
func (v *Volume) Size() (int64, error) {
	end, err := v.f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, fmt.Errorf("measure: %w", err)
	}
	n := max(0, end-v.offset)
	if v.fixed >= 0 {
		n = min(n, v.fixed)
	}
	return n / v.sector * v.sector, nil
}

// crypt works on whole sectors from an offset on. dm-crypt counts in 512 bytes, however
// large a sector is.
func (v *Volume) crypt(b []byte, at int64, back bool) {
	do := v.cipher.encrypt
	if back {
		do = v.cipher.decrypt
	}
	do(b, int(v.sector), uint64(at)/512+v.tweak, uint64(v.sector)/512)
}

// piece bounds what is read or written in one go.
const piece = 1 << 20

var pieces = sync.Pool{New: func() any { b := make([]byte, piece); return &b }}

var errOffset = errors.New("negative offset")

// span is what of whole sectors is worked on in one go for n bytes at an offset: where it
// begins, how far behind that the bytes do, and its length.
func (v *Volume) span(at int64, n int) (from int64, skip, length int) {
	from = at / v.sector * v.sector
	skip = int(at - from)
	return from, skip, min(piece, roundUp(skip+n, int(v.sector)))
}

// ReadAt implements io.ReaderAt.
func (v *Volume) ReadAt(b []byte, at int64) (n int, err error) {
	size, err := v.Size()
	if err != nil {
		return 0, err
	}
	if at < 0 {
		return 0, errOffset
	}
	short := at >= size || int64(len(b)) > size-at
	if short {
		b = b[:max(0, min(int64(len(b)), size-at))]
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	room := pieces.Get().(*[]byte)
	defer v.done(room)
	for n < len(b) {
		from, skip, length := v.span(at+int64(n), len(b)-n)
		part := (*room)[:length]
		if err := v.load(part, from); err != nil {
			return n, err
		}
		n += copy(b[n:], part[skip:])
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

// done gives room back without what it had of the volume.
func (v *Volume) done(room *[]byte) {
	clear(*room)
	pieces.Put(room)
}

func (v *Volume) load(part []byte, from int64) error {
	if _, err := v.f.ReadAt(part, v.offset+from); err != nil {
		return fmt.Errorf("read volume: %w", err)
	}
	v.crypt(part, from, true)
	return nil
}

// WriteAt implements io.WriterAt. What does not fit into the volume is an error before
// anything is written; a part of a sector is read first.
func (v *Volume) WriteAt(b []byte, at int64) (n int, err error) {
	size, err := v.Size()
	if err != nil {
		return 0, err
	}
	if at < 0 {
		return 0, errOffset
	}
	if at > size || int64(len(b)) > size-at {
		return 0, fmt.Errorf("write volume: %d bytes at %d do not fit into its %d: %w", len(b), at, size, io.ErrShortWrite)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	room := pieces.Get().(*[]byte)
	defer v.done(room)
	for n < len(b) {
		from, skip, length := v.span(at+int64(n), len(b)-n)
		part := (*room)[:length]
		take := min(len(b)-n, length-skip)
		if skip > 0 || take < length {
			if err := v.edges(part, from, skip, take); err != nil {
				return n, err
			}
		}
		copy(part[skip:], b[n:n+take])
		v.crypt(part, from, false)
		if _, err := v.f.WriteAt(part, v.offset+from); err != nil {
			return n, fmt.Errorf("write volume: %w", err)
		}
		n += take
	}
	return n, nil
}

// edges reads the first and the last sector, of which parts stay.
func (v *Volume) edges(part []byte, from int64, skip, take int) error {
	n := int(v.sector)
	if skip > 0 {
		if err := v.load(part[:n], from); err != nil {
			return err
		}
	}
	last := len(part) - n
	if skip+take < len(part) && (last > 0 || skip == 0) {
		return v.load(part[last:], from+int64(last))
	}
	return nil
}

// Sync has what was written be on the disk.
func (v *Volume) Sync() error { return v.f.Sync() }
