package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/journal"
)

// OpKeyed puts one line of a control file back that has a line for each of
// several keys, such as io.max with one for each device. The rest of the file
// is nobody's business.
const OpKeyed journal.Op = "keyed"

func init() { Handle(OpKeyed, undoKeyed) }

// Keyed is one line of a control file with keys ("nested keyed" in
// Documentation/admin-guide/cgroup-v2.rst): "8:16 rbps=2097152 wiops=120".
type Keyed struct {
	Dir   *Dir
	File  string
	Key   string // first word of the line
	Value string // the rest
	// Back gives what to write after the key to have the line read again as it
	// was; line is "" where there was none. Nil writes the line itself.
	Back func(line string) string
	// Was, when set, gives the line to be put back instead of what the file says
	// now: somebody changed a part of a line that is not all theirs.
	Was func(line string) string
}

// Path names the line, for people and the journal.
func (k *Keyed) Path() string { return filepath.Join(k.Dir.path, k.File) + " " + k.Key }

// Line finds the line of a key and gives what follows the key, "" if there is
// no such line.
func Line(b []byte, key string) string {
	for line := range strings.Lines(string(b)) {
		if first, rest, ok := strings.Cut(strings.TrimSpace(line), " "); ok && first == key {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// Holds says whether a line that reads got has all that the value says, in any
// order: the kernel sorts its fields and adds those that were not given.
func Holds(got, value string) bool {
	have := strings.Fields(got)
	for _, f := range strings.Fields(value) {
		if !slices.Contains(have, f) {
			return false
		}
	}
	return got != "" || value == ""
}

// keyedUndo is Entry.Old of OpKeyed.
type keyedUndo struct {
	Line string `json:"line"` // as it read
	Back string `json:"back"` // what to write to have it read so again
}

// SetKeyed writes one line unless the file holds it already, and says what it
// read before and whether it wrote.
func (w *Writer) SetKeyed(k Keyed) (old string, wrote bool, err error) {
	b, err := k.Dir.ReadFile(k.File)
	if err != nil {
		return "", false, fmt.Errorf("read old line: %w", err)
	}
	old = Line(b, k.Key)
	if old != "" && Holds(old, k.Value) {
		return old, false, nil
	}
	e, err := k.entry(w.owner, old)
	if err != nil {
		return old, false, err
	}
	if err := w.j.Record(e); err != nil {
		return old, false, err
	}
	return old, true, w.write(Edit{Dir: k.Dir, File: k.File, Value: k.Key + " " + k.Value})
}

// JournalKeyed records what lines read now, with one fsync for all. SetKeyed
// does so too; calling this first saves fsyncs.
func (w *Writer) JournalKeyed(lines ...Keyed) error {
	entries := make([]journal.Entry, 0, len(lines))
	for i := range lines {
		k := &lines[i]
		b, err := k.Dir.ReadFile(k.File)
		if Gone(err) {
			continue // SetKeyed will say so
		}
		if err != nil {
			return fmt.Errorf("read old line: %w", err)
		}
		e, err := k.entry(w.owner, Line(b, k.Key))
		if err != nil {
			return err
		}
		entries = append(entries, e)
	}
	return w.j.Record(entries...)
}

func (k *Keyed) entry(owner, old string) (journal.Entry, error) {
	if k.Was != nil {
		old = k.Was(old)
	}
	undo := keyedUndo{Line: old, Back: old}
	if k.Back != nil {
		undo.Back = k.Back(old)
	}
	body, err := json.Marshal(undo)
	return journal.Entry{Op: OpKeyed, Path: k.Path(), Ino: k.Dir.ino, Old: body, Owner: owner}, err
}

// Keys selects the journal's entries of lines: of one file, or of all files of
// the directory if file is "", and of one key, or all if key is "".
func (d *Dir) Keys(file, key string) func(*journal.Entry) bool {
	return func(e *journal.Entry) bool {
		if e.Op != OpKeyed || e.Ino != d.ino {
			return false
		}
		at, k := cutKey(e.Path)
		return filepath.Dir(at) == d.path && (file == "" || filepath.Base(at) == file) && (key == "" || k == key)
	}
}

// cutKey splits the path of an entry; a key has no space in it.
func cutKey(path string) (file, key string) {
	i := strings.LastIndexByte(path, ' ')
	if i < 0 {
		return path, ""
	}
	return path[:i], path[i+1:]
}

// undoKeyed puts a line back. Where the line that was set is gone, so is what
// it was about: the kernel drops the lines of a device that is unplugged, and
// another one with its number is not to get them.
func undoKeyed(e *journal.Entry) error {
	var u keyedUndo
	if err := json.Unmarshal(e.Old, &u); err != nil {
		return fmt.Errorf("decode entry of a line: %w", err)
	}
	file, key := cutKey(e.Path)
	d, err := openSame(filepath.Dir(file), e.Ino)
	if err != nil {
		return err
	}
	defer d.Close()
	name := filepath.Base(file)
	b, err := d.ReadFile(name)
	if err != nil {
		return err
	}
	switch Line(b, key) {
	case u.Line:
		return nil
	case "":
		return journal.ErrGone
	}
	if err := d.write(name, key+" "+u.Back); err != nil {
		if errors.Is(err, unix.ENXIO) {
			return journal.ErrGone // no device of that number
		}
		return err
	}
	if b, err = d.ReadFile(name); err != nil {
		return err
	}
	now := Line(b, key)
	if same := now == u.Line || u.Line == "" && Holds(now, u.Back); !same {
		return fmt.Errorf("the line of %s reads %q after %q was written", key, now, u.Back)
	}
	return nil
}
