package cpi

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

func encode(v ...uint64) []byte {
	b := make([]byte, 8*len(v))
	for i, n := range v {
		binary.NativeEndian.PutUint64(b[8*i:], n)
	}
	return b
}

// A second in which the counters had the hardware for a quarter of the time:
// the counts are four times what was seen, their quotient is what it was.
func TestCountsAreScaledWhereCountersTakeTurns(t *testing.T) {
	was, ok := parse(encode(2, 1e9, 1e9, 4e9, 2e9))
	if !ok {
		t.Fatal("not parsed")
	}
	now, ok := parse(encode(2, 2e9, 1.25e9, 4.75e9, 2.5e9))
	if !ok {
		t.Fatal("not parsed")
	}
	got := now.since(was)
	want := Count{Cycles: 3e9, Instructions: 2e9, Enabled: time.Second, Running: 250 * time.Millisecond}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if v, ok := got.CPI(); !ok || v != 1.5 {
		t.Errorf("CPI %v, %v", v, ok)
	}
	if c := was.since(now); c != (Count{}) {
		t.Errorf("counters that went back: %+v", c)
	}
	if _, ok := (Count{Cycles: 5}).CPI(); ok {
		t.Error("no instruction, and a CPI")
	}
}

func FuzzScale(f *testing.F) {
	f.Add(uint64(3), uint64(4e9), uint64(1e9))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(1))
	f.Fuzz(func(t *testing.T, n, enabled, running uint64) {
		got := scale(n, enabled, running)
		if running == 0 || enabled <= running {
			if got != n {
				t.Fatalf("%d, %d, %d: %d", n, enabled, running, got)
			}
			return
		}
		want := new(big.Int).SetUint64(n)
		want.Mul(want, new(big.Int).SetUint64(enabled)).Div(want, new(big.Int).SetUint64(running))
		if want.IsUint64() && got != want.Uint64() {
			t.Fatalf("%d·%d/%d = %v, got %d", n, enabled, running, want, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(encode(2, 1, 1, 1, 1))
	f.Add(encode(1, 1, 1, 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parse(b); ok && (len(b) < 8*words || binary.NativeEndian.Uint64(b) != 2) {
			t.Fatalf("took %x for a group of two", b)
		}
	})
}

func TestErrorsAreAnswers(t *testing.T) {
	for errno, want := range map[unix.Errno]feature.Reason{
		unix.ENOENT: feature.NoHardware, unix.EOPNOTSUPP: feature.NoHardware, unix.EACCES: feature.NoPrivilege, unix.EPERM: feature.NoPrivilege, unix.ENOSYS: feature.NoKernel,
	} {
		var u *feature.UnsupportedError
		if err := explain(errno); !errors.As(err, &u) || u.Reason != want || u.Need == "" || u.Fix == "" || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, explain(errno))
		}
	}
	if err := explain(unix.EMFILE); errors.Is(err, errors.ErrUnsupported) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("too many files: %v", err)
	}
}

// A node with cgroup v1 and no perf_event hierarchy has nothing to count
// containers by, and says how to mend it.
func TestV1WithoutPerfEvent(t *testing.T) {
	root := t.TempDir()
	tree := fixture(t, root, "1 1 0:1 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n2 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "sys/fs/cgroup/unified/system.slice", "sys/fs/cgroup/cpu/docker/1")
	if d, err := Dir(tree, "/system.slice"); err != nil {
		t.Errorf("systemd has its groups in the unified hierarchy too: %v", err)
	} else if err := d.Close(); err != nil {
		t.Error(err)
	}
	_, err := Dir(tree, "/docker/1")
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.NoKernel {
		t.Errorf("%v", err)
	}
	tree = fixture(t, t.TempDir(), "1 1 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "sys/fs/cgroup")
	if _, err := Dir(tree, "/gone"); !cgroup.Gone(err) {
		t.Errorf("on v2 it is just gone: %v", err)
	}
	_ = root
}
