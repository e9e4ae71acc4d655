package luks2

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// span is where an area is, in bytes of the file: from 0 to 2^63-1 each.
type span struct{ from, to uint64 }

// spans are the areas of all slots, whatever their type, by where they begin. Each is at
// most 2^63-1 bytes from a place before 2^63, so that the sums do not overflow.
func spans(slots map[string]json.RawMessage) (all []span, err error) {
	for name, raw := range slots {
		var s struct {
			Area struct {
				Offset number `json:"offset"`
				Size   number `json:"size"`
			} `json:"area"`
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("key slot %q: %w", name, err)
		}
		if s.Area.Size > 0 {
			all = append(all, span{uint64(s.Area.Offset), uint64(s.Area.Offset) + uint64(s.Area.Size)})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return all, nil
}

// validateAreas checks that the areas are among those of key slots, of so many bytes from
// begin on, and that none has bytes of another: free and the wiping of a slot rely on it.
func validateAreas(slots map[string]json.RawMessage, begin, size uint64) error {
	all, err := spans(slots)
	if err != nil {
		return err
	}
	last := begin
	for _, s := range all {
		if s.from < begin || s.to > begin+size {
			return fmt.Errorf("an area %d+%d is not among those of key slots, %d+%d", s.from, s.to-s.from, begin, size)
		}
		if s.from < last {
			return fmt.Errorf("an area %d+%d has bytes of another", s.from, s.to-s.from)
		}
		last = s.to
	}
	return nil
}

// free finds room for a slot's area and its number.
func (m *metadata) free(headerSize, size int64) (name string, offset int64, err error) {
	for i := range maxSlots {
		if name = strconv.Itoa(i); m.slots[name] == nil {
			break
		}
		name = ""
	}
	if name == "" {
		return "", 0, fmt.Errorf("all %d key slots are taken", maxSlots)
	}
	taken, err := spans(m.slots)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	begin, end := uint64(2*headerSize), uint64(2*headerSize)+uint64(m.config.SlotsSize)
	at := begin
	for _, s := range taken {
		if s.from >= at && s.from-at >= uint64(size) {
			break
		}
		at = max(at, (s.to+align-1)/align*align)
	}
	if at > end || uint64(size) > end-at {
		return "", 0, fmt.Errorf("there is no room for another key slot: %d bytes are for all", m.config.SlotsSize)
	}
	return name, int64(at), nil
}
