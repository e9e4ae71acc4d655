package qos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/shape"
)

// netPart shares network interfaces: package shape does it, the part tells it
// which cgroups and which ends of containers' veth pairs are of which class, see
// netMembers, and looks after the interfaces.
type netPart struct {
	e       *Engine
	policy  NetPolicy
	s       *shape.Shaper // nil while off or not to be had
	members *netMembers
	retry   time.Time // when an Open that failed is tried again; zero is with the next policy only
	checked time.Time // when the interfaces were last looked at
	counted time.Time
	dirty   bool                 // the policy changed since they were
	trouble map[string]error     // by interface
	rest    map[string]time.Time // until when one that failed is left alone
	was     map[string]counts    // when last counted
}

type counts = shape.Counts

// NetTotals counts what went over all shared interfaces, by direction
// (shape.Out, shape.In) and class.
type NetTotals struct {
	Count shape.Counts
	Links map[string]int // by mechanism
}

// LinkStatus is one interface that the policy names.
type LinkStatus struct {
	Interface string            `json:"interface"`
	Using     string            `json:"using"` // edt, htb or off
	Why       string            `json:"why,omitempty"`
	Out       shape.Rate        `json:"rate,omitempty"`
	In        shape.Rate        `json:"ingress,omitempty"` // "" where incoming packets are left alone
	Classes   []LinkClassStatus `json:"classes,omitempty"`
}

// LinkClassStatus is one class on one interface. Counters are since it is shared.
type LinkClassStatus struct {
	Class      string     `json:"class"`
	Guaranteed shape.Rate `json:"guaranteed"`
	Sent       uint64     `json:"sent_bytes"`
	SentLost   uint64     `json:"sent_dropped"` // packets
	Got        uint64     `json:"received_bytes"`
	GotLost    uint64     `json:"received_dropped"`
}

const (
	netEvery   = time.Second     // between two readings of counters
	checkEvery = 5 * time.Second // between two looks at the interfaces
	openEvery  = time.Minute     // between two tries to begin, or with an interface that refused
)

func newNetPart(e *Engine) *netPart {
	return &netPart{e: e, trouble: map[string]error{}, rest: map[string]time.Time{}, was: map[string]counts{}, members: newNetMembers(e)}
}

func (n *netPart) name() string    { return "net" }
func (n *netPart) kinds() []string { return []string{netClsFile} }

// install opens what is needed for the first interface: the kernel takes some
// 50 ms to show what it has and to check the programs, for which a Step has no
// time.
func (n *netPart) install(p *Policy) {
	old := n.policy
	n.policy, n.dirty = p.Net, true
	clear(n.rest)
	if n.s != nil && (!n.policy.on() || old.Use != n.policy.Use) {
		n.stop()
	}
	if n.policy.on() && n.s == nil {
		n.open()
	}
	if !n.policy.on() {
		n.forget()
	}
}

func (n *netPart) open() {
	n.retry = time.Time{}
	if n.e.root != "" {
		return // a recorded tree has no interfaces
	}
	mode := shape.Mode("")
	if n.policy.Use != "auto" {
		mode = shape.Mode(n.policy.Use)
	}
	s, err := shape.Open(shape.Options{Writer: n.e.w, Mode: mode})
	if err != nil {
		n.e.degrade("net", err)
		var u *feature.UnsupportedError
		if !errors.As(err, &u) {
			n.retry = time.Now().Add(openEvery)
		}
		return
	}
	delete(n.e.degraded, "net")
	n.s = s
	n.members.begin(s)
}

// stop puts everything back.
func (n *netPart) stop() {
	if n.s == nil {
		return
	}
	for _, name := range n.s.Links() {
		n.count(name)
		n.record(name, string(n.mode()), "default", "no longer wanted", n.s.Detach(name))
	}
	n.members.end()
	if err := n.s.Close(); err != nil {
		n.e.degrade("net", err)
	}
	n.s = nil
	clear(n.was)
}

// forget drops what was said about interfaces.
func (n *netPart) forget() {
	delete(n.e.degraded, "net")
	for name := range n.trouble {
		n.settle(name, nil)
	}
}

func (n *netPart) mode() shape.Mode { m, _ := n.s.Mode(); return m }

