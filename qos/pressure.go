package qos

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
)

// pressureSense reads how long tasks of the latency-sensitive class wait for a
// CPU (PSI). On cgroup v2 each group has a cpu.pressure file. On v1 it has
// none, but the kernel counts PSI for every cgroup2 group, with or without
// controllers: tasks that sit in the cgroup2 root are put into a shadow group
// there, which changes nothing else for them. Tasks that somebody (systemd in
// its hybrid mode) has already put into a cgroup2 group of their own stay
// where they are, and that group's file is read.
type pressureSense struct {
	w      *cgroup.Writer
	root   string
	native bool
	shadow string // directory of the shadow group, made when first needed
	base   string // cgroup2 mount point

	files   map[string]*pressureFile // by directory
	share   float64                  // largest share of the last interval, NaN when unknown
	total   cgroup.Pressure          // summed growth since the start
	scanned time.Time
	err     error // of the last scan
	buf     [512]byte
}

type pressureFile struct {
	f     *cgroup.File
	was   cgroup.Pressure
	first bool
	used  bool
}

const shadowName = "anole-psi-ls"

// scanEvery is how often new processes are looked for.
const scanEvery = time.Second

func (p *pressureSense) open(root string, t *cgroup.Tree, w *cgroup.Writer) error {
	if p.files != nil {
		return nil
	}
	p.share = math.NaN()
	if _, err := os.Stat(root + "/proc/pressure/cpu"); err != nil {
		return &feature.UnsupportedError{
			Feature: "PSI", Reason: feature.NoKernel, Need: "CONFIG_PSI, switched on", Fix: "boot with psi=1", Err: err,
		}
	}
	v, _ := t.Version("cpu")
	base := t.Mount(cgroup.Unified)
	if base == "" {
		return &feature.UnsupportedError{
			Feature: "PSI of cgroups", Reason: feature.NoKernel, Need: "a cgroup2 mount beside cgroup v1",
			Fix: "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
		}
	}
	p.w, p.root, p.native, p.base = w, root, v == cgroup.V2, base
	p.shadow = t.Path(cgroup.Unified, shadowName)
	p.files = map[string]*pressureFile{}
	return nil
}

func (p *pressureSense) close() {
	for _, f := range p.files {
		_ = f.f.Close()
	}
	if p.files != nil && !p.native {
		_ = p.w.Undo(p.shadow)
	}
	p.files = nil
}

// read takes all files' growth over the last interval.
func (p *pressureSense) read(now time.Time, dt time.Duration, groups map[uint64]*group) error {
	if p.files == nil {
		return nil
	}
	if now.Sub(p.scanned) >= scanEvery || p.scanned.After(now) {
		p.scanned = now
		p.err = p.scan(groups)
	}
	p.share = math.NaN()
	for dir, f := range p.files {
		b, err := f.f.Read(p.buf[:])
		var v cgroup.Pressure
		if err == nil {
			err = cgroup.ParsePressure(b, &v)
		}
		if err != nil {
			_ = f.f.Close()
			delete(p.files, dir)
			continue
		}
		p.grow(f, v, dt)
	}
	return p.err
}

func (p *pressureSense) grow(f *pressureFile, v cgroup.Pressure, dt time.Duration) {
	some := v.Some - f.was.Some
	if !f.first && some >= 0 && dt > 0 {
		p.total.Some += some
		p.total.Full += max(0, v.Full-f.was.Full)
		// The kernel updates totals in slices, so one interval can hold the
		// growth of a little more than itself.
		if s := min(1, some.Seconds()/dt.Seconds()); math.IsNaN(p.share) || s > p.share {
			p.share = s
		}
	}
	f.was, f.first = v, false
}

// scan finds the directory to read for each latency-sensitive group, and takes
// out of the shadow what is no longer of that class. A refused move is the
// error; the rest goes on.
func (p *pressureSense) scan(groups map[uint64]*group) (err error) {
	for _, f := range p.files {
		f.used = false
	}
	members := map[int]bool{}
	for _, g := range groups {
		if g.Class.Sensitive() {
			err = errors.Join(err, p.follow(g, members))
		}
	}
	if p.files[p.shadow] != nil {
		err = errors.Join(err, p.expel(members))
	}
	for dir, f := range p.files {
		if !f.used {
			_ = f.f.Close()
			delete(p.files, dir)
		}
	}
	return err
}

func (p *pressureSense) follow(g *group, members map[int]bool) error {
	if p.native {
		p.use(g.cpu.CPU.Path())
		return nil
	}
	pids, err := g.cpu.CPU.AllProcs()
	if err != nil {
		return nil // it went away
	}
	for _, pid := range pids {
		members[pid] = true
		rel, err := procfs.UnifiedCgroup(p.root, pid)
		if err != nil {
			continue
		}
		if rel == "/" {
			if err := p.enlist(pid); err != nil {
				return err
			}
			rel = "/" + shadowName
		}
		p.use(p.base + rel)
	}
	return nil
}

// expel moves processes home that sit in the shadow and are of no
// latency-sensitive group any more. A child that was forked since the groups
// were read is moved too; the next scan brings it back.
func (p *pressureSense) expel(members map[int]bool) error {
	d, err := cgroup.OpenDir(p.shadow)
	if err != nil {
		return nil // somebody removed it
	}
	defer d.Close()
	pids, err := d.Procs()
	if err != nil {
		return nil
	}
	for _, pid := range pids {
		if members[pid] {
			continue
		}
		if err := cgroup.Move(pid, p.base); err != nil {
			return err
		}
	}
	return nil
}

// enlist moves a process into the shadow group. The journal's entry for the
// group says that its tasks go back to the root.
func (p *pressureSense) enlist(pid int) error {
	if err := p.w.Own(p.shadow, p.base); err != nil {
		return fmt.Errorf("make shadow cgroup: %w", err)
	}
	return cgroup.Move(pid, p.shadow)
}

func (p *pressureSense) use(dir string) {
	if f := p.files[dir]; f != nil {
		f.used = true
		return
	}
	d, err := cgroup.OpenDir(dir)
	if err != nil {
		return
	}
	defer d.Close()
	if f, err := d.Open("cpu.pressure"); err == nil {
		p.files[dir] = &pressureFile{f: f, first: true, used: true}
	}
}

// using says in words where the pressure comes from.
func (p *pressureSense) using() (string, string) {
	switch {
	case p.files == nil:
		return "off", "not measured"
	case p.native:
		return "cgroup v2", "each group's own cpu.pressure"
	}
	return "shadow", "cgroup v1 has no PSI: read from the cgroup2 group " + strconv.Quote(shadowName) + " or the tasks' own"
}
