package runq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/anole-os/anole/qos/runq/bpf"
)

// Source says where the length of a wait is taken from.
type Source uint8

// Sources, see the package documentation.
const (
	Stamps     Source = iota // time stamps taken at wakeup and preemption; exact
	Accounting               // the scheduler's own per-task accounting; cheapest
)

// String gives the source's name in lower case.
func (s Source) String() string {
	switch s {
	case Stamps:
		return "stamps"
	case Accounting:
		return "accounting"
	}
	return fmt.Sprintf("source(%d)", uint8(s))
}

// Options of Open. The zero value works.
type Options struct {
	// Source of the waits; Stamps by default.
	Source Source
	// Unclassed also counts the tasks of no class, as class 0.
	Unclassed bool
	// Stats turns the kernel's BPF run-time statistics on while the Tracer is
	// open, for Cost. It costs every BPF program of the node two clock reads
	// a run.
	Stats bool
	// Blame is the class that waits are blamed on, for ClassStats.Behind; 0 is
	// none. Only with Stamps.
	Blame uint8
	// Steer lists classes whose misplaced tasks Steer moves; needs Blame and
	// Stamps.
	Steer []uint8
	// MaxCgroups is how many cgroups can have a class at once; 4096 when 0.
	MaxCgroups int
}

// Tracer is a running measurement. Its methods are safe for concurrent use and
// do not block on the kernel's side of the work.
type Tracer struct {
	source Source

	mu       sync.Mutex // guards all below
	coll     *ebpf.Collection
	links    []link.Link
	stats    io.Closer    // nil unless Options.Stats
	cells    *ebpf.Memory // [cpu][class]cell
	gen      uint32       // value of generation in the kernel
	cell     [cellBytes]byte
	isClosed bool
}

// Layout of struct cell of runq.bpf.c.
const (
	cellBytes  = 8 * (5 + 2*NumBuckets + len(bpf.RunqCell{}.Pad))
	headBytes  = 8 * 5 // sum_ns, switches, preempted, throttled, behind_ns
	generation = 1 << uint(bpf.RunqShapeGEN_BITS)
)