func (n *netPart) assign(g *group) { n.members.assign(g) }
func (n *netPart) drop(g *group)   { n.members.drop(g) }

func (n *netPart) sense(now time.Time, _ time.Duration) {
	if n.s == nil {
		if !n.retry.IsZero() && now.After(n.retry) {
			n.open()
		}
		return
	}
	if due(now, n.counted, netEvery) {
		n.counted = now
		for _, name := range n.s.Links() {
			n.count(name)
		}
	}
}

func (n *netPart) decide(out []control.Intent, _ time.Time, _ time.Duration) []control.Intent {
	return n.members.intents(out)
}

// apply looks after interfaces and members. A failure is told and tried again;
// it holds up nothing else.
func (n *netPart) apply(now time.Time) {
	if n.s == nil {
		return
	}
	if due(now, n.checked, checkEvery) || n.dirty {
		n.dirty, n.checked = false, now
		n.look(now)
		n.attach(now)
	}
	if err := n.members.step(now); err != nil {
		n.e.degrade("net members", err)
	} else {
		delete(n.e.degraded, "net members")
	}
}

// look takes in what happened to the interfaces.
func (n *netPart) look(now time.Time) {
	for _, f := range n.s.Check() {
		switch f.What {
		case "repaired":
			n.record(f.Link, "default", string(n.mode()), "somebody removed it", f.Err)
		case "gone", "renamed":
			n.record(f.Link, string(n.mode()), f.What, "the interface is "+f.What, f.Err)
			delete(n.was, f.Link)
		case "replaced":
			n.record(f.Link, string(n.mode()), "another", "somebody else set it", nil)
			n.settle(f.Link, f.Err)
			n.rest[f.Link] = now.Add(openEvery) // who takes turns with somebody does no good
			delete(n.was, f.Link)
		default:
			n.settle(f.Link, f.Err)
		}
	}
}

// attach shares the interfaces that the policy names, and no others.
func (n *netPart) attach(now time.Time) {
	for _, name := range n.s.Links() {
		if _, ok := n.policy.Interfaces[name]; !ok {
			n.count(name)
			n.record(name, string(n.mode()), "default", "the policy does not name it any more", n.s.Detach(name))
			delete(n.was, name)
		}
	}
	for name := range n.trouble {
		if _, ok := n.policy.Interfaces[name]; !ok {
			n.settle(name, nil)
		}
	}
	for _, name := range n.policy.names() {
		if until := n.rest[name]; now.After(until) || until.Sub(now) > openEvery {
			n.share(name, now)
		}
	}
}

// share brings one interface in line with the policy.
func (n *netPart) share(name string, now time.Time) {
	speed, err := linkSpeed(n.e.root, name)
	if n.policy.Interfaces[name].Rate != 0 {
		err = nil
	}
	l := n.policy.link(name, speed)
	old, shared := n.s.Link(name)
	if shared && (err != nil || old == l) {
		return // a link that is down for a moment has no speed
	}
	if err == nil {
		err = n.s.Attach(l)
	}
	delete(n.rest, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.rest[name] = now.Add(openEvery)
	}
	switch {
	case shared:
		n.record(name, describeLink(old), describeLink(l), "the policy or the link's speed changed", err)
	case err == nil:
		_, why := n.s.Mode()
		n.record(name, "default", fmt.Sprintf("%s, %s", n.mode(), describeLink(l)), why, nil)
	}
	n.settle(name, err)
}

func describeLink(l shape.Link) string {
	s := fmt.Sprintf("%s (LS %.0f %%, BE %.0f %%)", l.Out, l.LS*100, l.BE*100)
	if l.In != 0 {
		s += ", ingress " + l.In.String()
	}
	return s
}

// linkSpeed is what the kernel tells of an interface: Mbit a second. Virtual
// ones have none, or one that means nothing.
func linkSpeed(root, name string) (shape.Rate, error) {
	unknown := &feature.UnsupportedError{
		Feature: "network shaping of " + name, Reason: feature.NoHardware, Need: "the interface's rate",
		Fix: "give it: net.interfaces." + name + ".rate",
	}
	b, err := os.ReadFile(filepath.Join(root, "/sys/class/net", name, "speed"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("find interface %s: %w", name, fs.ErrNotExist)
	}
	mbit, perr := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 32)
	if err = errors.Join(err, perr); err != nil || mbit <= 0 {
		unknown.Err = err
		return 0, unknown
	}
	return shape.Rate(mbit) * 1e6, nil
}

