package luks2

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
)

// Bounds of what a foreign header may ask for.
const (
	maxSlots   = 32
	maxKey     = 512 // bytes
	stripes    = 4000
	maxMemory  = 4 << 20 // KiB, for Argon2
	maxCPUs    = 4
	maxRounds  = 100_000_000 // of PBKDF2 in a key slot: about a minute, where others take two seconds
	maxDigests = 10_000_000  // of PBKDF2 in a digest, for which others take an eighth of a second
	maxArgon   = 1 << 16     // passes
	maxWork    = 1 << 27     // passes times KiB, for Argon2: 64 passes over 2 GiB
	maxSalt    = 512
	maxDigest  = 64
	align      = 4096
	slotSector = 512
)

// number is an integer of 64 bits, which the format has as a string of digits.
type number uint64

// MarshalText implements encoding.TextMarshaler.
func (n number) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(n), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *number) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 10, 63)
	*n = number(v)
	return err
}

// AF is how a slot's key is spread, so that it can be destroyed: clause 3.2.2.
type AF struct {
	Type    string `json:"type"`
	Stripes int    `json:"stripes"`
	Hash    string `json:"hash"`
}

// Area is where a slot's spread key is, under the key of the passphrase.
type Area struct {
	Type       string `json:"type"`
	Offset     number `json:"offset"`
	Size       number `json:"size"`
	Encryption string `json:"encryption,omitempty"`
	KeySize    int    `json:"key_size,omitempty"`
}

// KDF makes a key of a passphrase: pbkdf2 with a hash and iterations, or argon2i and
// argon2id with passes (time), memory in KiB and threads (cpus).
type KDF struct {
	Type       string `json:"type"`
	Hash       string `json:"hash,omitempty"`
	Iterations int    `json:"iterations,omitempty"`
	Time       int    `json:"time,omitempty"`
	Memory     int    `json:"memory,omitempty"`
	CPUs       int    `json:"cpus,omitempty"`
	Salt       []byte `json:"salt"`
}

// Slot is a key slot, clause 3.2.
type Slot struct {
	Type     string `json:"type"`
	KeySize  int    `json:"key_size"`
	Priority *int   `json:"priority,omitempty"` // 0 ignore, 1 normal, 2 first
	AF       AF     `json:"af"`
	Area     Area   `json:"area"`
	KDF      KDF    `json:"kdf"`
}

// Segment is a part of the volume, clause 3.3.
type Segment struct {
	Type       string          `json:"type"`
	Offset     number          `json:"offset"`
	Size       string          `json:"size"` // digits, or "dynamic": to the end
	IVTweak    number          `json:"iv_tweak"`
	Encryption string          `json:"encryption"`
	SectorSize int             `json:"sector_size"`
	Integrity  json.RawMessage `json:"integrity,omitempty"`
	Flags      []string        `json:"flags,omitempty"`
}