// Open loads and attaches the programs; from then on registered cgroups are
// counted. The caller must Close. The error wraps a *feature.UnsupportedError
// when the kernel or the process's privileges do not allow it.
func Open(o Options) (*Tracer, error) {
	if o.MaxCgroups == 0 {
		o.MaxCgroups = defaultCgroups
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open run-queue tracer: bad options: %w", err)
	}
	coll, err := load(o)
	if err != nil {
		return nil, err
	}
	t := &Tracer{source: o.Source, coll: coll}
	if err := t.start(o); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (o *Options) check() error {
	switch {
	case o.MaxCgroups < 0 || o.Source > Accounting:
		return fmt.Errorf("source %v, max cgroups %d", o.Source, o.MaxCgroups)
	case int(o.Blame) > MaxClass:
		return fmt.Errorf("blame class %d is not in 0 to %d", o.Blame, MaxClass)
	case (o.Blame != 0 || len(o.Steer) > 0) && o.Source == Accounting:
		return errors.New("blame and steering need the stamps source")
	case len(o.Steer) > 0 && o.Blame == 0:
		return errors.New("steering needs a class to blame: whose CPUs are as good as idle")
	}
	for _, c := range o.Steer {
		if c < 1 || int(c) > MaxClass {
			return fmt.Errorf("steered class %d is not in 1 to %d", c, MaxClass)
		}
	}
	return nil
}

func (t *Tracer) start(o Options) (err error) {
	if t.cells, err = t.coll.Maps["cells"].Memory(); err != nil {
		return fmt.Errorf("map counters: %w", err)
	}
	if o.Stats {
		if t.stats, err = ebpf.EnableStats(statsRunTime); err != nil {
			return fmt.Errorf("enable bpf statistics: %w", err)
		}
	}
	t.links, err = attach(t.coll)
	return err
}

// Source gives the source in use.
func (t *Tracer) Source() Source { return t.source }

// SetClass counts the tasks of the cgroup (see CgroupID) in class, 1 to
// MaxClass, from their next switch on, in place of a class it had before. When
// the cgroup is removed, call Unset to free its entry.
func (t *Tracer) SetClass(cgroupID uint64, class uint8) error {
	if class < 1 || int(class) > MaxClass {
		return fmt.Errorf("set class of cgroup %d: class %d is not in 1 to %d", cgroupID, class, MaxClass)
	}
	return t.change("set", cgroupID, func(m *ebpf.Map) error { return m.Put(cgroupID, class) })
}

// Unset stops counting the tasks of the cgroup. What was counted stays. A
// cgroup that has no class is no error.
func (t *Tracer) Unset(cgroupID uint64) error {
	return t.change("unset", cgroupID, func(m *ebpf.Map) error {
		if err := m.Delete(cgroupID); !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
		return nil
	})
}

// change edits the map of classes and outdates the kernel side's cache of it,
// in this order, see class_of in runq.bpf.c.
func (t *Tracer) change(verb string, cgroupID uint64, edit func(*ebpf.Map) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed {
		return fmt.Errorf("%s class of cgroup %d: %w", verb, cgroupID, os.ErrClosed)
	}
	if err := edit(t.coll.Maps["classes"]); err != nil {
		return fmt.Errorf("%s class of cgroup %d: %w", verb, cgroupID, err)
	}
	if err := t.outdate(); err != nil {
		return fmt.Errorf("%s class of cgroup %d: %w", verb, cgroupID, err)
	}
	return nil
}

func (t *Tracer) outdate() error {
	t.gen = (t.gen + 1) % generation
	if err := t.coll.Variables["generation"].Set(t.gen); err != nil {
		return fmt.Errorf("set generation: %w", err)
	}
	if t.gen != 0 {
		return nil
	}
	// The count has come round: slots of a million changes ago would be valid
	// again.
	if err := t.coll.Variables["class_cache"].Set([bpf.RunqShapeCACHE_SLOTS]uint64{}); err != nil {
		return fmt.Errorf("clear class cache: %w", err)
	}
	return nil
}

// Read fills s with the counters of all CPUs summed up. It makes no system
// call and allocates nothing. The counters go on while it reads, so sums may
// run a few waits ahead of or behind each other.
func (t *Tracer) Read(s *Snapshot) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed {
		return fmt.Errorf("read run-queue counters: %w", os.ErrClosed)
	}
	*s = Snapshot{Time: time.Now()}
	for i, n := 0, int(t.cells.Size())/cellBytes; i < n; i++ {
		// Page alignment leaves room behind the last cell: all zeros.
		if err := t.addCell(i, &s.Class[i%NumClasses]); err != nil {
			return fmt.Errorf("read run-queue counters: %w", err)
		}
	}
	return nil
}

func (t *Tracer) addCell(i int, c *ClassStats) error {
	off := int64(i) * int64(cellBytes)
	head, rest := t.cell[:headBytes], t.cell[headBytes:]
	if _, err := t.cells.ReadAt(head, off); err != nil {
		return err
	}
	c.Wait.SumNS += word(head, 0)
	c.Switches += word(head, 1)
	c.Preempted += word(head, 2)
	c.Throttled += word(head, 3)
	c.Behind.SumNS += word(head, 4)
	if word(head, 1) == 0 {
		return nil // most classes on most CPUs: no waits, spare the copy
	}
	if _, err := t.cells.ReadAt(rest, off+int64(headBytes)); err != nil {
		return err
	}
	for b := range c.Wait.Counts {
		c.Wait.Counts[b] += word(rest, b)
		c.Behind.Counts[b] += word(rest, NumBuckets+b)
	}
	return nil
}

func word(b []byte, i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }

// Close takes the programs out of the kernel. The memory of the counters goes
// with the next garbage collection. Methods called after it return
// os.ErrClosed; a second Close does nothing.
func (t *Tracer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed {
		return nil
	}
	t.isClosed = true
	err := closeLinks(t.links)
	if t.stats != nil {
		err = errors.Join(err, t.stats.Close())
	}
	t.coll.Close()
	t.coll, t.links, t.cells = nil, nil, nil
	if err != nil {
		return fmt.Errorf("close run-queue tracer: %w", err)
	}
	return nil
}
