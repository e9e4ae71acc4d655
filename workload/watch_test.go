package workload

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

func event(wd int32, mask uint32, name string) []byte {
	size := (len(name) + 16) &^ 15
	b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	return append(b, append([]byte(name), make([]byte, size-len(name))...)...)
}

func TestTakeNotesEachPlaceOnce(t *testing.T) {
	a, root := &node{parent: &node{}, wd: 7}, &node{wd: 1}
	w := &watcher{nodes: map[int32]*node{7: a, 1: root}, late: map[spot]struct{}{}}
	var b []byte
	for range 3 {
		b = append(b, event(7, unix.IN_CREATE|unix.IN_ISDIR, "x")...)
		b = append(b, event(7, unix.IN_DELETE|unix.IN_ISDIR, "x")...)
	}
	b = append(b, event(7, unix.IN_CREATE, "file")...)
	b = append(b, event(99, unix.IN_CREATE|unix.IN_ISDIR, "unknown")...)
	if w.take(b) || len(w.late) != 1 {
		t.Fatalf("noted %v", w.late)
	}
	if w.take(event(7, unix.IN_IGNORED, "")) || a.wd != 0 || w.nodes[7] != nil {
		t.Fatal("a dropped watch was kept")
	}
	if !w.take(event(-1, unix.IN_Q_OVERFLOW, "")) {
		t.Fatal("an overflow was not seen")
	}
	if !w.take(event(1, unix.IN_IGNORED, "")) {
		t.Fatal("the loss of the root's watch was not seen")
	}
}

func FuzzTake(f *testing.F) {
	f.Add(event(7, unix.IN_CREATE|unix.IN_ISDIR, "x"))
	f.Add(event(7, unix.IN_CREATE|unix.IN_ISDIR, "x")[:20])
	f.Add([]byte{7, 0, 0, 0, 0, 1, 0, 0x40, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		w := &watcher{nodes: map[int32]*node{7: {parent: &node{}, wd: 7}}, late: map[spot]struct{}{}}
		w.take(b)
		for s := range w.late {
			if s.name == "" || len(s.name) > len(b) {
				t.Fatalf("noted the name %q", s.name)
			}
		}
	})
}

// TestOverflow fills the kernel's queue for real.
func TestOverflow(t *testing.T) {
	f := newForest(t)
	f.mkdir("/gone", 1)
	tab := f.open(Options{})
	x, y := f.dir("/x"), f.dir("/y")
	f.write("/sys/fs/cgroup/cpu/x", "")
	for range maxQueued(t)/2 + 1 { // two events each
		if err := os.Rename(x, y); err != nil {
			t.Fatal(err)
		}
		x, y = y, x
	}
	f.rm("/gone")
	f.mkdir("/a/b/new.service")
	f.mkdir("/x.service")
	f.step(tab, 0, true)
	wantIDs(t, tab, "a/b/new.service", "x.service")
	if s := tab.Stats(); s.Overflows != 1 || s.Rescans != 2 || !s.Watching {
		t.Fatalf("stats %+v", s)
	}
	f.mkdir("/a/b/next.service") // what was found by the walk is watched
	f.step(tab, 0, true)
	wantIDs(t, tab, "a/b/new.service", "a/b/next.service", "x.service")
}

// maxQueued gives the length of the kernel's queue.
func maxQueued(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if n > 1<<18 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "overflow test", Reason: feature.Conflict, Need: "fs.inotify.max_queued_events of at most 262144"})
	}
	return n
}

func TestGoesOnWithoutInotify(t *testing.T) {
	f := newForest(t)
	f.mkdir("/a.service")
	tab := f.open(Options{})
	fd, err := unix.Open(os.DevNull, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Dup3(fd, tab.watch.fd, unix.O_CLOEXEC); err != nil { // reads now fail with EBADF
		t.Fatal(err)
	}
	f.mkdir("/b.service")
	f.step(tab, 0, true)
	if s := tab.Stats(); s.Watching || s.WatchNote == "" {
		t.Fatalf("stats %+v", s)
	}
	f.mkdir("/c.service")
	f.step(tab, time.Millisecond, false)
	f.step(tab, defaultRescan, true)
	wantIDs(t, tab, "a.service", "b.service", "c.service")
}

func TestOutOfWatches(t *testing.T) {
	f := newForest(t)
	tab := f.open(Options{})
	if err := errors.Join(os.Mkdir(f.dir("/a"), 0o755), os.Mkdir(f.dir("/a/x.service"), 0o755)); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Dup3(fd, tab.watch.fd, unix.O_CLOEXEC); err != nil { // a new watch now fails with EINVAL
		t.Fatal(err)
	}
	f.step(tab, defaultRescan, false) // end of file: no events
	tab.scanned = time.Time{}         // as after an overflow
	f.step(tab, 0, true)
	wantIDs(t, tab, "a/x.service")
	if s := tab.Stats(); s.Watching {
		t.Fatalf("stats %+v", s)
	}
}

func TestRootLostAndBack(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		f.mkdir("/a.service")
		tab := f.open(o)
		f.rm("/")
		f.now = f.now.Add(defaultRescan)
		for range 2 {
			if _, err := tab.Refresh(f.now); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("error %v", err)
			}
		}
		f.mkdir("/b.service")
		f.step(tab, 0, true)
		wantIDs(t, tab, "b.service")
		f.mkdir("/c.service")
		f.step(tab, defaultRescan, true)
		wantIDs(t, tab, "b.service", "c.service")
	})
}

func TestClosedTableStaysReadable(t *testing.T) {
	f := newForest(t)
	f.mkdir("/a.service")
	tab := f.open(Options{})
	if err := errors.Join(tab.Close(), tab.Close()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, tab, "a.service")
}
