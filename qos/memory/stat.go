package memory

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/anole-os/anole/internal/cgroup"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// Stat is what the controllers need of memory.stat, of a cgroup with all below
// it.
type Stat struct {
	Anon        uint64 // without swap nothing but the end of its owner frees it
	Cache       uint64 // page cache on the kernel's lists: what reclaim can take
	MajorFaults uint64 // page faults that waited for a disk, since the group was made
	Refaults    uint64 // pages of cache that were reclaimed and wanted again
	Limit       uint64 // v1 only: the lowest limit of the group and all above it, else None
}

// ParseStat reads a memory.stat of either version without allocating. Unknown
// keys are passed over. v1 tells of the group alone and, with the prefix
// "total_", of all below it too; v2 only of the latter.
func ParseStat(b []byte, s *Stat) error {
	*s = Stat{Limit: None}
	var own, total Stat
	v1 := false
	for len(b) > 0 {
		var line []byte
		line, b = cut(b, '\n')
		key, value := cut(line, ' ')
		if len(value) == 0 {
			continue
		}
		to := &own
		if rest, ok := bytes.CutPrefix(key, []byte("total_")); ok {
			key, to, v1 = rest, &total, true
		}
		if err := to.set(key, value); err != nil {
			return fmt.Errorf("parse memory.stat: line %q: %w", clip(line), err)
		}
		if string(key) == "hierarchical_memory_limit" {
			s.Limit = own.Limit
		}
	}
	limit := s.Limit
	*s = own
	if v1 {
		*s = total
	}
	s.Limit = limit
	return nil
}

func (s *Stat) set(key, value []byte) error {
	var to *uint64
	switch string(key) {
	case "anon", "rss":
		to = &s.Anon
	case "inactive_file", "active_file":
		n, err := cgroup.Uint(value)
		if err == nil && n > math.MaxUint64-s.Cache {
			err = fmt.Errorf("out of range")
		}
		s.Cache += n
		return err
	case "pgmajfault":
		to = &s.MajorFaults
	case "workingset_refault_file", "workingset_refault":
		to = &s.Refaults
	case "hierarchical_memory_limit":
		to = &s.Limit
	default:
		return nil
	}
	n, err := cgroup.Uint(value)
	*to = n
	return err
}

// cut is bytes.Cut for one byte.
func cut(b []byte, at byte) (before, after []byte) {
	if i := bytes.IndexByte(b, at); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

// Events counts what happened to a group: memory.events on v2,
// memory.oom_control on v1, which has OOMKill alone.
type Events struct {
	High    uint64 // how often it ran into memory.high
	Max     uint64 // how often it ran into its limit
	OOMKill uint64 // processes killed for lack of memory
}

// ParseEvents reads either file.
func ParseEvents(b []byte, e *Events) error {
	*e = Events{}
	for len(b) > 0 {
		var line []byte
		line, b = cut(b, '\n')
		key, value := cut(line, ' ')
		var to *uint64
		switch string(key) {
		case "high":
			to = &e.High
		case "max":
			to = &e.Max
		case "oom_kill":
			to = &e.OOMKill
		default:
			continue
		}
		n, err := cgroup.Uint(value)
		if err != nil {
			return fmt.Errorf("parse memory.events: line %q: %w", clip(line), err)
		}
		*to = n
	}
	return nil
}