// settle books how it stands with an interface.
func (n *netPart) settle(name string, err error) {
	if err == nil {
		delete(n.trouble, name)
		delete(n.e.degraded, "net of "+name)
		return
	}
	n.trouble[name] = err
	n.e.degrade("net of "+name, err)
}

// record tells of a change.
func (n *netPart) record(name, old, now, why string, err error) {
	result := "ok"
	if err != nil {
		result = "error: " + err.Error()
	}
	n.e.totals.wrote("qdisc of "+name, result)
	n.e.history.add(Decision{Time: time.Now().UnixMilli(), Controller: "net", Workload: "-", File: "qdisc of " + name, Old: old, New: now, Why: why, Result: result})
	n.settle(name, err)
}

// count adds what went over a link to the totals.
func (n *netPart) count(name string) {
	c, err := n.s.Counts(name)
	if err != nil {
		return // the next look at the interfaces settles it
	}
	was, sum := n.was[name], &n.e.totals.Net.Count
	for d := range c {
		for k := range c[d] {
			x, y, t := &c[d][k], &was[d][k], &sum[d][k]
			t.Bytes += since(x.Bytes, y.Bytes)
			t.Packets += since(x.Packets, y.Packets)
			t.Dropped += since(x.Dropped, y.Dropped)
			t.DroppedBytes += since(x.DroppedBytes, y.DroppedBytes)
		}
	}
	n.was[name] = c
}

func (n *netPart) links() []LinkStatus {
	var out []LinkStatus
	for _, name := range n.policy.names() {
		out = append(out, n.status(name))
	}
	return out
}

func (n *netPart) status(name string) LinkStatus {
	s := LinkStatus{Interface: name, Using: "off", Why: "net.use is off"}
	if n.s == nil {
		if d, ok := n.e.degraded["net"]; ok {
			s.Why = d.Detail
		}
		return s
	}
	l, ok := n.s.Link(name)
	if !ok {
		s.Why = "not yet looked at"
		if err := n.trouble[name]; err != nil {
			s.Why = err.Error()
		}
		return s
	}
	s.Using, s.Why, s.Out, s.In = string(n.mode()), "", l.Out, l.In
	c := n.was[name]
	for _, k := range shape.Classes() {
		s.Classes = append(s.Classes, LinkClassStatus{
			Class: k.String(), Guaranteed: l.Guaranteed(k),
			Sent: c[shape.Out][k].Bytes, SentLost: c[shape.Out][k].Dropped, Got: c[shape.In][k].Bytes, GotLost: c[shape.In][k].Dropped,
		})
	}
	return s
}

// describe says how the packets of a workload count.
func (n *netPart) describe(g *group, s *WorkloadStatus) {
	if n.s != nil {
		s.Network = netClass(g.Class).String()
	}
}

func (n *netPart) mechanisms() []Mechanism {
	m := Mechanism{"network", "off", "the policy names no interface: net.interfaces"}
	switch {
	case n.policy.Use == "off":
		m.Why = "net.use is off"
	case n.s != nil:
		mode, why := n.s.Mode()
		m.Using, m.Why = map[shape.Mode]string{shape.EDT: "EDT + fq", shape.HTB: "HTB + cls_bpf"}[mode], why
	case n.policy.on():
		m.Why = n.e.degraded["net"].Detail
	}
	return []Mechanism{m}
}

func (n *netPart) explain(g *group) []FileState { return n.members.explain(g) }

func (n *netPart) close() error {
	n.stop()
	return nil
}

// netClass is how a class counts on the network.
func netClass(c class.Class) shape.Class {
	switch {
	case c.Sensitive():
		return shape.LS
	case c == class.BE:
		return shape.BE
	}
	return shape.Rest
}

// netLinks counts the shared interfaces by mechanism, for Totals.
func (n *netPart) netLinks() map[string]int {
	out := map[string]int{string(shape.EDT): 0, string(shape.HTB): 0}
	if n.s != nil {
		out[string(n.mode())] = len(n.s.Links())
	}
	return out
}
