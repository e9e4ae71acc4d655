package resctrl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Info is what the node can do: the file system's folder info.
type Info struct {
	Caches     []Cache     // L3 before L2, code before data
	Bandwidths []Bandwidth // MB before SMBA
	Monitor    *Monitor    // nil where nothing can be counted
}

// Cache is one resource that is shared out by mask.
type Cache struct {
	Name      string
	Groups    int  // control groups there can be, the default one included
	Mask      Mask // all of it
	MinWays   int  // bits that a mask must have
	Shareable Mask // what other hardware, such as I/O, uses too
	Sparse    bool // masks may have gaps
}

// Bandwidth is one resource that is shared out by number.
type Bandwidth struct {
	Name   string
	Groups int
	Min    uint64 // the least value
	Step   uint64 // values are rounded to multiples of it
	Linear bool   // percentages mean what they say
	Unit   Unit
}

// Unit says what a bandwidth's numbers are.
type Unit int

// Units.
const (
	Percent Unit = iota // of the most: Intel, Arm
	MiBps               // with the mount option mba_MBps
	Eighths             // of a GB/s: AMD
)

// Bytes gives the bytes a second of one unit, 0 for Percent.
func (u Unit) Bytes() float64 {
	switch u {
	case MiBps:
		return 1 << 20
	case Eighths:
		return 1e9 / 8
	}
	return 0
}

// String names the unit.
func (u Unit) String() string {
	return [...]string{"%", "MiB/s", "1/8 GB/s"}[u]
}

// Monitor is what can be counted for each group.
type Monitor struct {
	Groups    int // num_rmids: groups there can be
	Occupancy bool
	Total     bool // memory traffic
	Local     bool // memory traffic within the own NUMA node
}

// Has says whether any cache, or bandwidth, can be shared out.
func (i *Info) Has() (cache, bandwidth bool) {
	return len(i.shared()) > 0, slices.ContainsFunc(i.Bandwidths, func(b Bandwidth) bool { return b.Name == "MB" })
}

// shared lists the caches that classes are kept apart in: the last level. A
// core's own L2 is used in turns; it is shared out only where there is no L3.
func (i *Info) shared() []Cache {
	level := func(n string) (out []Cache) {
		for _, c := range i.Caches {
			if strings.HasPrefix(c.Name, n) {
				out = append(out, c)
			}
		}
		return out
	}
	if l3 := level("L3"); len(l3) > 0 {
		return l3
	}
	return level("L2")
}

// ReadInfo reads the folder info of the file system at dir; unit is what the
// node counts bandwidth in, see UnitOf.
func ReadInfo(dir string, unit Unit) (Info, error) {
	var i Info
	entries, err := os.ReadDir(filepath.Join(dir, "info"))
	if err != nil {
		return i, fmt.Errorf("read resctrl info: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := i.add(infoDir(filepath.Join(dir, "info", e.Name())), e.Name(), unit); err != nil {
			return i, fmt.Errorf("read resctrl info of %s: %w", e.Name(), err)
		}
	}
	slices.SortFunc(i.Caches, func(a, b Cache) int {
		if a.Name[:2] != b.Name[:2] {
			return strings.Compare(b.Name[:2], a.Name[:2])
		}
		return strings.Compare(a.Name, b.Name)
	})
	return i, nil
}

func (i *Info) add(d infoDir, name string, unit Unit) (err error) {
	switch {
	case name == "L3_MON":
		i.Monitor, err = d.monitor()
	case strings.HasSuffix(name, "_MON"): // of a later kernel: power and the like
	case IsCache(name):
		var c Cache
		if c, err = d.cache(name); err == nil {
			i.Caches = append(i.Caches, c)
		}
	case name == "MB" || name == "SMBA":
		var b Bandwidth
		if b, err = d.bandwidth(name, unit); err == nil {
			i.Bandwidths = append(i.Bandwidths, b)
		}
	}
	return err
}

type infoDir string

func (d infoDir) cache(name string) (c Cache, err error) {
	c.Name = name
	if c.Groups, err = number[int](d, "num_closids", true); err != nil {
		return c, err
	}
	if c.Mask, err = d.mask("cbm_mask"); err != nil {
		return c, err
	}
	if c.Mask == 0 {
		return c, errors.New("cbm_mask is empty")
	}
	if c.MinWays, err = number[int](d, "min_cbm_bits", false); err != nil {
		return c, err
	}
	sparse, err := number[int](d, "sparse_masks", false) // since Linux 6.7
	if err != nil {
		return c, err
	}
	c.Sparse = sparse == 1
	c.MinWays = min(max(c.MinWays, 1), c.Mask.Ways())
	c.Shareable, err = d.mask("shareable_bits")
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return c, err
}

func (d infoDir) bandwidth(name string, unit Unit) (b Bandwidth, err error) {
	b.Name, b.Unit = name, unit
	if b.Groups, err = number[int](d, "num_closids", true); err != nil {
		return b, err
	}
	if b.Min, err = number[uint64](d, "min_bandwidth", true); err != nil {
		return b, err
	}
	if b.Step, err = number[uint64](d, "bandwidth_gran", true); err != nil {
		return b, err
	}
	linear, err := number[int](d, "delay_linear", false)
	b.Step, b.Linear = max(b.Step, 1), linear == 1
	return b, err
}

func (d infoDir) monitor() (*Monitor, error) {
	m := new(Monitor)
	var err error
	if m.Groups, err = number[int](d, "num_rmids", true); err != nil {
		return nil, err
	}
	b, err := d.read("mon_features")
	if err != nil {
		return nil, err
	}
	for _, f := range strings.Fields(b) {
		switch f {
		case "llc_occupancy":
			m.Occupancy = true
		case "mbm_total_bytes":
			m.Total = true
		case "mbm_local_bytes":
			m.Local = true
		}
	}
	return m, nil
}

func (d infoDir) read(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(string(d), file))
	return strings.TrimSpace(string(b)), err
}

func (d infoDir) mask(file string) (Mask, error) {
	s, err := d.read(file)
	if err != nil {
		return 0, err
	}
	return ParseMask(s)
}

// number reads a file with one decimal number. One that is absent and not
// needed is 0.
func number[T int | uint64](d infoDir, file string, needed bool) (T, error) {
	s, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) && !needed {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number", file, clip(s))
	}
	return T(n), nil
}

// ParseUsage reads info/L3/bit_usage and gives, by domain, the bits that some
// group has for itself or that are pseudo-locked: no other group's mask may
// have them. In the file the highest bit is first.
func ParseUsage(s string) (map[int]Mask, error) {
	out := map[int]Mask{}
	for part := range strings.SplitSeq(strings.TrimSpace(s), ";") {
		id, flags, ok := strings.Cut(part, "=")
		domain, err := strconv.ParseUint(strings.TrimSpace(id), 10, 31)
		if flags = strings.TrimSpace(flags); !ok || err != nil || len(flags) > 32 {
			return nil, fmt.Errorf("parse bit_usage: %q is not DOMAIN=FLAGS", clip(part))
		}
		var taken Mask
		for _, f := range []byte(flags) {
			taken <<= 1
			switch f {
			case 'E', 'P':
				taken |= 1
			case '0', 'H', 'S', 'X':
			default:
				return nil, fmt.Errorf("parse bit_usage: unknown flag %q", f)
			}
		}
		out[int(domain)] = taken
	}
	return out, nil
}
