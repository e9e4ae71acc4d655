package luks2

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Options are of Format. The zero value makes sm4-xts-plain64 with SM3, sectors of 4096
// bytes and the volume from 16 MiB on.
type Options struct {
	Cipher     string // "" is SM4XTS
	KeySize    int    // bytes; 0 is the cipher's usual one
	SectorSize int    // 512, 1024, 2048 or 4096
	Hash       string // of the digest: "" is sm3
	DataOffset int64  // bytes, a multiple of 1 MiB
	Label      string
	Subsystem  string
	UUID       string // "" is a new one
	Slot       SlotOptions
}

const headerSize = 16 << 10

// digestRounds are for a key that is random, which needs no slow hash.
const digestRounds = 1000

// Draft is a container that is in no file yet: all that takes long is done.
type Draft struct {
	c      *Container
	key    *Key
	slot   *Slot
	secret []byte // the key of the slot's area
}

// Format is Prepare and Write: it writes a header with one key slot, and gives the volume's
// new key.
func Format(ctx context.Context, f File, passphrase []byte, o Options) (*Container, *Key, error) {
	d, err := Prepare(ctx, passphrase, o)
	if err != nil {
		return nil, nil, err
	}
	return d.Write(f)
}

// Write writes the header, and gives the volume's new key. What the volume had is then
// noise. The caller makes the file large enough, and asks before. It is called once.
func (d *Draft) Write(f File) (*Container, *Key, error) {
	defer clear(d.secret)
	d.c.f = f
	if err := wipe(f); err != nil {
		return nil, nil, err
	}
	if _, err := d.c.put(d.key, d.slot, d.secret); err != nil {
		return nil, nil, err
	}
	return d.c, d.key, nil
}

// Prepare makes a header with one key slot, and touches no file. When ctx is done it leaves
// off, and what is being derived ends by itself. The error wraps ErrWeak where the slot's
// options ask for too little work; policy.Default is asked about all that it is made with.
func Prepare(ctx context.Context, passphrase []byte, o Options) (*Draft, error) {
	o.Cipher, o.Hash = cmp.Or(o.Cipher, SM4XTS), cmp.Or(o.Hash, "sm3")
	o.SectorSize, o.DataOffset = cmp.Or(o.SectorSize, 4096), cmp.Or(o.DataOffset, 16<<20)
	known := keySizes(o.Cipher)
	if known == nil {
		return nil, fmt.Errorf("cipher %q: %w: %s and %s are", o.Cipher, ErrUnsupported, SM4XTS, AESXTS)
	}
	switch o.KeySize = cmp.Or(o.KeySize, known[0]); {
	case !slices.Contains(known, o.KeySize):
		return nil, fmt.Errorf("cipher %q: %w: a key of %d bytes", o.Cipher, ErrUnsupported, o.KeySize)
	case !slices.Contains([]int{512, 1024, 2048, 4096}, o.SectorSize):
		return nil, fmt.Errorf("sectors of %d bytes: %w", o.SectorSize, ErrUnsupported)
	case o.DataOffset < 1<<20 || o.DataOffset%(1<<20) != 0 || o.DataOffset > 128<<20:
		return nil, fmt.Errorf("a volume from byte %d on: it must be a multiple of 1 MiB, up to 128", o.DataOffset)
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	key := &Key{make([]byte, o.KeySize), "0", "0"}
	if err := noise(key.bytes); err != nil {
		return nil, err
	}
	if o.UUID == "" {
		var err error
		if o.UUID, err = newUUID(); err != nil {
			return nil, err
		}
	}
	d, err := newDigest(o.Hash, key.bytes)
	if err != nil {
		return nil, err
	}
	c := &Container{
		head: binaryHeader{headerSize, 0, o.Label, "sha256", o.UUID, o.Subsystem},
		meta: &metadata{
			raw: map[string]json.RawMessage{}, slots: map[string]json.RawMessage{}, parsed: map[string]*Slot{}, tokens: map[string]json.RawMessage{},
			segments: map[string]*Segment{"0": {Type: "crypt", Offset: number(o.DataOffset), Size: "dynamic", Encryption: o.Cipher, SectorSize: o.SectorSize}},
			digests:  map[string]*Digest{"0": d},
			config:   Config{JSONSize: headerSize - binarySize, SlotsSize: number(o.DataOffset - 2*headerSize)},
		},
	}
	if _, err := c.head.encode(nil, 0); err != nil { // what is too long
		return nil, err
	}
	o.Slot.Cipher = cmp.Or(o.Slot.Cipher, o.Cipher)
	s, secret, err := newSlot(ctx, passphrase, len(key.bytes), o.Slot)
	if err != nil {
		return nil, err
	}
	return &Draft{c, key, s, secret}, nil
}

func newDigest(name string, key []byte) (*Digest, error) {
	h, err := hashNamed(name)
	if err != nil {
		return nil, err
	}
	d := &Digest{Type: "pbkdf2", Slots: []string{}, Segments: []string{"0"}, Hash: name, Iterations: digestRounds, Salt: make([]byte, 32)}
	if err := noise(d.Salt); err != nil {
		return nil, err
	}
	d.Digest, err = pbkdf2Key(h, key, d.Salt, d.Iterations, h().Size())
	return d, err
}

// wipe removes copies of earlier headers, which may be at places of other sizes.
func wipe(f File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	zero := make([]byte, binarySize)
	for _, at := range append([]int64{0}, sizes...) {
		if at+int64(len(zero)) > size {
			break
		}
		if _, err := f.WriteAt(zero, at); err != nil {
			return fmt.Errorf("wipe old header: %w", err)
		}
	}
	return nil
}

// newUUID is random, RFC 9562.
func newUUID() (string, error) {
	var b [16]byte
	if err := noise(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:], nil
}
