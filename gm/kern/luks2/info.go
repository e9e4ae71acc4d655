package luks2

import (
	"encoding/json"
	"maps"
)

// Info is what a header says, without what only its keys tell.
type Info struct {
	UUID      string                     `json:"uuid"`
	Label     string                     `json:"label,omitempty"`
	Subsystem string                     `json:"subsystem,omitempty"`
	Sequence  uint64                     `json:"sequence"`
	Size      int64                      `json:"header_size"` // of one copy
	Checksum  string                     `json:"checksum"`
	Warning   string                     `json:"warning,omitempty"`
	Slots     map[string]json.RawMessage `json:"keyslots"` // as they are
	Segments  map[string]*Segment        `json:"segments"`
	Digests   map[string]*Digest         `json:"digests"`
	Tokens    map[string]json.RawMessage `json:"tokens"`
	Config    Config                     `json:"config"`
}

// Info tells what the header says.
func (c *Container) Info() Info {
	i := Info{
		UUID: c.head.uuid, Label: c.head.label, Subsystem: c.head.subsystem, Sequence: c.head.seq, Size: c.head.size, Checksum: c.head.checksum,
		Slots: maps.Clone(c.meta.slots), Segments: c.meta.segments, Digests: c.meta.digests, Tokens: c.meta.tokens, Config: c.meta.config,
	}
	if c.warning != nil {
		i.Warning = c.warning.Error()
	}
	return i
}

// KeySlots gives the slots that passphrases open, by number.
func (c *Container) KeySlots() map[string]*Slot { return maps.Clone(c.meta.parsed) }
