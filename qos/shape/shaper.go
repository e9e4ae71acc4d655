package shape

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/qos/shape/bpf"
)

// Link is an interface to share.
type Link struct {
	Name string
	Out  Rate // what it can send; needed
	In   Rate // what it can receive; 0 leaves incoming packets alone
	// LS and BE are the shares of the rate that those classes are guaranteed;
	// the rest has what they leave of 1.
	LS, BE float64
	// Replace allows to replace a root qdisc that somebody chose, as far as it
	// can be made again exactly.
	Replace bool
}

// share gives the guaranteed part of a class.
func (l *Link) share(c Class) float64 {
	return [...]float64{1 - l.LS - l.BE, l.LS, l.BE}[c]
}

// Guaranteed gives the rate that a class is guaranteed on the way out.
func (l *Link) Guaranteed(c Class) Rate { return l.Out.of(l.share(c)) }

// least is the smallest share: a class must have some rate.
const least = 0.01

// Check says what is wrong with a Link.
func (l *Link) Check() error {
	switch {
	case l.Name == "":
		return errors.New("a link has no name")
	case l.Out < 1e6:
		return fmt.Errorf("link %s: its rate %s is below 1Mbit", l.Name, l.Out)
	case !(l.LS >= least && l.BE >= least && l.LS+l.BE <= 1-least+1e-9):
		return fmt.Errorf("link %s: LS %v and BE %v are not shares of at least %v that leave as much to the rest", l.Name, l.LS, l.BE, least)
	}
	return nil
}

// Options of a Shaper.
type Options struct {
	Writer *cgroup.Writer // journals what interfaces had; needed
	Mode   Mode           // "" chooses
}

// Shaper shares links of the network namespace of the thread that opened it. It
// is not safe for concurrent use. What it has set up stays in force when the
// process dies, until the journal is restored.
type Shaper struct {
	w    *cgroup.Writer
	c    *netlinkx.Conn
	coll *ebpf.Collection
	mode Mode
	why  string

	links  map[string]*attached
	slots  [bpf.ShapeShapeUPLINKS]bool
	groups map[uint64]Class
	ports  map[int]*port
}

// attached is a link that is shared.
type attached struct {
	Link
	index int
	slot  uint32
	entry journal.Entry // Op, Path and Ino
}

// port is a container's host-side interface.
type port struct {
	class  Class
	marked bool // by a program on a bridge's port
	entry  journal.Entry
}

// Open loads the programs; it touches no interface. A node that cannot is a
// *feature.UnsupportedError.
func Open(o Options) (*Shaper, error) {
	mode, why := o.Mode, "it was asked for"
	var err error
	if mode == "" {
		mode, why, err = Choose()
	} else {
		err = Supports(mode)
	}
	if err != nil {
		return nil, err
	}
	s := &Shaper{w: o.Writer, mode: mode, why: why, links: map[string]*attached{}, groups: map[uint64]Class{}, ports: map[int]*port{}}
	if s.c, err = netlinkx.Open(); err != nil {
		return nil, err
	}
	if s.coll, err = load(); err != nil {
		return nil, errors.Join(err, s.c.Close())
	}
	return s, nil
}

// Mode says how outgoing packets are held to their rates, and why so.
func (s *Shaper) Mode() (Mode, string) { return s.mode, s.why }

// Conn is the Shaper's netlink connection.
func (s *Shaper) Conn() *netlinkx.Conn { return s.c }