// Digest tells whether a key is the right one, clause 3.4.
type Digest struct {
	Type       string   `json:"type"`
	Slots      []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations int      `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

// Config is clause 3.6.
type Config struct {
	JSONSize     number   `json:"json_size"`
	SlotsSize    number   `json:"keyslots_size"`
	Flags        []string `json:"flags,omitempty"`
	Requirements *struct {
		Mandatory []string `json:"mandatory"`
	} `json:"requirements,omitempty"`
}

// metadata is the JSON. What is not changed here is written as it was read.
type metadata struct {
	raw      map[string]json.RawMessage
	slots    map[string]json.RawMessage
	parsed   map[string]*Slot // those that are of type luks2
	segments map[string]*Segment
	digests  map[string]*Digest
	tokens   map[string]json.RawMessage
	config   Config
}

func parseMetadata(b []byte, headerSize int64) (*metadata, error) {
	m := &metadata{parsed: map[string]*Slot{}}
	damaged := func(what string, err error) error { return fmt.Errorf("%w: %s: %w", ErrDamaged, what, err) }
	if err := json.Unmarshal(b, &m.raw); err != nil {
		return nil, damaged("metadata", err)
	}
	for _, part := range []struct {
		name string
		to   any
	}{{"keyslots", &m.slots}, {"segments", &m.segments}, {"digests", &m.digests}, {"tokens", &m.tokens}, {"config", &m.config}} {
		if m.raw[part.name] == nil {
			return nil, damaged("metadata", fmt.Errorf("it has no %q", part.name))
		}
		if err := json.Unmarshal(m.raw[part.name], part.to); err != nil {
			return nil, damaged(part.name, err)
		}
	}
	if m.slots == nil {
		m.slots = map[string]json.RawMessage{}
	}
	if len(m.slots) > maxSlots || len(m.segments) > maxSlots || len(m.digests) > maxSlots || len(m.tokens) > maxSlots {
		return nil, damaged("metadata", fmt.Errorf("more than %d of a kind", maxSlots))
	}
	for name, raw := range m.slots {
		s := &Slot{}
		if err := json.Unmarshal(raw, s); err != nil {
			return nil, damaged("key slot "+strconv.Quote(name), err)
		}
		if s.Type == "luks2" {
			m.parsed[name] = s
		}
	}
	if err := m.validate(headerSize); err != nil {
		return nil, damaged("metadata", err)
	}
	return m, nil
}

// validate checks what the rest of this package relies on.
func (m *metadata) validate(headerSize int64) error {
	begin, size := uint64(2*headerSize), uint64(m.config.SlotsSize)
	if int64(m.config.JSONSize) != headerSize-binarySize {
		return fmt.Errorf("json_size is %d, where %d are", m.config.JSONSize, headerSize-binarySize)
	}
	if size%align != 0 || size > 128<<20 {
		return fmt.Errorf("keyslots_size %d is no multiple of %d up to 128 MiB", size, align)
	}
	for name, s := range m.parsed {
		if err := s.validate(); err != nil {
			return fmt.Errorf("key slot %q: %w", name, err)
		}
	}
	if err := validateAreas(m.slots, begin, size); err != nil {
		return err
	}
	for name, s := range m.segments {
		if s == nil {
			return fmt.Errorf("segment %q is null", name)
		}
		if _, err := s.length(0); err != nil {
			return fmt.Errorf("segment %q: %w", name, err)
		}
	}
	for name, d := range m.digests {
		if d == nil || len(d.Digest) == 0 || len(d.Digest) > maxDigest || len(d.Salt) > maxSalt || d.Iterations < 1 || d.Iterations > maxDigests {
			return fmt.Errorf("digest %q has no digest that can be", name)
		}
		for _, s := range d.Slots {
			if _, ok := m.slots[s]; !ok {
				return fmt.Errorf("digest %q is of a key slot %q that is not there", name, s)
			}
		}
		for _, s := range d.Segments {
			if _, ok := m.segments[s]; !ok {
				return fmt.Errorf("digest %q is of a segment %q that is not there", name, s)
			}
		}
	}
	return nil
}

func (s *Slot) validate() error {
	switch {
	case s.KeySize < 1 || s.KeySize > maxKey:
		return fmt.Errorf("a key of %d bytes", s.KeySize)
	case s.AF.Type != "luks1" || s.AF.Stripes != stripes:
		return fmt.Errorf("a key spread by %q over %d", s.AF.Type, s.AF.Stripes)
	case s.Area.Type != "raw":
		return fmt.Errorf("an area of type %q", s.Area.Type)
	case s.Area.KeySize < 1 || s.Area.KeySize > maxKey:
		return fmt.Errorf("an area under a key of %d bytes", s.Area.KeySize)
	case uint64(s.Area.Size) < uint64(s.KeySize*stripes):
		return fmt.Errorf("an area of %d bytes, its key takes %d", s.Area.Size, s.KeySize*stripes)
	}
	return s.KDF.validate()
}

func (k *KDF) validate() error {
	switch k.Type {
	case "pbkdf2":
		if k.Iterations < 1 || k.Iterations > maxRounds {
			return fmt.Errorf("%d iterations of PBKDF2", k.Iterations)
		}
	case "argon2i", "argon2id":
		if k.Time < 1 || k.Time > maxArgon || k.Memory < 8 || k.Memory > maxMemory || k.CPUs < 1 || k.CPUs > maxCPUs || int64(k.Time)*int64(k.Memory) > maxWork {
			return fmt.Errorf("Argon2 with %d passes, %d KiB and %d threads", k.Time, k.Memory, k.CPUs)
		}
	default:
		return fmt.Errorf("a key derivation %q", k.Type)
	}
	if len(k.Salt) > maxSalt {
		return fmt.Errorf("a salt of %d bytes", len(k.Salt))
	}
	return nil
}

// length is the segment's in bytes, in a file of a size.
func (s *Segment) length(file int64) (int64, error) {
	if s.Size == "dynamic" {
		return max(0, file-int64(s.Offset)), nil
	}
	var n number
	if err := n.UnmarshalText([]byte(s.Size)); err != nil {
		return 0, fmt.Errorf("size %q is neither digits nor dynamic", s.Size)
	}
	return int64(n), nil
}

// encode writes the JSON.
func (m *metadata) encode() ([]byte, error) {
	raw := maps.Clone(m.raw)
	for name, v := range map[string]any{"keyslots": m.slots, "segments": m.segments, "digests": m.digests, "tokens": m.tokens, "config": m.config} {
		if name == "segments" || name == "config" {
			if raw[name] != nil { // these do not change
				continue
			}
		}
		b, err := plainJSON(v)
		if err != nil {
			return nil, err
		}
		raw[name] = b
	}
	return plainJSON(raw)
}

func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write the metadata: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}
