package qos

import (
	"fmt"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/workload"
)

// feedbackSense takes in the services of which another room says that their requests
// take longer than usual, and finds whose they are.
type feedbackSense struct {
	reg   *workload.Breaches // nil without such a room
	found map[string]finding // by ID of the service
	all   []workload.Breach  // of the last Step
	slow  []control.Slow     // of these, those of known workloads
}

// finding is whose a service was found to be.
type finding struct {
	g   *group // nil is nobody's
	at  time.Time
	pid uint32
	rel string
}

// findEvery is for how long a finding is good.
const findEvery = time.Second

// signals gives the slow services of known workloads.
func (f *feedbackSense) signals(e *Engine, now time.Time) []control.Slow {
	f.slow = f.slow[:0]
	if f.all = f.reg.Current(now); len(f.all) == 0 {
		clear(f.found)
		return nil
	}
	if f.found == nil {
		f.found = map[string]finding{}
	}
	for i := range f.all {
		b := &f.all[i]
		if g := f.owner(e, b, now); g != nil {
			f.slow = append(f.slow, control.Slow{ID: b.ID, Of: b.Service, Member: &g.Member, P99: b.P99, Usual: b.Usual, Cause: b.Cause})
		}
	}
	for id, x := range f.found {
		if now.Sub(x.at) > findEvery {
			delete(f.found, id)
		}
	}
	return f.slow
}

// owner is whose a service is, as found within the last second.
func (f *feedbackSense) owner(e *Engine, b *workload.Breach, now time.Time) *group {
	x, ok := f.found[b.ID]
	age := now.Sub(x.at)
	if !ok || age < 0 || age >= findEvery || x.pid != b.PID || x.rel != b.Cgroup || x.g != nil && e.groups[x.g.w.Ino] != x.g {
		x = finding{g: e.serves(b), at: now, pid: b.PID, rel: b.Cgroup}
		f.found[b.ID] = x
	}
	return x.g
}

// serves finds the workload of a service, nil if none is known. On cgroup v2 a
// service's path is its socket's, which says more than a process that may be another
// by now; on v1 it is of some hierarchy, and the process tells the one that counts.
func (e *Engine) serves(b *workload.Breach) *group {
	v, ok := e.tree.Version("cpu")
	if ok && v == cgroup.V1 {
		if rel, err := procfs.ControllerCgroup(e.root, int(b.PID), "cpu"); err == nil && b.PID != 0 {
			return e.holder(rel)
		}
		return e.holder(b.Cgroup)
	}
	if g := e.holder(b.Cgroup); g != nil || b.PID == 0 {
		return g
	}
	rel, err := procfs.UnifiedCgroup(e.root, int(b.PID))
	if err != nil {
		return nil
	}
	return e.holder(rel)
}

// holder is the group whose the processes in a cgroup are: the lowest one.
func (e *Engine) holder(rel string) (g *group) {
	if rel == "" {
		return nil
	}
	for _, x := range e.order {
		if x.w.Holds(rel) && (g == nil || len(x.w.Path) > len(g.w.Path)) {
			g = x
		}
	}
	return g
}

// mechanism says by what slow requests are known here.
func (f *feedbackSense) mechanism(e *Engine) Mechanism {
	m := Mechanism{Name: "feedback", Using: "off", Why: "feedback.requests is off"}
	switch p := &e.policy.Feedback; {
	case p.Requests == "off":
	case f.reg == nil:
		m.Why = "the room tcprt, which times requests, is not built in"
	default:
		m.Using, m.Why = "requests", "slow requests of LS services hold best-effort work back, "+p.String()
		if share, _ := e.ctl.Feedback(); share < 1 {
			m.Why += fmt.Sprintf("; now to %.0f %%", share*100)
		}
	}
	return m
}

// SlowStatus is a service of a workload whose requests take longer than usual.
type SlowStatus struct {
	Service string  `json:"service"`
	P99     float64 `json:"p99_seconds"`
	Usual   float64 `json:"usual_seconds"`
	Cause   string  `json:"cause"`
	Effect  string  `json:"effect"` // on best-effort work
}

// of gives a group's slow services.
func (f *feedbackSense) of(e *Engine, g *group) (out []SlowStatus) {
	for i := range f.slow {
		x := &f.slow[i]
		if x.Member != &g.Member {
			continue
		}
		s := SlowStatus{Service: x.Of, P99: x.P99.Seconds(), Usual: x.Usual.Seconds(), Cause: x.Cause, Effect: "it holds best-effort work back"}
		switch {
		case e.policy.Feedback.Requests == "off":
			s.Effect = "none: feedback.requests is off"
		case !g.Class.Sensitive():
			s.Effect = "none: " + g.Class.String() + " is not latency-sensitive"
		case e.policy.BE.Suppress == "off":
			s.Effect = "none: be.suppress is off"
		case e.ctl.LetGo(x.ID, e.last):
			s.Effect = "none: holding best-effort work back did not help"
		}
		out = append(out, s)
	}
	return out
}

// heeded counts the slow services that hold best-effort work back.
func (f *feedbackSense) heeded(e *Engine) (n int) {
	for i := range f.slow {
		if x := &f.slow[i]; x.Member.Class.Sensitive() && e.policy.Feedback.Requests != "off" && !e.ctl.LetGo(x.ID, e.last) {
			n++
		}
	}
	return n
}

// String says it for people.
func (s SlowStatus) String() string {
	ms := func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v*1e3), ".0") + " ms" }
	return fmt.Sprintf("of %s at p99 %s, usually %s (%s); effect on best-effort work: %s", s.Service, ms(s.P99), ms(s.Usual), s.Cause, s.Effect)
}
