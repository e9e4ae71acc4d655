package coresched

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/test/fault/corefake"
)

// Ids of threads that no process has.
const (
	tidA = 1<<22 + iota
	tidB
	tidC
	tidD
)

func newKeeper(t *testing.T, f *corefake.Kernel) (*Keeper, *journal.Journal) {
	t.Helper()
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return NewKeeper(f, j.Record), j
}

func add(t *testing.T, s *Set, tids ...int) Added {
	t.Helper()
	a, err := s.Add(tids)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSetsShareOneCookieEach(t *testing.T) {
	f := corefake.New(tidA, tidB, tidC, tidD)
	k, j := newKeeper(t, f)
	one, two := k.NewSet(), k.NewSet()
	if a := add(t, one, tidA, tidB); a != (Added{New: 2}) {
		t.Errorf("%+v", a)
	}
	if a := add(t, two, tidC); a != (Added{New: 1}) {
		t.Errorf("%+v", a)
	}
	a, b, c := f.Of(tidA), f.Of(tidB), f.Of(tidC)
	if a == 0 || a != b || c == 0 || c == a {
		t.Errorf("cookies %x %x | %x", a, b, c)
	}
	if x := add(t, one, tidA, tidB); x != (Added{}) {
		t.Errorf("given again: %+v", x)
	}
	// A thread that came later, with what its group has already.
	if add(t, one, tidA, tidD); f.Of(tidD) != a {
		t.Errorf("a new thread has %x, its set %x", f.Of(tidD), a)
	}
	// One that moved from one set to the other.
	if add(t, two, tidC, tidD); f.Of(tidD) != c {
		t.Errorf("a thread that moved has %x, its set %x", f.Of(tidD), c)
	}
	if n := f.Ours(); n != 0 {
		t.Errorf("%d threads of the agent kept a cookie", n)
	}
	if n := len(j.Pending()); n != 2 {
		t.Errorf("%d entries for two cookies", n)
	}
}

func TestForeignCookiesStay(t *testing.T) {
	f := corefake.New(tidA, tidB)
	f.Set(tidA, 77)
	k, _ := newKeeper(t, f)
	if a := add(t, k.NewSet(), tidA, tidB); a != (Added{New: 1, Foreign: 1}) || f.Of(tidA) != 77 {
		t.Errorf("%+v, cookie %d", a, f.Of(tidA))
	}
	if n, err := k.Clear([]int{tidA, tidB}); n != 1 || err != nil || f.Of(tidA) != 77 || f.Of(tidB) != 0 {
		t.Errorf("clear: %d, %v, cookies %d %d", n, err, f.Of(tidA), f.Of(tidB))
	}
}

func TestASetThatWasEmptyGetsAnotherCookie(t *testing.T) {
	f := corefake.New(tidA, tidB)
	k, j := newKeeper(t, f)
	s := k.NewSet()
	add(t, s, tidA)
	was := f.Of(tidA)
	f.End(tidA)
	add(t, s, tidA, tidB)
	if now := f.Of(tidB); now == 0 || now == was || len(j.Pending()) != 2 {
		t.Errorf("cookie %x after %x, journal %v", now, was, j.Pending())
	}
}

// What is not on disk is not done.
func TestNoCookieWithoutAJournal(t *testing.T) {
	f := corefake.New(tidA)
	full := errors.New("disk full")
	s := NewKeeper(f, func(...journal.Entry) error { return full }).NewSet()
	if _, err := s.Add([]int{tidA}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if f.Of(tidA) != 0 || f.Ours() != 0 {
		t.Error("a cookie was handed out that the journal does not hold")
	}
}

func TestEndedAndForbiddenThreads(t *testing.T) {
	f := corefake.New(tidA, tidB)
	k, _ := newKeeper(t, f)
	if a := add(t, k.NewSet(), tidC, tidA); a.New != 1 {
		t.Errorf("%+v", a)
	}
	f.Deny(tidB)
	_, err := k.NewSet().Add([]int{tidB})
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.NoPrivilege {
		t.Errorf("%v", err)
	}
	if f.Ours() != 0 {
		t.Error("the agent kept a cookie")
	}
}

// After kill -9 the journal is all that is known.
func TestUndoFindsAllThreads(t *testing.T) {
	f := corefake.New(tidA, tidB, tidC)
	k, j := newKeeper(t, f)
	add(t, k.NewSet(), tidA)
	f.Set(tidB, f.Of(tidA)) // started by A, and long gone elsewhere
	f.Set(tidC, 77)
	root := t.TempDir()
	for _, tid := range []int{tidA, tidB, tidC} {
		id := strconv.Itoa(tid)
		if err := os.MkdirAll(filepath.Join(root, "proc", id, "task", id), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range j.Pending() {
		if err := undo(f, root, &e); err != nil {
			t.Fatal(err)
		}
	}
	if f.Of(tidA) != 0 || f.Of(tidB) != 0 || f.Of(tidC) != 77 {
		t.Errorf("cookies %x %x %x", f.Of(tidA), f.Of(tidB), f.Of(tidC))
	}
	if err := undo(f, root, &journal.Entry{Op: OpCookie, Old: []byte("x")}); err == nil {
		t.Error("took nonsense for a cookie")
	}
}

func TestProbeSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		absent unix.Errno
		active string // of SMT
		want   feature.Reason
	}{
		{unix.EINVAL, "1", feature.NoKernel},
		{unix.EINVAL, "", feature.NoKernel},
		{unix.EINVAL, "0", feature.NoHardware},
		{unix.ENODEV, "0", feature.NoHardware},
		{unix.EPERM, "1", feature.NoPrivilege},
	} {
		f, root := corefake.New(), t.TempDir()
		f.Absent = c.absent
		if c.active != "" {
			dir := filepath.Join(root, "sys/devices/system/cpu/smt")
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "active"), []byte(c.active+"\n"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		var u *feature.UnsupportedError
		if err := Probe(root, f); !errors.As(err, &u) || u.Reason != c.want || u.Fix == "" {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestProbeOfAnAgentWithACookie(t *testing.T) {
	f := corefake.New()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := f.Create(0); err != nil {
		t.Fatal(err)
	}
	var u *feature.UnsupportedError
	if err := probe(f); !errors.As(err, &u) || u.Reason != feature.Conflict {
		t.Errorf("%v", err)
	}
}

// The running kernel's own answer, and where it is a yes the whole way: a
// process gets a cookie, its child has it, both lose it.
func TestKernelAnswers(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.Need(t, Probe("", Linux{}))
	a, b := child(t), child(t)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	s := NewKeeper(Linux{}, j.Record).NewSet()
	add(t, s, a, b)
	x, err := Linux{}.Cookie(a)
	y, err2 := Linux{}.Cookie(b)
	if err != nil || err2 != nil || x == 0 || x != y {
		t.Errorf("cookies %x, %v and %x, %v", x, err, y, err2)
	}
	if err := s.Restore(""); err != nil {
		t.Fatal(err)
	}
	if x, _ := (Linux{}).Cookie(a); x != 0 {
		t.Errorf("cookie %x after the restore", x)
	}
}