// Links lists the names of the links that are shared.
func (s *Shaper) Links() []string {
	var out []string
	for name := range s.links {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Link gives one that is shared.
func (s *Shaper) Link(name string) (Link, bool) {
	a, ok := s.links[name]
	if !ok {
		return Link{}, false
	}
	return a.Link, true
}

// Attach begins to share a link, or changes its rates. A link with a root qdisc
// that is not the kernel's default is a conflict unless Link.Replace says
// otherwise. On error the link is as it was.
func (s *Shaper) Attach(l Link) error {
	if err := l.Check(); err != nil {
		return err
	}
	if a := s.links[l.Name]; a != nil {
		a.Link = l
		return s.configure(a)
	}
	on, err := s.c.ByName(l.Name)
	if err != nil {
		return err
	}
	slot := slices.Index(s.slots[:], false)
	if slot < 0 {
		return fmt.Errorf("share %s: %d links are shared already, which is the most", l.Name, len(s.slots))
	}
	before, err := s.before(on, l.Replace)
	if err != nil {
		return err
	}
	a := &attached{Link: l, index: on.Index, slot: uint32(slot)}
	if a.entry, err = s.note(before); err != nil {
		return err
	}
	s.slots[slot], s.links[l.Name] = true, a
	if err = s.clear(a.slot); err == nil {
		err = s.setUp(a)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("share %s: %w", l.Name, err), s.Detach(l.Name))
	}
	return nil
}

// before reads what an interface has and says whether that may be changed.
func (s *Shaper) before(on netlinkx.Link, replace bool) (*netlinkx.Before, error) {
	b := &netlinkx.Before{Name: on.Name, Index: on.Index, Netns: s.c.Netns()}
	all, err := s.c.Qdiscs(on.Index)
	if err != nil {
		return nil, err
	}
	root, ok, err := s.c.Root(on.Index)
	if err != nil {
		return nil, err
	}
	if ok && !root.Default() && !root.Ours() {
		if err := replaceable(on.Name, &root, len(all), replace); err != nil {
			return nil, err
		}
		b.Root = &root
	}
	return b, s.beforeFilters(on, b)
}

// replaceable says whether a root qdisc that somebody chose may be replaced.
func replaceable(name string, root *netlinkx.Qdisc, qdiscs int, replace bool) error {
	u := &feature.UnsupportedError{Feature: "network shaping of " + name, Reason: feature.Conflict, Need: "an interface with the kernel's own root qdisc"}
	u.Err = fmt.Errorf("somebody set %s", root)
	switch {
	case !replace:
		u.Fix = "remove it (tc qdisc del dev " + name + " root), or let it be replaced: net.interfaces." + name + ".replace"
	case !slices.Contains(netlinkx.Classless, root.Kind) || qdiscs > 2:
		u.Fix = "remove it (tc qdisc del dev " + name + " root): one with classes cannot be replaced, for it could not be put back"
	default:
		return nil
	}
	return u
}

// beforeFilters looks at the place of filters. One that holds nothing but
// anole's own was left by a run whose journal is lost.
func (s *Shaper) beforeFilters(on netlinkx.Link, b *netlinkx.Before) error {
	kind, err := s.c.Clsact(on.Index)
	switch {
	case err != nil || kind == "":
		return err
	case kind != "clsact":
		return &feature.UnsupportedError{
			Feature: "network shaping of " + on.Name, Reason: feature.Conflict, Need: "a clsact qdisc, or none",
			Fix: "replace the ingress qdisc: tc qdisc replace dev " + on.Name + " clsact",
		}
	}
	mine := false
	for _, at := range []netlinkx.Direction{netlinkx.In, netlinkx.Out} {
		has, err := s.c.HasProgram(on.Index, at)
		if err != nil {
			return err
		}
		mine = mine || has
	}
	others, err := s.c.ClearPrograms(on.Index)
	b.Clsact = !mine || others > 0
	return err
}

// note journals what an interface had.
func (s *Shaper) note(b *netlinkx.Before) (journal.Entry, error) {
	e := journal.Entry{Op: netlinkx.OpLink, Path: b.Path(), Ino: uint64(b.Index)}
	var err error
	if e.Old, err = b.Encode(); err == nil {
		err = s.w.Record(e)
	}
	return e, err
}

// setUp makes the qdiscs first: a packet that is told its class must find it.
func (s *Shaper) setUp(a *attached) error {
	if err := install(s.c, s.mode, a.index); err != nil {
		return explain(s.mode, err)
	}
	if err := s.configure(a); err != nil {
		return err
	}
	if kind, err := s.c.Clsact(a.index); err != nil {
		return err
	} else if kind == "" {
		if err := s.c.AddClsact(a.index); err != nil {
			return err
		}
	}
	return s.programs(a)
}

func (s *Shaper) programs(a *attached) error {
	out := s.mode.program()
	if err := s.c.SetProgram(a.index, netlinkx.Out, out, s.coll.Programs[out].FD()); err != nil {
		return err
	}
	return s.c.SetProgram(a.index, netlinkx.In, "ingress", s.coll.Programs["ingress"].FD())
}

// configure tells qdisc and programs the rates.
func (s *Shaper) configure(a *attached) error {
	if s.mode == HTB {
		if err := s.classes(a); err != nil {
			return err
		}
	}
	if err := s.coll.Maps["uplinks"].Put(uint32(a.index), a.uplink(s.mode, a.slot)); err != nil {
		return fmt.Errorf("configure %s: %w", a.Name, err)
	}
	return nil
}

// queue is how many packets wait in a class before more are dropped.
const queue = 1000

// classes makes the HTB classes, or changes their rates. The latency-sensitive
// one is first to borrow, best-effort work last.
func (s *Shaper) classes(a *attached) error {
	const whole = 1
	out := uint64(a.Out)
	if err := s.c.SetClass(a.index, netlinkx.HTBClass{Minor: whole, Rate: out, Ceil: out}); err != nil {
		return err
	}
	for prio, c := range []Class{LS, Rest, BE} {
		k := netlinkx.HTBClass{Minor: c.minor(), Parent: whole, Rate: uint64(a.Out.of(a.share(c))), Ceil: out, Prio: uint32(prio)}
		if err := s.c.SetClass(a.index, k); err != nil {
			return err
		}
		// The default queue is as long as the interface's, which may be 0.
		if err := s.c.SetFIFO(a.index, netlinkx.Handle(k.Minor), uint32(netlinkx.Major+k.Minor)<<16, queue); err != nil {
			return err
		}
	}
	return nil
}

// clear empties the state of a slot that another link had.
func (s *Shaper) clear(slot uint32) error {
	for d := range uint32(2) {
		at := slot*2 + d
		if err := s.coll.Maps["states"].Update(at, bpf.ShapeState{}, ebpf.UpdateLock); err != nil {
			return fmt.Errorf("clear state: %w", err)
		}
		zero := make([]bpf.ShapeCount, ebpf.MustPossibleCPU())
		for c := range uint32(classes) {
			if err := s.coll.Maps["counts"].Put(at*uint32(classes)+c, zero); err != nil {
				return fmt.Errorf("clear counters: %w", err)
			}
		}
	}
	return nil
}

// Detach puts a link back as it was. One that is gone, or not shared, is no
// error.
func (s *Shaper) Detach(name string) error {
	a := s.links[name]
	if a == nil {
		return nil
	}
	if err := s.undo(&a.entry); err != nil {
		return err
	}
	delete(s.links, name)
	s.slots[a.slot] = false
	_ = s.coll.Maps["uplinks"].Delete(uint32(a.index)) // gone with the programs anyway
	return nil
}

func (s *Shaper) undo(e *journal.Entry) error {
	return errors.Join(s.w.Restore(func(x *journal.Entry) bool { return x.Key() == e.Key() })...)
}

// Close puts all links back and frees the programs.
func (s *Shaper) Close() error {
	var errs []error
	for _, name := range s.Links() {
		errs = append(errs, s.Detach(name))
	}
	for index := range s.ports {
		errs = append(errs, s.ClearPort(index))
	}
	s.coll.Close()
	return errors.Join(append(errs, s.c.Close())...)
}
