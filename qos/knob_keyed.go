package qos

import (
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/control"
)

// keyedLine is one line of a control file with a line for each key.
type keyedLine struct {
	file, key, value string
	none             string                   // the value of no line
	back             func(line string) string // see cgroup.Keyed
}

func (l *keyedLine) same(o keyedLine) bool { return l.file == o.file && l.key == o.key }

// keyedKnob holds some lines of some files of one cgroup; an intent's Payload
// lists all that it is to hold, a []keyedLine. Lines of others stay theirs.
type keyedKnob struct {
	held
	dir      *cgroup.Dir             // owned by the knob: closed with it
	checked  time.Time               // when its maker last looked whether the cgroup is there
	lines    []keyedLine             // in force
	files    map[string]*cgroup.File // that were compared, held open
	scratch  []byte                  // to read those into, the maker's
	original map[string]string
}

func (k *keyedKnob) keyed(l keyedLine) cgroup.Keyed {
	return cgroup.Keyed{Dir: k.dir, File: l.file, Key: l.key, Value: l.value, Back: l.back}
}

// set writes the lines that differ and puts those back that are wanted no more.
// A line that the kernel has no device for is passed over: it was unplugged a
// moment ago.
func (k *keyedKnob) set(w *cgroup.Writer, in *control.Intent) ([]change, error) {
	want, _ := in.Payload.([]keyedLine)
	out, err := k.giveUp(w, want)
	if err != nil {
		return out, err
	}
	for _, l := range want {
		i := slices.IndexFunc(k.lines, l.same)
		if i >= 0 && k.lines[i].value == l.value {
			continue
		}
		if i >= 0 {
			if theirs, foreign := k.foreign(k.lines[i]); foreign {
				mine := k.keyed(k.lines[i])
				if err := k.adoptLine(w, i); err != nil {
					return out, err
				}
				out = append(out, change{file: mine.Path(), old: mine.Value, new: theirs, adopted: true})
				i = -1
			}
		}
		line := k.keyed(l)
		old, wrote, err := w.SetKeyed(line)
		if errors.Is(err, unix.ENODEV) && k.dir.Alive() || errors.Is(err, unix.ENXIO) {
			continue
		}
		if err != nil {
			return out, err
		}
		if wrote {
			out = append(out, change{file: line.Path(), old: old, new: l.value})
		}
		k.hold(i, l, old)
	}
	k.value, k.last = in.Value, *in
	return out, nil
}

// hold books that a line is in force; i is where it was in lines, or -1.
func (k *keyedKnob) hold(i int, l keyedLine, old string) {
	if i >= 0 {
		k.lines[i] = l
		return
	}
	k.lines = append(k.lines, l)
	if k.original == nil {
		k.original = map[string]string{}
	}
	if _, adopted := k.original[l.file+" "+l.key]; !adopted {
		k.original[l.file+" "+l.key] = old
	}
}

// giveUp puts back the lines that are not wanted any more.
func (k *keyedKnob) giveUp(w *cgroup.Writer, want []keyedLine) ([]change, error) {
	var out []change
	for i := 0; i < len(k.lines); {
		l := k.lines[i]
		if slices.ContainsFunc(want, l.same) {
			i++
			continue
		}
		line := k.keyed(l)
		if errs := w.Restore(k.dir.Keys(l.file, l.key)); len(errs) > 0 {
			return out, errs[0]
		}
		out = append(out, change{file: line.Path(), old: l.value, new: k.original[l.file+" "+l.key]})
		k.drop(i)
	}
	return out, nil
}

func (k *keyedKnob) drop(i int) {
	delete(k.original, k.lines[i].file+" "+k.lines[i].key)
	k.lines = slices.Delete(k.lines, i, i+1)
}

func (k *keyedKnob) reset(w *cgroup.Writer) error {
	if err := k.adopt(w); err != nil {
		return err // what somebody else wrote stays
	}
	were := slices.Clone(k.lines)
	if _, err := k.giveUp(w, nil); err != nil {
		return err
	}
	// A set that failed half-way has entries of lines that are not in lines.
	if errs := w.Restore(k.ours); len(errs) > 0 {
		return errs[0]
	}
	k.touched = false
	k.lines = were // for state: the record of what was put back
	return nil
}

// ours selects the journal's entries of the knob's files.
func (k *keyedKnob) ours(e *journal.Entry) bool { return k.dir.Keys("", "")(e) }

