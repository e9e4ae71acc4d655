package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

// modifications counts the writes that the kernel sees to a file from now on.
func modifications(t *testing.T, path string) func() int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	return func() int {
		buf := make([]byte, 4096)
		n, err := unix.Read(fd, buf)
		if err != nil {
			return 0
		}
		return n / unix.SizeofInotifyEvent
	}
}

func TestSetDoesNotWriteAnEqualValue(t *testing.T) {
	d := testGroup(t)
	w, j, _ := newWriter(t)
	asked := 0
	w.Fault = func(string, string) error { asked++; return nil }
	file := weightFile(d)
	seen := modifications(t, filepath.Join(d.Path(), file))

	old := strings.TrimSpace(read(t, d, file))
	for range 3 {
		if wrote, err := w.Set(Edit{d, file, old}); wrote || err != nil {
			t.Fatalf("wrote %v, %v", wrote, err)
		}
	}
	if n := seen(); n != 0 || asked != 0 || len(j.Pending()) != 0 {
		t.Fatalf("an equal value: %d writes, asked %d times, %d entries", n, asked, len(j.Pending()))
	}
	if wrote, err := w.Set(Edit{d, file, "77"}); !wrote || err != nil {
		t.Fatalf("wrote %v, %v", wrote, err)
	}
	if wrote, err := w.Set(Edit{d, file, "77"}); wrote || err != nil {
		t.Fatalf("wrote %v, %v", wrote, err)
	}
	if n := seen(); n != 1 || asked != 1 || len(j.Pending()) != 1 {
		t.Fatalf("a new value, twice: %d writes, asked %d times, %d entries", n, asked, len(j.Pending()))
	}
	if err := w.Refill(Edit{d, file, "77"}); err != nil || seen() != 1 {
		t.Fatalf("a refill did not write: %v", err)
	}
}

