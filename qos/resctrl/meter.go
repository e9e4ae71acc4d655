package resctrl

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/anole-os/anole/internal/cgroup"
)

// Meter reads what one group occupies and moves, over all domains. Its files
// are held open. It is not safe for concurrent use.
type Meter struct {
	dir   string
	files []meterFile
	buf   [64]byte
}

type meterFile struct {
	event string
	f     *cgroup.File
	was   uint64
	ok    bool // was is known
}

// Reading is one look at a group. What the kernel could not tell is missing.
type Reading struct {
	Occupancy uint64 // bytes of the cache
	Occupied  bool   // some domain told it
	// Growth of the memory traffic in bytes since the last reading.
	Traffic, Local uint64
	Counted        bool // every domain told its traffic, this time and the last
}

// Meter opens the group's counters.
func (g *Group) Meter() (*Meter, error) {
	m := &Meter{dir: g.dir}
	return m, m.open()
}

// events are the files that are read, in the order of Reading.
var events = []string{"llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"}

func (m *Meter) open() error {
	domains, err := os.ReadDir(filepath.Join(m.dir, "mon_data"))
	if err != nil {
		return err
	}
	for _, d := range domains {
		if !strings.HasPrefix(d.Name(), "mon_L3_") {
			continue
		}
		dir, err := cgroup.OpenDir(filepath.Join(m.dir, "mon_data", d.Name()))
		if err != nil {
			return errors.Join(err, m.Close())
		}
		for _, e := range events {
			if f, err := dir.Open(e); err == nil {
				m.files = append(m.files, meterFile{event: e, f: f})
			}
		}
		_ = dir.Close()
	}
	return nil
}

// Read takes a reading. After an error, such as that of a domain whose CPUs
// went offline, the files are opened anew with the next one.
func (m *Meter) Read() (Reading, error) {
	var r Reading
	if len(m.files) == 0 {
		if err := m.open(); err != nil {
			return r, err
		}
	}
	traffic, told := 0, 0
	for i := range m.files {
		f := &m.files[i]
		b, err := f.f.Read(m.buf[:])
		if err != nil {
			return Reading{}, errors.Join(err, m.Close())
		}
		n, ok := ParseCount(b)
		if f.event == "llc_occupancy" {
			if ok {
				r.Occupancy, r.Occupied = r.Occupancy+n, true
			}
			continue
		}
		grown, known := f.grow(n, ok)
		if f.event == "mbm_local_bytes" {
			r.Local += grown
			continue
		}
		traffic++
		if r.Traffic += grown; known {
			told++
		}
	}
	r.Counted = traffic > 0 && told == traffic
	return r, nil
}

// grow gives how much a counter grew. One that fell was reset.
func (f *meterFile) grow(n uint64, ok bool) (grown uint64, known bool) {
	known = ok && f.ok && n >= f.was
	if known {
		grown = n - f.was
	}
	f.was, f.ok = n, ok
	return grown, known
}

// ParseCount reads a file of mon_data; ok is false when the kernel has no number
// for it now: "Unavailable", "Unassigned" or "Error".
func ParseCount(b []byte) (n uint64, ok bool) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	return n, err == nil
}

// Close closes the files.
func (m *Meter) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.f.Close())
	}
	m.files = nil
	return errors.Join(errs...)
}
