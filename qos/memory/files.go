package memory

import (
	"fmt"

	"github.com/anole-os/anole/internal/cgroup"
)

// Names of control files. Which of them a group has tells what can be done
// with it, rather than the version: kernels of distributors (ANCK) have some of
// the second group on cgroup v1.
const (
	FileUsageV1 = "memory.usage_in_bytes"
	FileLimitV1 = "memory.limit_in_bytes"
	FileEmptyV1 = "memory.force_empty"
	FileOOMV1   = "memory.oom_control"

	FileUsage    = "memory.current"
	FileLimit    = "memory.max"
	FileMin      = "memory.min"
	FileLow      = "memory.low"
	FileHigh     = "memory.high"
	FileReclaim  = "memory.reclaim" // Linux 5.19
	FileOOMGroup = "memory.oom.group"
	FileEvents   = "memory.events"
	FilePressure = "memory.pressure"
	FileStat     = "memory.stat"
)

// Files reads one group's memory, by files held open. It is not safe for
// concurrent use.
type Files struct {
	Dir     *cgroup.Dir
	Unified bool // cgroup v2

	usage, stat, pressure, limit, high *cgroup.File
	small                              [32]byte
}

// OpenFiles opens the group at path of the memory controller's hierarchy. An
// error is cgroup.Gone when the group is, or, on v2, has no memory controller.
func OpenFiles(path string) (*Files, error) {
	d, err := cgroup.OpenDir(path)
	if err != nil {
		return nil, err
	}
	f := &Files{Dir: d, Unified: d.Has(FileUsage)}
	name := FileUsageV1
	if f.Unified {
		name = FileUsage
	}
	if f.usage, err = d.Open(name); err != nil {
		_ = d.Close()
		return nil, err
	}
	return f, nil
}

// LimitFile names the file of the group's limit.
func (f *Files) LimitFile() string {
	if f.Unified {
		return FileLimit
	}
	return FileLimitV1
}

// Usage reads what is charged to the group and all below it.
func (f *Files) Usage(buf []byte) (uint64, error) {
	b, err := f.usage.Read(buf)
	if err != nil {
		return 0, err
	}
	return cgroup.Uint(b)
}

// Stat reads memory.stat; buf takes some 4 KiB. It costs ten times a Usage.
func (f *Files) Stat(buf []byte, s *Stat) (err error) {
	if f.stat == nil {
		if f.stat, err = f.Dir.Open(FileStat); err != nil {
			f.stat = nil
			return err
		}
	}
	b, err := f.stat.Read(buf)
	if err != nil {
		return err
	}
	return ParseStat(b, s)
}

// Pressure reads the group's PSI memory, which v1 has not.
func (f *Files) Pressure(buf []byte, p *cgroup.Pressure) (err error) {
	if f.pressure == nil {
		if f.pressure, err = f.Dir.Open(FilePressure); err != nil {
			f.pressure = nil
			return err
		}
	}
	b, err := f.pressure.Read(buf)
	if err != nil {
		return err
	}
	return cgroup.ParsePressure(b, p)
}

// Number reads a file with one number; "max" is None.
func (f *Files) Number(name string) (uint64, error) { return number(f.Dir, name) }

func number(d *cgroup.Dir, name string) (uint64, error) {
	b, err := d.ReadFile(name)
	if err != nil {
		return 0, err
	}
	n, err := cgroup.Uint(b)
	if err != nil {
		return 0, fmt.Errorf("read %s of %s: %w", name, d.Path(), err)
	}
	return bounded(n), nil
}

// bounded takes v1's word for no limit, the largest multiple of the page size
// below 2^63, for what it is.
func bounded(n uint64) uint64 {
	if n >= 1<<62 {
		return None
	}
	return n
}

// Limit reads the group's own limit, None without one.
func (f *Files) Limit() (uint64, error) { return f.held(&f.limit, f.LimitFile()) }

// High reads memory.high.
func (f *Files) High() (uint64, error) { return f.held(&f.high, FileHigh) }

// held reads a number from a file that stays open from then on.
func (f *Files) held(file **cgroup.File, name string) (n uint64, err error) {
	if *file == nil {
		if *file, err = f.Dir.Open(name); err != nil {
			*file = nil
			return 0, err
		}
	}
	b, err := (*file).Read(f.small[:])
	if err != nil {
		return 0, err
	}
	n, err = cgroup.Uint(b)
	return bounded(n), err
}

// Events reads what happened to the group.
func (f *Files) Events() (e Events, err error) {
	name := FileOOMV1
	if f.Unified {
		name = FileEvents
	}
	b, err := f.Dir.ReadFile(name)
	if err != nil {
		return e, err
	}
	return e, ParseEvents(b, &e)
}

// Close closes everything.
func (f *Files) Close() error {
	for _, x := range []*cgroup.File{f.usage, f.stat, f.pressure, f.limit, f.high} {
		if x != nil {
			_ = x.Close() // it was only read
		}
	}
	return f.Dir.Close()
}