func TestRestoreIsByteEqual(t *testing.T) {
	d := testGroup(t)
	files := []string{"cpu.cfs_burst_us", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.idle", "cpu.shares"}
	needFiles(t, d, files...)
	for name, value := range map[string]string{"cpu.shares": "5000", "cpu.cfs_quota_us": "40000"} {
		if err := d.write(name, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.write("cpu.cfs_burst_us", "30000"); err != nil {
		t.Fatal(err)
	}
	snapshot := func() (s []string) {
		for _, f := range files {
			s = append(s, f+"="+read(t, d, f))
		}
		return s
	}
	before := snapshot()
	orders := [][]string{files, slices.Clone(files)}
	slices.Reverse(orders[1])
	for _, order := range orders {
		w, _, restart := newWriter(t)
		var edits []Edit
		for _, f := range order {
			edits = append(edits, Edit{Dir: d, File: f})
		}
		if err := w.Journal(edits...); err != nil {
			t.Fatal(err)
		}
		set(t, w, d, "cpu.shares", "2")
		set(t, w, d, "cpu.idle", "1")
		set(t, w, d, "cpu.cfs_burst_us", "0")
		set(t, w, d, "cpu.cfs_quota_us", "10000")
		set(t, w, d, "cpu.cfs_period_us", "200000")
		if errs := restart(); len(errs) != 0 {
			t.Fatal(errs)
		}
		if after := snapshot(); !slices.Equal(before, after) {
			t.Fatalf("journalled in the order %v:\n%q became\n%q", order, before, after)
		}
	}
}

func TestRemovedUnderTheWriter(t *testing.T) {
	d := testGroup(t)
	w, _, restart := newWriter(t)
	w.Fault = func(string, string) error { return unix.Rmdir(d.Path()) } // after the read, before the write
	file := weightFile(d)
	if _, err := w.Set(Edit{d, file, "77"}); !Gone(err) {
		t.Fatalf("error %v, want one that says gone", err)
	}
	if d.Alive() {
		t.Fatal("a removed cgroup is alive")
	}
	w.Fault = nil
	for name, f := range map[string]func() error{
		"set":    func() error { _, err := w.Set(Edit{d, file, "77"}); return err },
		"refill": func() error { return w.Refill(Edit{d, file, "77"}) },
		"read":   func() error { _, err := d.ReadFile(file); return err },
		"procs":  func() error { _, err := d.Procs(); return err },
	} {
		if err := f(); !Gone(err) {
			t.Errorf("%s: error %v, want one that says gone", name, err)
		}
	}
	if errs := restart(); len(errs) != 0 {
		t.Fatalf("restoring a removed cgroup: %v", errs)
	}
}

func TestHeldFileOfRemovedCgroup(t *testing.T) {
	d := testGroup(t)
	f, err := d.Open("cpu.stat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 4096)
	b, err := f.Read(buf)
	var s CPUStat
	if err != nil || ParseCPUStat(b, &s) != nil || len(b) == 0 {
		t.Fatalf("read %q, %v", b, err)
	}
	if err := unix.Rmdir(d.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Read(buf); !Gone(err) {
		t.Fatalf("error %v, want one that says gone", err)
	}
}

func TestRemadeCgroupIsNotTouched(t *testing.T) {
	d := testGroup(t)
	w, _, restart := newWriter(t)
	file := weightFile(d)
	set(t, w, d, file, "77")
	if err := w.Sched(d, SchedUndo{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Rmdir(d.Path()), os.Mkdir(d.Path(), 0o755)); err != nil {
		t.Fatal(err)
	}
	again := openDir(t, d.Path())
	if again.Ino() == d.Ino() || d.Alive() || !again.Alive() {
		t.Fatalf("inode %d, was %d", again.Ino(), d.Ino())
	}
	if err := again.write(file, "55"); err != nil {
		t.Fatal(err)
	}
	if errs := restart(); len(errs) != 0 {
		t.Fatal(errs)
	}
	if got := read(t, again, file); got != "55\n" {
		t.Fatalf("the new cgroup holds %q", got)
	}
}

func TestReadOnlyMount(t *testing.T) {
	d := testGroup(t)
	at := t.TempDir()
	if err := unix.Mount(d.Path(), at, "", unix.MS_BIND, ""); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "bind mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	if err := unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	ro := openDir(t, at)
	w, _, restart := newWriter(t)
	_, err := w.Set(Edit{ro, weightFile(d), "77"})
	if !errors.Is(err, unix.EROFS) || Gone(err) || !strings.Contains(err.Error(), filepath.Join(at, weightFile(d))) {
		t.Fatalf("error %v, want one that names the file and says read-only", err)
	}
	if errs := restart(); len(errs) != 0 { // the value never changed: nothing to write
		t.Fatal(errs)
	}
	if err := w.Mkdir(filepath.Join(at, "x"), at); err == nil {
		t.Fatal("made a cgroup on a read-only mount")
	}
}

func TestFaultsReachTheCaller(t *testing.T) {
	d := testGroup(t)
	w, _, _ := newWriter(t)
	before := read(t, d, weightFile(d))
	for _, errno := range []unix.Errno{unix.EINVAL, unix.EBUSY, unix.EACCES, unix.ENODEV} {
		w.Fault = func(string, string) error { return errno }
		_, err := w.Set(Edit{d, weightFile(d), "77"})
		if !errors.Is(err, errno) || Gone(err) != (errno == unix.ENODEV) || !strings.Contains(err.Error(), `write "77" to `+d.Path()) {
			t.Errorf("%v: error %v", errno, err)
		}
	}
	if got := read(t, d, weightFile(d)); got != before {
		t.Fatalf("%q became %q", before, got)
	}
	w.Fault = nil
	if _, err := w.Set(Edit{d, weightFile(d), "nonsense"}); !errors.Is(err, unix.EINVAL) {
		t.Fatalf("error %v", err)
	}
}

func TestDirRefuses(t *testing.T) {
	d := testGroup(t)
	for _, name := range []string{"../cpu.shares", "a/b", "nothing.here"} {
		if b, err := d.ReadFile(name); err == nil {
			t.Errorf("%q was read as %q", name, b)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(d.Path(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(link); err == nil {
		t.Error("a symbolic link was opened")
	}
	if _, err := OpenDir(filepath.Join(d.Path(), "cgroup.procs")); err == nil {
		t.Error("a file was opened as a cgroup")
	}
	if _, err := OpenDir(filepath.Join(d.Path(), "none")); !Gone(err) {
		t.Errorf("error %v, want one that says gone", err)
	}
}

func TestMkdirIsUndone(t *testing.T) {
	d := testGroup(t)
	w, j, restart := newWriter(t)
	made := filepath.Join(d.Path(), "made")
	if err := errors.Join(w.Mkdir(made, d.Path()), w.Mkdir(made, d.Path()), os.Mkdir(filepath.Join(made, "inner"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if n := len(j.Pending()); n != 1 {
		t.Fatalf("%d entries", n)
	}
	p := startProcess(t)
	p.tell(t, "child")
	if err := Move(p.pid(), filepath.Join(made, "inner")); err != nil {
		t.Fatal(err)
	}
	p.tell(t, "child")
	if errs := restart(); len(errs) != 0 {
		t.Fatal(errs)
	}
	if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the cgroup is still there: %v", err)
	}
	pids, err := d.Procs()
	if err != nil || len(pids) != 2 || !slices.Contains(pids, p.pid()) { // the first child was never moved
		t.Fatalf("its processes are %v, %v", pids, err)
	}
}

func TestMkdirLeavesAnExistingOne(t *testing.T) {
	d := testGroup(t)
	w, _, restart := newWriter(t)
	if err := w.Mkdir(d.Path(), filepath.Dir(d.Path())); err != nil {
		t.Fatal(err)
	}
	if errs := restart(); len(errs) != 0 || !d.Alive() {
		t.Fatalf("somebody's cgroup was removed: %v", errs)
	}
}

func TestUnknownOperationIsNotUndone(t *testing.T) {
	if err := Undo(&journal.Entry{Op: "later"}); err == nil {
		t.Fatal("an unknown operation was undone")
	}
}

func TestMoveOfAProcessThatIsGone(t *testing.T) {
	d := testGroup(t)
	if err := Move(1<<22+5, d.Path()); err != nil {
		t.Fatalf("moving a process that is gone: %v", err)
	}
}
