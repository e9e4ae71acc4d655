package qos

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
)

// knob is one thing of one cgroup that the Engine changes, with a single
// owner: all intents for it have been merged before they get here.
type knob interface {
	owner() uint64 // inode of the cgroup
	// set makes the node hold what the intent says, and lists the writes that
	// were needed. Nothing is written when the node holds it already.
	set(w *cgroup.Writer, in *control.Intent) ([]change, error)
	// reset puts the original back and forgets it in the journal.
	reset(w *cgroup.Writer) error
	// holding is the value of the last set, "" before the first.
	holding() string
	common() *held
	// state gives original and current content of the files, for people.
	state() []FileState
	// drifted says whether somebody else wrote since the last set: theirs is the
	// group's own value from then on, which adopt takes for the original.
	drifted() bool
	adopt(w *cgroup.Writer) error
}

// change is one write.
type change struct {
	file, old, new string
	adopted        bool // by somebody else: old was wanted, new is theirs
}

// FileState is one control file as `anole qos explain` shows it.
type FileState struct {
	File       string `json:"file"`
	Original   string `json:"original"`
	Current    string `json:"current"`
	Wanted     string `json:"wanted"`
	Controller string `json:"controller"`
	Why        string `json:"why"`
}

// held is what all knobs have.
type held struct {
	g     *actuate.Group
	value string
	// touched says that a set was begun since the last reset, so that there may
	// be something to put back even if value is "".
	touched bool
	fails   int
	retry   time.Time
	looked  time.Time     // when it was last compared with the file
	every   time.Duration // how often that is done; 0 is ownedEvery
	round   uint64        // of the last Step that wanted it
	last    control.Intent
	reader  *cgroup.File // of peek
	buf     [64]byte
}

func (h *held) owner() uint64   { return h.g.CPU.Ino() }
func (h *held) holding() string { return h.value }
func (h *held) common() *held   { return h }

// write applies edits in order, each journalled by the Writer.
func write(w *cgroup.Writer, edits []cgroup.Edit) ([]change, error) {
	var out []change
	for _, ed := range edits {
		old, err := ed.Dir.ReadFile(ed.File)
		if err != nil {
			return out, err
		}
		wrote, err := w.Set(ed)
		if err != nil {
			return out, err
		}
		if wrote {
			out = append(out, change{file: filepath.Join(ed.Dir.Path(), ed.File), old: trim(old), new: ed.Value})
		}
	}
	return out, nil
}

// undo restores the journalled originals of some of a cgroup's files.
func (h *held) undo(w *cgroup.Writer, files ...cgroup.Edit) error {
	errs := w.Restore(writesTo(files))
	h.value = ""
	if len(errs) > 0 {
		return errs[0]
	}
	h.touched = false
	return nil
}

// forget ends the journal's entries of some files: what they hold is their own.
func (h *held) forget(w *cgroup.Writer, files ...cgroup.Edit) error {
	h.value = ""
	return w.ForgetWhere(writesTo(files))
}

// writesTo selects the journal's entries of files.
func writesTo(files []cgroup.Edit) func(*journal.Entry) bool {
	return func(e *journal.Entry) bool {
		return e.Op == journal.OpWrite && slices.ContainsFunc(files, func(f cgroup.Edit) bool {
			return e.Ino == f.Dir.Ino() && e.Path == filepath.Join(f.Dir.Path(), f.File)
		})
	}
}

// fileStates reads files for people.
func (h *held) fileStates(originals map[string]string, files []cgroup.Edit) []FileState {
	var out []FileState
	for _, f := range files {
		now, err := f.Dir.ReadFile(f.File)
		s := FileState{
			File: filepath.Join(f.Dir.Path(), f.File), Current: trim(now), Wanted: h.last.Value,
			Controller: h.last.Controller, Why: h.last.Why, Original: originals[f.File],
		}
		if err != nil {
			s.Current = err.Error()
		}
		out = append(out, s)
	}
	return out
}

// yieldKnob lowers the priority of a group.
type yieldKnob struct {
	held
	m        actuate.Mechanism
	edit     cgroup.Edit
	original map[string]string
}

