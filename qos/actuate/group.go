// Package actuate turns decisions into control-file writes: which file of
// which cgroup version, in which order, so that the kernel takes every step
// and no state on the way allows more than the plan.
package actuate

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/anole-os/anole/internal/cfs"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/burst"
)

// Group is a cgroup open for reading and writing. It is not safe for concurrent
// use.
type Group struct {
	Rel string // path in the cpu hierarchy
	CPU *cgroup.Dir
	v   cgroup.Version

	// Files of the limit, held open once it has been asked for: a limit is
	// looked at every second, and open, read, close costs 15 times a read.
	quota, period, burst *cgroup.File
	hasBurst             bool
	buf                  [64]byte
}

// OpenGroup opens the cgroup at rel in the cpu controller's hierarchy.
func OpenGroup(t *cgroup.Tree, rel string) (*Group, error) {
	v, ok := t.Version("cpu")
	if !ok {
		return nil, fmt.Errorf("open cgroup %s: the node has no cpu controller", rel)
	}
	d, err := cgroup.OpenDir(t.Path("cpu", rel))
	if err != nil {
		return nil, err
	}
	return &Group{Rel: rel, CPU: d, v: v}, nil
}

// Close closes the group.
func (g *Group) Close() error {
	for _, f := range []*cgroup.File{g.quota, g.period, g.burst} {
		if f != nil {
			_ = f.Close() // it was only read
		}
	}
	return g.CPU.Close()
}

// Path gives the whole path of one of the group's files.
func (g *Group) Path(file string) string { return filepath.Join(g.CPU.Path(), file) }

func (g *Group) edit(file, value string) cgroup.Edit {
	return cgroup.Edit{Dir: g.CPU, File: file, Value: value}
}

// Control files of CFS bandwidth.
const (
	fileQuota  = "cpu.cfs_quota_us"
	filePeriod = "cpu.cfs_period_us"
	fileBurst  = "cpu.cfs_burst_us"
	fileMax    = "cpu.max"
	fileMaxB   = "cpu.max.burst"
)

// HasBurst says whether the kernel has CPU Burst for this group (Linux 5.14).
func (g *Group) HasBurst() bool {
	// A v2 group can get the file later, when its parent delegates cpu.
	g.hasBurst = g.hasBurst || g.CPU.Has(g.burstFile())
	return g.hasBurst
}

func (g *Group) burstFile() string {
	if g.v == cgroup.V2 {
		return fileMaxB
	}
	return fileBurst
}

// HasBandwidth says whether the group can have a limit at all: the root of a
// hierarchy cannot, nor a v2 group whose parent does not delegate cpu.
func (g *Group) HasBandwidth() bool {
	if g.quota != nil {
		return true
	}
	if g.v == cgroup.V2 {
		return g.CPU.Has(fileMax)
	}
	return g.CPU.Has(fileQuota)
}

// Bandwidth reads the group's limit; Quota is burst.Unlimited if it has none.
func (g *Group) Bandwidth() (burst.Bandwidth, error) {
	b := burst.Bandwidth{Quota: burst.Unlimited}
	var err error
	if g.v == cgroup.V2 {
		err = g.readMax(&b)
	} else {
		err = g.readCFS(&b)
	}
	if err != nil {
		return b, fmt.Errorf("read CPU limit: %w", err)
	}
	if g.HasBurst() {
		b.Burst, err = g.micros(&g.burst, g.burstFile())
	}
	return b, err
}

func (g *Group) readCFS(b *burst.Bandwidth) (err error) {
	if b.Quota, err = g.micros(&g.quota, fileQuota); err != nil {
		return err
	}
	b.Period, err = g.micros(&g.period, filePeriod)
	return err
}

// readMax parses "QUOTA PERIOD" or "max PERIOD".
func (g *Group) readMax(b *burst.Bandwidth) error {
	raw, err := g.read(&g.quota, fileMax)
	if err != nil {
		return err
	}
	q, p, ok := bytes.Cut(bytes.TrimSpace(raw), []byte(" "))
	if !ok {
		return fmt.Errorf("parse %s: %q", g.Path(fileMax), raw)
	}
	quota, err := cgroup.Uint(q)
	if err != nil {
		return err
	}
	period, err := cgroup.Uint(p)
	if err != nil {
		return err
	}
	b.Quota, b.Period = micros(quota), micros(period)
	return nil
}

