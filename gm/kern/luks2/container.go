package luks2

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/anole-os/anole/gm/internal/leave"
)

// File is what a container is in: an *os.File of a regular file or block device.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Seeker
	Sync() error
}

// ErrPassphrase is of one that opens no key slot.
var ErrPassphrase = errors.New("no key slot opens with this passphrase")

// Container is a file with a header. It may be used by one goroutine at a time, and by
// one process: the caller sees to that. After an error of AddKey or RemoveKey it may
// differ from the file: open it again.
type Container struct {
	f       File
	head    binaryHeader
	meta    *metadata
	warning error
}

// Open reads a container's header. The error wraps ErrNoHeader, ErrDamaged or
// ErrUnsupported.
func Open(f File) (*Container, error) {
	head, raw, warning, err := readHeader(f)
	if err != nil {
		return nil, err
	}
	meta, err := parseMetadata(raw, head.size)
	if err != nil {
		return nil, err
	}
	return &Container{f, head, meta, warning}, nil
}

// Warning is of a copy of the header that is of no use, nil where both are well. The next
// change of the header mends it.
func (c *Container) Warning() error { return c.warning }

// Key is the key of a container's volume.
type Key struct {
	bytes   []byte
	digest  string
	segment string
}

// Wipe overwrites it.
func (k *Key) Wipe() { clear(k.bytes) }

// supported says whether what the header asks of all programs is understood here.
func (c *Container) supported() error {
	if r := c.meta.config.Requirements; r != nil && len(r.Mandatory) > 0 {
		return fmt.Errorf("the header requires %q: %w", r.Mandatory, ErrUnsupported)
	}
	return nil
}