func (k *yieldKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	edit, originals := k.g.Yield(k.m)
	k.original = remember(k.original, originals)
	if err := w.Journal(originals...); err != nil {
		return nil, err
	}
	out, err := write(w, []cgroup.Edit{edit})
	if err == nil {
		k.value, k.last = in.Value, *in
	}
	return out, err
}

func (k *yieldKnob) reset(w *cgroup.Writer) error {
	if k.drifted() {
		if err := k.adopt(w); err != nil {
			return err
		}
	}
	_, originals := k.g.Yield(k.m)
	return k.undo(w, originals...)
}

func (k *yieldKnob) drifted() bool {
	if k.edit.Dir == nil {
		k.edit, _ = k.g.Yield(k.m)
	}
	return k.differs(k.edit)
}

// adopt takes the weight too if it was written: whoever takes cpu.idle back has
// the kernel put the default there, which is nobody's wish.
func (k *yieldKnob) adopt(w *cgroup.Writer) error {
	edit, originals := k.g.Yield(k.m)
	k.original = nil
	theirs := []cgroup.Edit{edit}
	for _, o := range originals {
		now, err := o.Dir.ReadFile(o.File)
		if v := trim(now); err == nil && v != defaultShares && v != defaultWeight {
			theirs = append(theirs, o)
		}
	}
	return k.forget(w, theirs...)
}

// The kernel's defaults of cpu.shares and cpu.weight.
const (
	defaultShares = "1024"
	defaultWeight = "100"
)

// differs says whether the file of an edit holds another value. One that cannot
// be read does not: the next look at the tree settles it.
func (h *held) differs(e cgroup.Edit) bool {
	if h.value == "" {
		return false
	}
	now, err := h.peek(e)
	return err == nil && string(now) != e.Value
}

// peek reads the file of an edit, which stays open for the next time: all knobs
// are compared once a second, and open, read, close costs 15 times a read. What
// it gives is valid until the next call.
func (h *held) peek(e cgroup.Edit) (now []byte, err error) {
	if h.reader == nil {
		if h.reader, err = e.Dir.Open(e.File); err != nil {
			return nil, err
		}
	}
	if now, err = h.reader.Read(h.buf[:]); err == nil && len(now) == len(h.buf) {
		now, err = e.Dir.ReadFile(e.File) // it is longer
	}
	return bytes.TrimSpace(now), err
}

// close lets go of what peek opened.
func (h *held) close() {
	if h.reader != nil {
		_ = h.reader.Close()
	}
	h.reader = nil
}

func (k *yieldKnob) state() []FileState {
	edit, _ := k.g.Yield(k.m)
	return k.fileStates(k.original, []cgroup.Edit{edit})
}

// bandwidthKnob holds a group's CPU limit: quota, period and burst.
type bandwidthKnob struct {
	held
	now      burst.Bandwidth // what the kernel holds
	native   burst.Bandwidth // what it held before the first set
	started  bool
	mine     bool // g is the knob's own
	original map[string]string
}

// bandwidthValue is the canonical form of a limit.
func bandwidthValue(b burst.Bandwidth) string {
	q := "max"
	if b.Quota != burst.Unlimited {
		q = strconv.FormatInt(int64(b.Quota), 10)
	}
	return fmt.Sprintf("quota %s period %d burst %d µs", q, b.Period, b.Burst)
}

// set is for one knob what Engine.setLimits is for all.
func (k *bandwidthKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	to, err := k.goal(in)
	if err != nil {
		return nil, err
	}
	wrote, errs := actuate.Apply(w, []actuate.Change{{Group: k.g, To: to}}, to.Burst > to.Quota)
	if errs != nil {
		err = errs[0]
	}
	k.reached(in, to, err)
	return changesOf(wrote), err
}

// goal is what an intent asks for. The first one finds what the group has.
func (k *bandwidthKnob) goal(in *control.Intent) (to burst.Bandwidth, err error) {
	if !k.started {
		if k.native, err = k.g.Bandwidth(); err != nil {
			return to, err
		}
		k.original = remember(nil, k.g.Originals())
		k.now, k.started = k.native, true
	}
	if in.Value == "" {
		return k.native, nil
	}
	to, ok := in.Payload.(burst.Bandwidth)
	if !ok {
		return to, fmt.Errorf("set limit of %s: intent of %s has no bandwidth", k.g.Rel, in.Controller)
	}
	return to, nil
}