func (g *Group) micros(f **cgroup.File, name string) (burst.Micros, error) {
	raw, err := g.read(f, name)
	if err != nil {
		return 0, err
	}
	n, err := cgroup.Uint(raw)
	return micros(n), err
}

// read reads a file that stays open from then on. What it gives is valid until
// the next call.
func (g *Group) read(f **cgroup.File, name string) (_ []byte, err error) {
	if *f == nil {
		if *f, err = g.CPU.Open(name); err != nil {
			*f = nil
			return nil, err
		}
	}
	return (*f).Read(g.buf[:])
}

func micros(n uint64) burst.Micros {
	if n == math.MaxUint64 {
		return burst.Unlimited
	}
	return burst.Micros(min(n, math.MaxInt64))
}

// Steps lists the writes that lead from one limit to another in the order of
// cfs.Order, for a group with no other's limit above or below it: see Apply.
func (g *Group) Steps(from, to burst.Bandwidth) []cgroup.Edit {
	r := cfs.Rules{Unified: g.v == cgroup.V2, Deep: from.Burst > from.Quota || to.Burst > to.Quota}
	if !g.HasBurst() {
		to.Burst = from.Burst
	}
	var out []cgroup.Edit
	for _, s := range cfs.Way(limitOf(from), limitOf(to), r) {
		out = append(out, g.CPU.LimitEdit(s, r.Unified))
	}
	return out
}

func limitOf(b burst.Bandwidth) cfs.Limit {
	return cfs.Limit{Period: int64(b.Period), Quota: int64(b.Quota), Burst: int64(b.Burst)}
}

// Change asks for the limit of one group.
type Change struct {
	Group *Group
	To    burst.Bandwidth
}

// Apply changes the limits of several groups, each once, in an order in which
// the kernel takes every write and no group has more on the way than before or
// after, see cgroup.Writer.SetLimits. It gives the writes and an error for each
// change that was not made, nil if all were. deep says that the kernel takes a
// burst above the quota.
func Apply(w *cgroup.Writer, changes []Change, deep bool) ([]cgroup.Wrote, []error) {
	all := make([]cgroup.LimitChange, len(changes))
	for i, c := range changes {
		all[i] = cgroup.LimitChange{Dir: c.Group.CPU, Want: limitOf(c.To)}
		if !c.Group.HasBurst() {
			all[i].Want.Burst = 0
		}
	}
	return w.SetLimits(all, deep)
}

// Originals lists the files that Steps may write, in the order in which they
// are to be journalled: a restore goes backwards, and must shrink the burst
// before the quota and the quota before the period.
func (g *Group) Originals() []cgroup.Edit {
	if g.v == cgroup.V2 {
		out := []cgroup.Edit{g.edit(fileMax, "")}
		if g.HasBurst() {
			out = append(out, g.edit(fileMaxB, ""))
		}
		return out
	}
	out := []cgroup.Edit{g.edit(filePeriod, ""), g.edit(fileQuota, "")}
	if g.HasBurst() {
		out = append(out, g.edit(fileBurst, ""))
	}
	return out
}

// Refill gives the write that injects one quota of credit: the same limit
// written again refills the kernel's pool.
func (g *Group) Refill(b burst.Bandwidth) cgroup.Edit {
	if g.v == cgroup.V2 {
		return g.edit(fileMax, limit(b.Quota, "max")+" "+number(b.Period))
	}
	return g.edit(fileQuota, limit(b.Quota, "-1"))
}

func number(m burst.Micros) string { return strconv.FormatInt(int64(m), 10) }

func limit(m burst.Micros, none string) string {
	if m == burst.Unlimited {
		return none
	}
	return number(m)
}

// DeepBurst tries whether the kernel takes a burst above the quota, as ANCK
// does and mainline does not. It changes the group's limit: call it on a probe
// group only.
func (g *Group) DeepBurst() bool {
	to := burst.Bandwidth{Period: 100_000, Quota: 10_000, Burst: 20_000}
	from, err := g.Bandwidth()
	if err != nil {
		return false
	}
	for _, s := range g.Steps(from, to) {
		if os.WriteFile(g.Path(s.File), []byte(s.Value), 0) != nil {
			return false
		}
	}
	return true
}

// Number reads a control file that holds one number.
func (g *Group) Number(file string) (uint64, error) {
	b, err := g.CPU.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return cgroup.Uint(b)
}
