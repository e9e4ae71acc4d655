package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cfs"
)

// nested makes a group with a limit and one below it that has as much of its
// own, on cgroup v1.
func nested(t *testing.T) (up, down *Dir) {
	t.Helper()
	up = testGroup(t)
	needFiles(t, up, fileQuota, fileBurst)
	path := filepath.Join(up.Path(), "down")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	down = openDir(t, path)
	for _, d := range []*Dir{up, down} {
		if err := d.write(fileQuota, "60000"); err != nil {
			t.Fatal(err)
		}
	}
	return up, down
}

func limit(t *testing.T, d *Dir) cfs.Limit {
	t.Helper()
	l, err := d.Limit()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var (
	low  = cfs.Limit{Period: 100_000, Quota: 60_000}
	deep = cfs.Limit{Period: 500_000, Quota: 300_000, Burst: 300_000}
)

// A longer period at the same rate passes a lower one, which the kernel refuses
// while the group below has more. That one is lowered for the time, and the
// journal keeps nothing of it.
func TestLimitPassesTheGroupBelow(t *testing.T) {
	up, down := nested(t)
	w, j, restart := newWriter(t)
	wrote, errs := w.SetLimits([]LimitChange{{up, deep}}, false)
	if errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if limit(t, up) != deep || limit(t, down) != low {
		t.Fatalf("%v, %v", limit(t, up), limit(t, down))
	}
	lent := 0
	for _, x := range wrote {
		if x.Dir.Path() == down.Path() {
			lent++
		}
	}
	if lent != 2 || len(wrote) != 5 {
		t.Errorf("%d writes, %d of them below: %+v", len(wrote), lent, wrote)
	}
	for _, e := range j.Pending() {
		if e.Ino == down.Ino() {
			t.Errorf("still in the journal: %+v", e)
		}
	}
	if errs := restart(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if limit(t, up) != low || limit(t, down) != low {
		t.Errorf("after the next start: %v, %v", limit(t, up), limit(t, down))
	}
}

// A kill in between leaves the group below lowered; the next start puts it back,
// whatever was written last.
func TestLimitKilledAtEachWrite(t *testing.T) {
	up, down := nested(t)
	for stop := range 6 {
		w, _, restart := newWriter(t)
		n := 0
		w.Fault = func(string, string) error {
			if n++; n > stop {
				panic("killed")
			}
			return nil
		}
		func() {
			defer func() { _ = recover() }()
			_, _ = w.SetLimits([]LimitChange{{up, deep}}, false)
		}()
		if errs := restart(); len(errs) > 0 {
			t.Fatal(errs)
		}
		if limit(t, up) != low || limit(t, down) != low {
			t.Fatalf("killed at write %d: %v, %v", stop, limit(t, up), limit(t, down))
		}
	}
}

// What both had is put back together: one by one the kernel refuses each of the
// two orders.
func TestLimitsThatHoldEachOther(t *testing.T) {
	up, down := nested(t)
	w, _, restart := newWriter(t)
	if _, errs := w.SetLimits([]LimitChange{{down, deep}, {up, deep}}, false); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if errs := restart(); len(errs) > 0 {
		t.Fatal(errs)
	}
	if limit(t, up) != low || limit(t, down) != low {
		t.Errorf("%v, %v", limit(t, up), limit(t, down))
	}
}

func TestLimitAboveTheParentIsRefused(t *testing.T) {
	up, down := nested(t)
	w, _, _ := newWriter(t)
	more := cfs.Limit{Period: 100_000, Quota: 70_000}
	wrote, errs := w.SetLimits([]LimitChange{{down, more}}, false)
	var above *cfs.AboveError
	if len(errs) != 1 || !errors.As(errs[0], &above) || above.Above != up.Path() || len(wrote) != 0 {
		t.Fatalf("%v, %+v", errs, wrote)
	}
	if _, errs := w.SetLimits([]LimitChange{{down, more}, {up, more}}, false); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	// One refused write, and its own change alone is taken back.
	w.Fault = func(path, value string) error {
		if filepath.Dir(path) == up.Path() && value == "90000" {
			return unix.EBUSY
		}
		return nil
	}
	most := cfs.Limit{Period: 100_000, Quota: 90_000}
	_, errs = w.SetLimits([]LimitChange{{down, most}, {up, most}}, false)
	if len(errs) != 2 || !errors.Is(errs[0], unix.EBUSY) || !errors.Is(errs[1], unix.EBUSY) {
		t.Fatalf("%v", errs)
	}
	if limit(t, up) != more || limit(t, down) != more {
		t.Errorf("%v, %v", limit(t, up), limit(t, down))
	}
}

func TestLimitOfAGroupThatIsGone(t *testing.T) {
	up, down := nested(t)
	w, _, _ := newWriter(t)
	if err := os.Remove(down.Path()); err != nil {
		t.Fatal(err)
	}
	_, errs := w.SetLimits([]LimitChange{{down, deep}, {up, deep}}, false)
	if len(errs) != 2 || !Gone(errs[0]) || errs[1] != nil && !errors.Is(errs[1], unix.EINVAL) {
		t.Fatalf("%v", errs) // the kernel counts the removed one for some time yet
	}
}

func FuzzLimit(f *testing.F) {
	for _, file := range []string{fileQuota, filePeriod, fileBurst, fileMax, fileMaxBurst, "cpu.shares"} {
		for _, s := range []string{"-1\n", "max 100000\n", "60000\n", "60000 100000\n", "0", "", "1 2 3", "18446744073709551615"} {
			f.Add(file, []byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, file string, b []byte) {
		l := cfs.Limit{Quota: 7, Period: 7, Burst: 7}
		if parseLimit(file, b, &l) && (l.Quota < cfs.Unlimited || l.Period < cfs.Unlimited || l.Burst < cfs.Unlimited) {
			t.Errorf("%s %q: %+v", file, b, l)
		}
	})
}
