package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// fakeKernel is control files with the rules of one v1 cpu cgroup.
type fakeKernel map[string]string

func (k fakeKernel) write(file, value string) error {
	switch {
	case file == "cpu.shares" && k["cpu.idle"] == "1":
		return unix.EINVAL
	case file == "cpu.idle" && value != k[file]:
		k["cpu.shares"] = map[string]string{"0": "1024", "1": "3"}[value]
	case file == "cpu.cfs_burst_us" && atoi(value) > atoi(k["cpu.cfs_quota_us"]),
		file == "cpu.cfs_quota_us" && atoi(value) < atoi(k["cpu.cfs_burst_us"]):
		return unix.EINVAL
	}
	k[file] = value
	return nil
}

func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

func (k fakeKernel) undo(e *Entry) error {
	if _, ok := k[e.Path]; !ok {
		return ErrGone
	}
	if k[e.Path] == string(e.Old) {
		return nil
	}
	return k.write(e.Path, string(e.Old))
}

// TestRestoreFindsAnOrder journals and changes files in every order.
func TestRestoreFindsAnOrder(t *testing.T) {
	orig := fakeKernel{"cpu.shares": "5000", "cpu.idle": "0", "cpu.cfs_quota_us": "40000", "cpu.cfs_burst_us": "30000"}
	target := map[string][]string{"cpu.shares": {"2"}, "cpu.idle": {"1"}, "cpu.cfs_burst_us": {"0"}, "cpu.cfs_quota_us": {"10000"}}
	permute(slices.Sorted(maps.Keys(orig)), func(order []string) {
		k := maps.Clone(orig)
		j := open(t, t.TempDir())
		for _, f := range order {
			record(t, j, write(f, k[f]))
		}
		for range 3 { // some writes are refused until others are done
			for _, f := range order {
				_ = k.write(f, target[f][0])
			}
		}
		rep := j.Restore(context.Background(), k.undo)
		if len(rep.Failed) != 0 || rep.Restored != len(orig) || !maps.Equal(k, orig) || pending(j) != "" {
			t.Fatalf("order %v: %+v; node holds %v, want %v", order, rep, k, orig)
		}
		crash(j)
	})
}

func permute(s []string, f func([]string)) {
	var rec func(int)
	rec = func(i int) {
		if i == len(s) {
			f(slices.Clone(s))
			return
		}
		for k := i; k < len(s); k++ {
			s[i], s[k] = s[k], s[i]
			rec(i + 1)
			s[i], s[k] = s[k], s[i]
		}
	}
	rec(0)
}

func TestRestoreNewestFirst(t *testing.T) {
	j := open(t, t.TempDir())
	record(t, j, write("/1", ""), write("/2", ""), write("/3", ""))
	var order []string
	j.Restore(context.Background(), func(e *Entry) error { order = append(order, e.Path); return nil })
	if got := strings.Join(order, " "); got != "/3 /2 /1" {
		t.Fatalf("order %s", got)
	}
}

func TestRestoreKeepsWhatFailed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/ok", ""), write("/bad", "1"), write("/gone", ""), write("/noent", ""), write("/nodev", ""), write("/srch", ""))
	rep := j.Restore(context.Background(), func(e *Entry) error {
		switch e.Path {
		case "/bad":
			return unix.EACCES
		case "/gone":
			return fmt.Errorf("x: %w", ErrGone)
		case "/noent":
			return &fs.PathError{Err: unix.ENOENT}
		case "/nodev":
			return &fs.PathError{Err: unix.ENODEV}
		case "/srch":
			return unix.ESRCH
		}
		return nil
	})
	if rep.Restored != 1 || rep.Gone != 4 || len(rep.Failed) != 1 || !errors.Is(rep.Failed[0], unix.EACCES) || !strings.Contains(rep.Failed[0].Error(), "/bad") {
		t.Fatalf("report %+v", rep)
	}
	crash(j)
	j = open(t, dir)
	wantPending(t, j, "/bad=1")
	if rep := j.Restore(context.Background(), func(*Entry) error { return nil }); rep.Restored != 1 || pending(j) != "" {
		t.Fatalf("second try: %+v", rep)
	}
}

func TestRestoreWhereAndCancel(t *testing.T) {
	j := open(t, t.TempDir())
	record(t, j, write("/a", "1"), write("/b", "2"))
	ok := func(*Entry) error { return nil }
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if rep := j.Restore(ctx, ok); rep.Restored != 0 || len(rep.Failed) != 1 || !errors.Is(rep.Failed[0], context.Canceled) {
		t.Fatalf("cancelled: %+v", rep)
	}
	if rep := j.RestoreWhere(context.Background(), ok, func(e *Entry) bool { return e.Path == "/a" }); rep.Restored != 1 {
		t.Fatalf("%+v", rep)
	}
	wantPending(t, j, "/b=2")
}

// TestFullDisk runs on a file system of 64 KiB.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "tmpfs mount", Reason: feature.NoPrivilege, Need: "root", Err: err})
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	j := open(t, dir)
	n := 0
	var err error
	for ; n < 10_000 && err == nil; n++ {
		err = j.Record(write("/"+strconv.Itoa(n), strings.Repeat("x", 1000)), write("/b"+strconv.Itoa(n), "small"))
	}
	n-- // the last one was refused
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("error %v after %d", err, n)
	}
	held := len(j.entries)
	for range 100 {
		if j.Record(write("/more", strings.Repeat("x", 9000))) == nil {
			t.Fatal("recorded on a full disk")
		}
	}
	if len(j.entries) != held {
		t.Fatalf("refused entries are kept: %d became %d", held, len(j.entries))
	}
	if entries, clean := parse(contents(t, dir)); !clean || len(entries) != 2*n {
		t.Fatalf("the file holds %d entries, clean %v; want %d", len(entries), clean, 2*n)
	}
	want := pending(j)
	crash(j)
	j = open(t, dir)
	if pending(j) != want {
		t.Fatal("entries changed by the crash")
	}
	// No room to say that an entry is over: an error, and no half line.
	if err := j.Forget(func(e *Entry) bool { return e.Path[1] != 'b' }); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	if _, clean := parse(contents(t, dir)); !clean {
		t.Fatal("a half line is left")
	}
	// What was refused is not taken for known once there is room.
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	record(t, j, write("/more", "1"))
	crash(j)
	if got := pending(open(t, dir)); !strings.HasSuffix(got, "/more=1") {
		t.Fatalf("pending %.200q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, fileName+".new")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a half-made file is left: %v", err)
	}
}