// Unlock finds the volume's key by a passphrase: in one slot, or in all where that is
// negative. The error is ErrPassphrase where none opens, and that of ctx when it is done:
// what is being derived then ends by itself.
func (c *Container) Unlock(ctx context.Context, passphrase []byte, slot int) (*Key, error) {
	if err := c.supported(); err != nil {
		return nil, err
	}
	names := c.order(slot)
	if len(names) == 0 && slot >= 0 {
		return nil, fmt.Errorf("there is no key slot %d", slot)
	}
	var failed error
	for _, name := range names {
		key, err := c.unlock(ctx, passphrase, name)
		if err == nil {
			return key, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(err, ErrPassphrase) {
			failed = cmp.Or(failed, fmt.Errorf("key slot %s: %w", name, err))
		}
	}
	return nil, cmp.Or(failed, ErrPassphrase)
}

// order gives the slots to be tried, those of high priority first.
func (c *Container) order(slot int) (names []string) {
	priority := func(name string) int {
		if p := c.meta.parsed[name].Priority; p != nil {
			return *p
		}
		return 1
	}
	for name := range c.meta.parsed {
		if name == strconv.Itoa(slot) || slot < 0 && priority(name) > 0 {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(priority(b)-priority(a), cmp.Compare(a, b)) })
	return names
}

func (c *Container) unlock(ctx context.Context, passphrase []byte, name string) (*Key, error) {
	digest, segment := "", ""
	for n, d := range c.meta.digests {
		if slices.Contains(d.Slots, name) && len(d.Segments) > 0 {
			digest, segment = n, slices.Min(d.Segments)
		}
	}
	if digest == "" {
		return nil, ErrPassphrase // a key of no volume
	}
	key, err := c.openSlot(ctx, passphrase, c.meta.parsed[name])
	if err != nil {
		return nil, err
	}
	d := c.meta.digests[digest]
	is, err := leave.Do(ctx, func() (bool, error) { return d.is(key) })
	if err != nil {
		return nil, err
	}
	if !is {
		return nil, ErrPassphrase
	}
	return &Key{key, digest, segment}, nil
}

func (c *Container) openSlot(ctx context.Context, passphrase []byte, s *Slot) ([]byte, error) {
	h, err := hashNamed(s.AF.Hash)
	if err != nil {
		return nil, err
	}
	// Before the work: PBKDF2 takes the longer the longer its key.
	if err := knows(s.Area.Encryption, s.Area.KeySize); err != nil {
		return nil, err
	}
	secret, err := s.KDF.derive(ctx, passphrase, s.Area.KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	cipher, err := newSectors(s.Area.Encryption, secret)
	if err != nil {
		return nil, err
	}
	b := make([]byte, roundUp(s.KeySize*stripes, slotSector))
	defer clear(b)
	if _, err := c.f.ReadAt(b, int64(s.Area.Offset)); err != nil {
		return nil, fmt.Errorf("read its area: %w", err)
	}
	cryptArea(cipher, b, true)
	return merge(h, b[:s.KeySize*stripes]), nil
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// SlotOptions say how a passphrase is kept. The zero value takes what the room has for
// its own: PBKDF2 with SM3, the area under SM4.
type SlotOptions struct {
	KDF    KDF    // without salt
	Hash   string // that spreads the key: "" is sm3
	Cipher string // of the area: "" is the volume's
}

// AddKey has the volume open with another passphrase, and gives the slot's number. Killed
// meanwhile, the new slot is there or is not. When ctx is done while the passphrase's key is
// derived, nothing was written. The error wraps ErrWeak where o asks for too little work; policy.Default is
// asked.
func (c *Container) AddKey(ctx context.Context, key *Key, passphrase []byte, o SlotOptions) (int, error) {
	if err := c.supported(); err != nil {
		return 0, err
	}
	o.Cipher = cmp.Or(o.Cipher, c.meta.segments[key.segment].Encryption)
	if err := o.Check(); err != nil {
		return 0, err
	}
	s, secret, err := newSlot(ctx, passphrase, len(key.bytes), o)
	if err != nil {
		return 0, err
	}
	defer clear(secret)
	return c.put(key, s, secret)
}

// put writes a new slot into its place.
func (c *Container) put(key *Key, s *Slot, secret []byte) (int, error) {
	name, offset, err := c.meta.free(c.head.size, int64(s.Area.Size))
	if err != nil {
		return 0, err
	}
	s.Area.Offset = number(offset)
	if err := c.writeArea(s, key.bytes, secret); err != nil {
		return 0, err
	}
	raw, err := plainJSON(s)
	if err != nil {
		return 0, err
	}
	c.meta.slots[name], c.meta.parsed[name] = raw, s
	d := c.meta.digests[key.digest]
	d.Slots = append(d.Slots, name)
	n, _ := strconv.Atoi(name)
	return n, c.write()
}

// newSlot makes one without a place, and the key of its area.
func newSlot(ctx context.Context, passphrase []byte, size int, o SlotOptions) (*Slot, []byte, error) {
	o.Hash = cmp.Or(o.Hash, "sm3")
	o.KDF.defaults()
	if err := o.KDF.strong(); err != nil {
		return nil, nil, err
	}
	if err := o.KDF.validate(); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if _, err := hashNamed(o.Hash); err != nil {
		return nil, nil, err
	}
	sizes := keySizes(o.Cipher)
	if sizes == nil {
		return nil, nil, fmt.Errorf("cipher %q: %w: %s and %s are", o.Cipher, ErrUnsupported, SM4XTS, AESXTS)
	}
	o.KDF.Salt = make([]byte, 32)
	if err := noise(o.KDF.Salt); err != nil {
		return nil, nil, err
	}
	secret, err := o.KDF.derive(ctx, passphrase, sizes[0])
	if err != nil {
		return nil, nil, err
	}
	return &Slot{
		Type: "luks2", KeySize: size, AF: AF{"luks1", stripes, o.Hash}, KDF: o.KDF,
		Area: Area{Type: "raw", Size: number(roundUp(size*stripes, align)), Encryption: o.Cipher, KeySize: sizes[0]},
	}, secret, nil
}

// defaults fills in what is not said.
func (k *KDF) defaults() {
	k.Type = cmp.Or(k.Type, "pbkdf2")
	if k.Type == "pbkdf2" {
		k.Hash, k.Iterations = cmp.Or(k.Hash, "sm3"), cmp.Or(k.Iterations, 600_000)
		k.Time, k.Memory, k.CPUs = 0, 0, 0
		return
	}
	k.Hash, k.Iterations = "", 0
	k.Time, k.Memory, k.CPUs = cmp.Or(k.Time, 4), cmp.Or(k.Memory, 256<<10), cmp.Or(k.CPUs, 2)
}

func (c *Container) writeArea(s *Slot, key, secret []byte) error {
	h, err := hashNamed(s.AF.Hash)
	if err != nil {
		return err
	}
	cipher, err := newSectors(s.Area.Encryption, secret)
	if err != nil {
		return err
	}
	b := make([]byte, s.Area.Size)
	defer clear(b)
	spread, err := split(h, key)
	if err != nil {
		return err
	}
	copy(b, spread)
	clear(spread)
	cryptArea(cipher, b, false)
	if _, err := c.f.WriteAt(b, int64(s.Area.Offset)); err != nil {
		return fmt.Errorf("write key slot: %w", err)
	}
	return c.sync()
}

// RemoveKey destroys a slot. The last one, without which nobody opens the volume any
// more, goes only where last is true. Killed meanwhile, the slot opens no more, and may
// be there still: remove it again.
func (c *Container) RemoveKey(slot int, last bool) error {
	if err := c.supported(); err != nil {
		return err
	}
	name := strconv.Itoa(slot)
	s := c.meta.parsed[name]
	if s == nil {
		return fmt.Errorf("there is no key slot %d", slot)
	}
	if len(c.meta.parsed) == 1 && !last {
		return fmt.Errorf("key slot %d is the last one: without it nobody opens the volume any more", slot)
	}
	b := make([]byte, s.Area.Size)
	if err := noise(b); err != nil {
		return err
	}
	if _, err := c.f.WriteAt(b, int64(s.Area.Offset)); err != nil {
		return fmt.Errorf("wipe key slot: %w", err)
	}
	if err := c.sync(); err != nil {
		return err
	}
	delete(c.meta.slots, name)
	delete(c.meta.parsed, name)
	for _, d := range c.meta.digests {
		d.Slots = slices.DeleteFunc(d.Slots, func(s string) bool { return s == name })
	}
	for id, raw := range c.meta.tokens {
		t, err := without(raw, name)
		if err != nil {
			return err
		}
		c.meta.tokens[id] = t
	}
	return c.write()
}

// without takes a slot out of a token's list.
func without(raw json.RawMessage, slot string) (json.RawMessage, error) {
	var t map[string]json.RawMessage
	var slots []string
	if err := json.Unmarshal(raw, &t); err != nil || json.Unmarshal(t["keyslots"], &slots) != nil || !slices.Contains(slots, slot) {
		return raw, nil //nolint:nilerr // a token of no slots is left alone
	}
	list, err := plainJSON(slices.DeleteFunc(slots, func(s string) bool { return s == slot }))
	if err != nil {
		return nil, err
	}
	t["keyslots"] = list
	return plainJSON(t)
}

func (c *Container) sync() error {
	if err := c.f.Sync(); err != nil {
		return fmt.Errorf("have the disk write: %w", err)
	}
	return nil
}

// write writes both copies of the header, one after the other.
func (c *Container) write() error {
	meta, err := c.meta.encode()
	if err != nil {
		return err
	}
	c.head.seq++
	for _, at := range []int64{0, c.head.size} {
		b, err := c.head.encode(meta, at)
		if err != nil {
			return err
		}
		if _, err := c.f.WriteAt(b, at); err != nil {
			return fmt.Errorf("write header: %w", err)
		}
		if err := c.sync(); err != nil {
			return err
		}
	}
	c.warning = nil
	return nil
}
