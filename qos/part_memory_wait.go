package qos

import (
	"errors"
	"fmt"
	"strings"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/memory"
)

// waitKnob has tasks that run into a v1 limit wait for memory instead of being
// killed (memory.oom_control), for as long as the limit is the agent's bound:
// that is lower than the group's own and is raised at the next look.
type waitKnob struct {
	held
	part *memoryPart
	mg   *memGroup
	dir  *cgroup.Dir
}

// mayWait makes sure of the knob; it is an error where the group has its own
// limit's OOM killer off already.
func (p *memoryPart) mayWait(mg *memGroup) bool {
	if p.e.knobs[mg.waitKey] != nil {
		return true
	}
	d, err := cgroup.OpenDir(mg.files.Dir.Path())
	if err != nil {
		return false
	}
	if off, err := memory.OOMKillOff(d); err != nil || off {
		_ = d.Close()
		return false
	}
	p.e.knobs[mg.waitKey] = &waitKnob{held: held{g: mg.g.cpu, every: memoryLook}, part: p, mg: mg, dir: d}
	return true
}

// exposed says that the kernel would kill at the group's bound, although it can
// be kept from that.
func (p *memoryPart) exposed(mg *memGroup) bool {
	k, ok := p.e.knobs[mg.waitKey]
	return ok && k.holding() == ""
}

func (k *waitKnob) path() string { return k.dir.Path() + "/" + memory.FileOOMV1 }

func (k *waitKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	if err := memory.SetOOMKillOff(w, k.dir); err != nil {
		return nil, err
	}
	k.value, k.last = in.Value, *in
	return []change{{file: k.path(), old: "oom_kill_disable 0", new: "oom_kill_disable 1"}}, nil
}

// stays while the bound does: at a bound that could not be taken off yet, who
// waits would be killed.
func (k *waitKnob) stays() bool {
	bound := k.part.e.knobs[k.mg.boundKey]
	return bound != nil && bound.common().touched
}

func (k *waitKnob) reset(w *cgroup.Writer) error {
	errs := w.Restore(k.ours)
	k.value = ""
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	k.touched = false
	return nil
}

func (k *waitKnob) ours(e *journal.Entry) bool {
	return e.Op == memory.OpOOMControl && e.Path == k.dir.Path() && e.Ino == k.dir.Ino()
}

func (k *waitKnob) drifted() bool {
	off, err := memory.OOMKillOff(k.dir)
	return k.value != "" && err == nil && !off
}

// adopt has nothing to learn: what somebody else can have written is what was
// there. The journal's entry stays, for it is older than that of the bound, and
// has to be when both are undone.
func (k *waitKnob) adopt(*cgroup.Writer) error {
	k.value = ""
	return nil
}

func (k *waitKnob) place() *cgroup.Dir { return k.dir }

func (k *waitKnob) state() []FileState {
	b, err := k.dir.ReadFile(memory.FileOOMV1)
	now, _, _ := strings.Cut(trim(b), "\n")
	if err != nil {
		now = fmt.Sprint(err)
	}
	return []FileState{{
		File: k.path(), Original: "oom_kill_disable 0", Current: now, Wanted: "oom_kill_disable 1", Controller: k.last.Controller, Why: k.last.Why,
	}}
}