// reached books a change.
func (k *bandwidthKnob) reached(in *control.Intent, to burst.Bandwidth, err error) {
	if err == nil {
		k.now, k.value, k.last = to, in.Value, *in
		return
	}
	k.value = "" // part of the way may be done: look where the kernel stands
	if now, rerr := k.g.Bandwidth(); rerr == nil {
		k.now = now
	}
}

func (k *bandwidthKnob) reset(w *cgroup.Writer) error {
	if k.drifted() {
		return k.adopt(w)
	}
	k.started = false
	return k.undo(w, k.g.Originals()...)
}

func (k *bandwidthKnob) state() []FileState { return k.fileStates(k.original, k.g.Originals()) }

// drifted says whether somebody else changed the limit since the last set. Their
// value is not to be overwritten by a restore.
func (k *bandwidthKnob) drifted() bool {
	if !k.started {
		return false
	}
	now, err := k.g.Bandwidth()
	return err == nil && now != k.now
}

// adopt takes the limit that somebody else wrote for the original from now on.
func (k *bandwidthKnob) adopt(w *cgroup.Writer) error {
	k.started, k.touched = false, false
	return k.forget(w, k.g.Originals()...)
}

// cpusetKnob confines a group to some CPUs.
type cpusetKnob struct {
	held
	cpuset   *cgroup.Dir
	allowed  []int // the CPUs that it has without us
	original map[string]string
}

// own reads the CPUs that the group has: its set, as far as its parent's set and
// the CPUs online let it have them. On v1 that is none until somebody fills the
// set, and no task can be there so long.
func (k *cpusetKnob) own() error {
	if !k.cpuset.Has("cpuset.cpus") {
		return &feature.UnsupportedError{
			Feature: "CPU sets of " + k.g.Rel, Reason: feature.Conflict, Need: "the cpuset controller handed down to the group",
			Fix: "echo +cpuset > " + filepath.Join(filepath.Dir(k.cpuset.Path()), "cgroup.subtree_control") + ", or be.suppress: quota",
		}
	}
	for _, file := range []string{"cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"} { // v2, v1, old
		b, err := k.cpuset.ReadFile(file)
		if err != nil {
			continue
		}
		if k.allowed, err = cgroup.ParseCPUList(trim(b)); err != nil {
			return fmt.Errorf("read %s of %s: %w", file, k.g.Rel, err)
		}
		if len(k.allowed) > 0 {
			return nil
		}
	}
	return nil
}

// confined is the last n of those CPUs, at least one.
func (k *cpusetKnob) confined(n int) string {
	n = min(max(1, n), len(k.allowed))
	return cgroup.FormatCPUList(k.allowed[len(k.allowed)-n:])
}

func (k *cpusetKnob) edit(v string) cgroup.Edit {
	return cgroup.Edit{Dir: k.cpuset, File: "cpuset.cpus", Value: v}
}

func (k *cpusetKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	k.original = remember(k.original, []cgroup.Edit{k.edit("")})
	out, err := write(w, []cgroup.Edit{k.edit(in.Value)})
	if err == nil {
		k.value, k.last = in.Value, *in
	}
	return out, err
}

func (k *cpusetKnob) drifted() bool { return k.differs(k.edit(k.value)) }

func (k *cpusetKnob) adopt(w *cgroup.Writer) error {
	k.original, k.allowed = nil, nil
	return k.forget(w, k.edit(""))
}

func (k *cpusetKnob) reset(w *cgroup.Writer) error {
	if k.drifted() {
		return k.adopt(w)
	}
	return k.undo(w, k.edit(""))
}

func (k *cpusetKnob) place() *cgroup.Dir { return k.cpuset }

func (k *cpusetKnob) state() []FileState {
	return k.fileStates(k.original, []cgroup.Edit{k.edit("")})
}

// remember reads the original content once, for people; the journal has it for
// the restore.
func remember(m map[string]string, edits []cgroup.Edit) map[string]string {
	if m != nil {
		return m
	}
	m = map[string]string{}
	for _, e := range edits {
		if b, err := e.Dir.ReadFile(e.File); err == nil {
			m[e.File] = trim(b)
		}
	}
	return m
}
