package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/journal"
)

// OpChoice chooses again what was chosen in a file that lists words and puts
// the one in use in brackets, such as queue/scheduler of a disk: such a file
// does not take back what it reads.
const OpChoice journal.Op = "choice"

// OpController takes a controller away again from the children of a cgroup v2.
const OpController journal.Op = "controller"

func init() {
	Handle(OpChoice, undoChoice)
	Handle(OpController, undoController)
}

// Chosen finds the word in brackets.
func Chosen(s string) string {
	_, s, _ = strings.Cut(s, "[")
	s, _, _ = strings.Cut(s, "]")
	return s
}

// Choose has a file's word chosen, and says what was before.
func (w *Writer) Choose(e Edit) (old string, wrote bool, err error) {
	b, err := e.Dir.ReadFile(e.File)
	if err != nil {
		return "", false, fmt.Errorf("read old choice: %w", err)
	}
	if old = Chosen(string(b)); old == e.Value {
		return old, false, nil
	}
	err = w.j.Record(journal.Entry{Op: OpChoice, Path: filepath.Join(e.Dir.path, e.File), Ino: e.Dir.ino, Old: []byte(old), Owner: w.owner})
	if err != nil {
		return old, false, err
	}
	return old, true, w.write(e)
}

func undoChoice(e *journal.Entry) error {
	d, err := openSame(filepath.Dir(e.Path), e.Ino)
	if err != nil {
		return err
	}
	defer d.Close()
	name := filepath.Base(e.Path)
	b, err := d.ReadFile(name)
	if err != nil || Chosen(string(b)) == string(e.Old) {
		return err
	}
	return d.write(name, string(e.Old))
}

const subtreeControl = "cgroup.subtree_control"

// Delegate gives the children of the cgroup v2 d a controller, unless they have
// it, and says whether it did.
func (w *Writer) Delegate(d *Dir, controller string) (wrote bool, err error) {
	if there, err := d.hands(controller); err != nil || there {
		return false, err
	}
	path := filepath.Join(d.path, subtreeControl) + " " + controller
	if err := w.j.Record(journal.Entry{Op: OpController, Path: path, Ino: d.ino, Owner: w.owner}); err != nil {
		return false, err
	}
	return true, w.write(Edit{Dir: d, File: subtreeControl, Value: "+" + controller})
}

// undoController takes it away unless somebody has come to rely on it.
func undoController(e *journal.Entry) error {
	file, controller := cutKey(e.Path)
	d, err := openSame(filepath.Dir(file), e.Ino)
	if err != nil {
		return err
	}
	defer d.Close()
	if there, err := d.hands(controller); err != nil || !there || d.relied(controller) {
		return err
	}
	err = d.write(subtreeControl, "-"+controller)
	if errors.Is(err, unix.EBUSY) { // somebody below has just handed it further
		return nil
	}
	return err
}

// hands says whether the children are given a controller.
func (d *Dir) hands(controller string) (bool, error) {
	b, err := d.ReadFile(subtreeControl)
	return slices.Contains(strings.Fields(string(b)), controller), err
}

// relied says whether somebody came to need that the children have a controller:
// one of them hands it on, or what one was given would be lost with its files.
func (d *Dir) relied(controller string) bool {
	kids, _ := os.ReadDir(d.path)
	for _, k := range kids {
		if !k.IsDir() {
			continue
		}
		kid, err := OpenDir(filepath.Join(d.path, k.Name()))
		if err != nil {
			continue // it went away
		}
		on, _ := kid.hands(controller)
		uses := on || controller == "io" && kid.setsIO()
		_ = kid.Close()
		if uses {
			return true
		}
	}
	return false
}

// ioDefaults are what the files of the io controller read in a new cgroup,
// cgroup-v2.rst.
var ioDefaults = map[string]string{
	"io.max": "", "io.latency": "", "io.weight": "default 100", "io.bfq.weight": "default 100", "io.prio.class": "no-change",
}

// setsIO says whether a file of the io controller holds something.
func (d *Dir) setsIO() bool {
	for file, none := range ioDefaults {
		if b, err := d.ReadFile(file); err == nil && strings.TrimSpace(string(b)) != none {
			return true
		}
	}
	return false
}
