package qos

import (
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/control"
)

// fileKnob is a control file with one value, in any controller's hierarchy.
type fileKnob struct {
	held
	dir  *cgroup.Dir // owned by the knob: closed with it
	file string
	// same compares what was wanted with what the file says after the kernel
	// rounded it; nil is equality.
	same     func(wanted, reads string) bool
	original map[string]string
}

// fileKnob gives the knob of a group's file in a controller's hierarchy, made
// if it is not there yet; its key is kind and path. An error is Gone when the
// cgroup is.
func (e *Engine) fileKnob(g *group, controller, kind, file string) (key string, k *fileKnob, err error) {
	key = kind + " " + g.w.Path
	if k, ok := e.knobs[key].(*fileKnob); ok {
		return key, k, nil
	}
	d, err := cgroup.OpenDir(e.tree.Path(controller, g.w.Path))
	if err != nil {
		return key, nil, err
	}
	k = &fileKnob{held: held{g: g.cpu}, dir: d, file: file}
	e.knobs[key] = k
	return key, k, nil
}

func (k *fileKnob) edit(v string) cgroup.Edit {
	return cgroup.Edit{Dir: k.dir, File: k.file, Value: v}
}

func (k *fileKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	k.original = remember(k.original, []cgroup.Edit{k.edit("")})
	out, err := write(w, []cgroup.Edit{k.edit(in.Value)})
	if err == nil {
		k.value, k.last = in.Value, *in
	}
	return out, err
}

func (k *fileKnob) reset(w *cgroup.Writer) error {
	if k.drifted() {
		return k.adopt(w)
	}
	return k.undo(w, k.edit(""))
}

func (k *fileKnob) state() []FileState {
	return k.fileStates(k.original, []cgroup.Edit{k.edit("")})
}

func (k *fileKnob) drifted() bool {
	if k.same == nil || k.value == "" {
		return k.differs(k.edit(k.value))
	}
	now, err := k.peek(k.edit(k.value))
	return err == nil && !k.same(k.value, string(now))
}

func (k *fileKnob) adopt(w *cgroup.Writer) error {
	k.original = nil
	return k.forget(w, k.edit(""))
}

func (k *fileKnob) place() *cgroup.Dir { return k.dir }

// placed is a knob with a directory of its own, which on cgroup v1 has another
// inode than the group's in the cpu hierarchy.
type placed interface{ place() *cgroup.Dir }
