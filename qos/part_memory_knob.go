package qos

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/memory"
)

// memoryLook is how often a memory knob is compared with its file: nobody but a
// kubelet that was reconfigured writes there, and on a node with 200 workloads
// a look a second at each would cost half a percent of a core.
const memoryLook = 15 * time.Second

// own gives what the file holds without us: what it held before the first set.
func (k *fileKnob) own() (uint64, error) {
	if k.value != "" {
		if was, ok := k.original[k.file]; ok {
			return cgroup.Uint([]byte(was))
		}
	}
	b, err := k.dir.ReadFile(k.file)
	if err != nil {
		return 0, err
	}
	return cgroup.Uint(b)
}

// boundKnob is memory.high or, on v1, memory.limit_in_bytes. To go below what
// the group uses makes the kernel reclaim while the writer waits, so the Worker
// does that.
type boundKnob struct {
	fileKnob
	part *memoryPart
	mg   *memGroup
	was  string // before the step in hand
}

func (k *boundKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	if k.part.exposed(k.mg) { // no lower before killing is off
		if at, err := k.mg.files.Number(k.file); err != nil || uint64(in.Number) < at {
			return nil, err
		}
	}
	used, err := k.mg.files.Usage(k.part.buf[:])
	if err != nil {
		return nil, err
	}
	if uint64(in.Number) >= used {
		return k.fileKnob.set(w, in)
	}
	k.original = remember(k.original, []cgroup.Edit{k.edit("")})
	now, err := k.dir.ReadFile(k.file)
	if err != nil {
		return nil, err
	}
	if err := w.Journal(k.edit(in.Value)); err != nil {
		return nil, err
	}
	job := memory.Job{Path: k.dir.Path(), Ino: k.dir.Ino(), File: k.file, Value: in.Value}
	if k.part.work().Do(job) { // else it is tried again in the next Step
		k.value, k.last, k.was = in.Value, *in, trim(now)
	}
	return nil, nil
}

// stays while a step is under way, which would end after what is put back.
func (k *boundKnob) stays() bool { return k.part.busy(k.dir.Path()) }

// drifted is no while a step is under way: the file then holds either value.
func (k *boundKnob) drifted() bool {
	return !k.part.busy(k.dir.Path()) && k.fileKnob.drifted()
}

// done books the outcome of a step.
func (k *boundKnob) done(e *Engine, key string, r *memory.Result) {
	changes := []change{{file: filepath.Join(k.dir.Path(), k.file), old: k.was, new: r.Value}}
	if r.Err == nil {
		e.record(&k.last, changes, nil)
		e.settle(&k.held, key, e.last, nil)
		return
	}
	k.value = "" // the node holds no known value
	if r.Err == memory.ErrCancelled || cgroup.Gone(r.Err) {
		return
	}
	e.record(&k.last, changes, r.Err)
	e.settle(&k.held, key, e.last, r.Err)
}

// memoryKnob gives the knob of one file of a group.
func (p *memoryPart) memoryKnob(g *group, kind, file string) (string, *fileKnob, error) {
	key, k, err := p.e.fileKnob(g, "memory", kind, file)
	if err == nil {
		k.every = memoryLook
	}
	return key, k, err
}

// boundKnob makes sure of the knob of the group's bound.
func (p *memoryPart) boundKnob(mg *memGroup) error {
	if p.e.knobs[mg.boundKey] != nil {
		return nil
	}
	d, err := cgroup.OpenDir(mg.files.Dir.Path())
	if err != nil {
		return err
	}
	p.e.knobs[mg.boundKey] = &boundKnob{
		fileKnob: fileKnob{held: held{g: mg.g.cpu, every: memoryLook}, dir: d, file: mg.boundFile}, part: p, mg: mg,
	}
	return nil
}

// parentKnob gives the knob of a file of a cgroup above groups. One whose
// cgroup was removed is dropped with what the journal holds of it.
func (p *memoryPart) parentKnob(key, rel, file string) (*fileKnob, error) {
	e := p.e
	if k, ok := e.knobs[key].(*fileKnob); ok {
		if k.dir.Alive() {
			return k, nil
		}
		e.journalled(e.w.Forget(k.dir))
		e.forget(key, k)
	}
	d, err := cgroup.OpenDir(e.tree.Path("memory", rel))
	if err != nil {
		return nil, err
	}
	k := &fileKnob{held: held{g: &actuate.Group{Rel: rel, CPU: d}, every: memoryLook}, dir: d, file: file}
	e.knobs[key] = k
	return k, nil
}

// boundOf gives the directory of the group of whose bound the entry speaks, ""
// if of none.
func boundOf(e *journal.Entry) string {
	switch {
	case e.Op == memory.OpOOMControl:
		return e.Path
	case e.Op != journal.OpWrite:
		return ""
	}
	switch dir, file := filepath.Split(e.Path); file {
	case memory.FileHigh, memory.FileLimitV1:
		return filepath.Clean(dir)
	}
	return ""
}

// underWay says whether the entry is of a bound that the worker, which could not
// be stopped at once, is still setting: to put it back now would be for nothing.
func (p *memoryPart) underWay(e *journal.Entry) bool {
	dir := boundOf(e)
	return dir != "" && p.busy(dir)
}

// settle puts the bound of a group back that was let go while it was being set.
func (p *memoryPart) settle(r *memory.Result) {
	rel := strings.TrimPrefix(r.Path, p.e.tree.Mount("memory"))
	for _, err := range p.e.w.Restore(func(e *journal.Entry) bool { return e.Ino == r.Ino && boundOf(e) == r.Path }) {
		p.e.degrade("restore "+rel, err)
	}
}