// peekAt reads a file that stays open for the next time, as held.peek does; what
// it gives is the caller's.
func (k *keyedKnob) peekAt(file string) ([]byte, error) {
	f := k.files[file]
	if f == nil {
		var err error
		if f, err = k.dir.Open(file); err != nil {
			return nil, err
		}
		if k.files == nil {
			k.files = map[string]*cgroup.File{}
		}
		k.files[file] = f
	}
	b, err := f.Read(k.scratch)
	if err == nil && len(b) == len(k.scratch) {
		return k.dir.ReadFile(file) // it is longer
	}
	return slices.Clone(b), err
}

func (k *keyedKnob) closeFiles() {
	for _, f := range k.files {
		_ = f.Close()
	}
	k.files = nil
}

// foreign gives what a line reads, and whether that is other than it was set.
func (k *keyedKnob) foreign(l keyedLine) (string, bool) {
	b, err := k.peekAt(l.file)
	now := cgroup.Line(b, l.key)
	return now, err == nil && !cgroup.Holds(now, l.value)
}

// astray lists the lines that read otherwise than they were set.
func (k *keyedKnob) astray() (out []int) {
	content := map[string][]byte{}
	for i, l := range k.lines {
		b, ok := content[l.file]
		if !ok {
			var err error
			if b, err = k.peekAt(l.file); err != nil {
				return nil // it went away
			}
			content[l.file] = b
		}
		if !cgroup.Holds(cgroup.Line(b, l.key), l.value) {
			out = append(out, i)
		}
	}
	return out
}

func (k *keyedKnob) drifted() bool { return k.value != "" && len(k.astray()) > 0 }

// adopt takes the lines that somebody else wrote for the originals, and only
// those.
func (k *keyedKnob) adopt(w *cgroup.Writer) error {
	for _, i := range slices.Backward(k.astray()) {
		if err := k.adoptLine(w, i); err != nil {
			return err
		}
	}
	k.value = ""
	return nil
}

// adoptLine has a restore leave what somebody wrote. Of a line with several
// fields that may be one of them; the others are still ours, and are put back to
// what they were.
func (k *keyedKnob) adoptLine(w *cgroup.Writer, i int) error {
	l := k.lines[i]
	name := l.file + " " + l.key
	was := k.original[name]
	k.drop(i)
	if err := w.ForgetWhere(k.dir.Keys(l.file, l.key)); err != nil {
		return err
	}
	b, err := k.dir.ReadFile(l.file)
	if err != nil {
		return nil // it went away
	}
	now := cgroup.Line(b, l.key)
	theirs := mixed(now, l.value, was, l.none)
	k.original[name] = theirs
	if theirs == now {
		return nil
	}
	line := k.keyed(l)
	line.Was = func(string) string { return theirs }
	return w.JournalKeyed(line)
}

// mixed is a line with the fields that are as we set them taken back to what
// they were, or to none; "" if nothing is left. A line of one word is theirs
// altogether.
func mixed(now, ours, was, none string) string {
	get := func(line, key string) (string, bool) {
		for _, f := range strings.Fields(line) {
			if k, v, ok := strings.Cut(f, "="); ok && k == key {
				return v, true
			}
		}
		return "", false
	}
	fields := strings.Fields(now)
	for i, f := range fields {
		key, v, ok := strings.Cut(f, "=")
		if !ok {
			return now
		}
		if set, ok := get(ours, key); !ok || set != v {
			continue
		}
		if old, ok := get(was, key); ok {
			fields[i] = key + "=" + old
		} else if old, ok := get(none, key); ok {
			fields[i] = key + "=" + old
		}
	}
	if out := strings.Join(fields, " "); out != none {
		return out
	}
	return ""
}

func (k *keyedKnob) place() *cgroup.Dir { return k.dir }

func (k *keyedKnob) state() []FileState {
	var out []FileState
	for _, l := range k.lines {
		line := k.keyed(l)
		s := FileState{
			File: line.Path(), Wanted: l.value, Original: k.original[l.file+" "+l.key],
			Controller: k.last.Controller, Why: k.last.Why,
		}
		if b, err := k.dir.ReadFile(l.file); err != nil {
			s.Current = err.Error()
		} else {
			s.Current = cgroup.Line(b, l.key)
		}
		out = append(out, s)
	}
	return out
}

// joined is the value of an intent with these lines.
func joined(lines []keyedLine) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l.file + " " + l.key + " " + l.value)
	}
	return b.String()
}
