package runq

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

const patience = 30 * time.Second // a bound for a stuck machine, not a measure

// sources lists what every kernel test runs with.
var sources = []Source{Stamps, Accounting}

func open(t testing.TB, o Options) *Tracer {
	t.Helper()
	tr, err := Open(o)
	var no *feature.UnsupportedError
	if errors.As(err, &no) {
		testkit.Need(t, no)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// cpuCgroup makes an empty cgroup of the cpu controller, gone after the test.
func cpuCgroup(t testing.TB) (dir string, id uint64) {
	t.Helper()
	dir, err := os.MkdirTemp(cpuHierarchy(t), "anole-test-")
	if errors.Is(err, os.ErrPermission) {
		testkit.Need(t, &feature.UnsupportedError{Feature: "making a cpu cgroup", Reason: feature.NoPrivilege, Need: "root", Err: err})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The children are dead by now, but their cgroup may lag behind.
		poll(t, "remove "+dir, func() bool { return os.Remove(dir) == nil })
	})
	id, err = CgroupID(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, id
}

func cpuHierarchy(t testing.TB) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"} {
		if _, err := os.Stat(filepath.Join(dir, "cpu.shares")); err == nil {
			return dir
		}
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); err == nil && slices.Contains(strings.Fields(string(b)), "cpu") {
		return "/sys/fs/cgroup"
	}
	testkit.Need(t, &feature.UnsupportedError{Feature: "making a cpu cgroup", Reason: feature.NoKernel, Need: "a mounted cpu controller"})
	return ""
}

func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

func read(t testing.TB, tr *Tracer) *Snapshot {
	t.Helper()
	s := new(Snapshot)
	if err := tr.Read(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func eachSource(t *testing.T, f func(*testing.T, Source)) {
	for _, s := range sources {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

func TestSpinnersWaitForEachOther(t *testing.T) {
	eachSource(t, func(t *testing.T, source Source) {
		tr := open(t, Options{Source: source})
		classed, id := cpuCgroup(t)
		foreign, _ := cpuCgroup(t)
		if err := tr.SetClass(id, 1); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			startSpinner(t, classed, 0)
			startSpinner(t, foreign, 0)
		}
		// Past the start-up of the shells, which do sleep.
		poll(t, "50 preemptions", func() bool { return read(t, tr).Class[1].Preempted >= 50 })
		first := read(t, tr)
		var d Snapshot
		poll(t, "100 waits of class 1", func() bool {
			d = read(t, tr).Delta(first)
			return d.Class[1].Wait.Count() >= 100
		})
		// Six spinners on one CPU: none waits less than one of the others'
		// slices, and all slices together take a fraction of a second.
		w := &d.Class[1].Wait
		if p50 := w.Quantile(0.5); p50 < 10*time.Microsecond || p50 > time.Second {
			t.Errorf("median wait %v of %d", p50, w.Count())
		}
		if m := w.Mean(); m < 10*time.Microsecond || m > time.Second {
			t.Errorf("mean wait %v", m)
		}
		if c := d.Class[1]; c.Preempted < c.Switches/2 {
			t.Errorf("spinners preempted %d times in %d switches", c.Preempted, c.Switches)
		}
		if missed := d.Class[1].Switches - w.Count(); missed > 3+w.Count()/20 {
			t.Errorf("%d of %d switches have no wait", missed, d.Class[1].Switches)
		}
		for c := range d.Class {
			if c != 1 && d.Class[c].Switches != 0 {
				t.Errorf("class %d, which nobody is in, has %d switches", c, d.Class[c].Switches)
			}
		}
	})
}

// The kernel's own sum, /proc/PID/schedstat, is the reference: the waits of a
// class are those of its tasks, migrations between CPUs included.
func TestSumMatchesSchedstat(t *testing.T) {
	eachSource(t, func(t *testing.T, source Source) {
		tr := open(t, Options{Source: source})
		dir, id := cpuCgroup(t)
		var pids []int
		for range 5 { // more than CPUs in a small machine, so that they move
			pids = append(pids, startSpinner(t, dir, -1))
		}
		if err := tr.SetClass(id, 2); err != nil {
			t.Fatal(err)
		}
		poll(t, "50 preemptions", func() bool { return read(t, tr).Class[2].Preempted >= 50 })
		// Read in brackets, so that a pause of this test between two readings
		// widens the bounds but breaks none.
		outer0 := schedstat(t, pids)
		first := read(t, tr)
		inner0 := schedstat(t, pids)
		poll(t, "200 waits", func() bool {
			d := read(t, tr).Delta(first)
			return d.Class[2].Wait.Count() >= 200
		})
		inner := schedstat(t, pids) - inner0
		d := read(t, tr).Delta(first)
		outer := schedstat(t, pids) - outer0
		n := time.Duration(d.Class[2].Wait.Count())
		got := time.Duration(d.Class[2].Wait.SumNS)
		// Stamps also sees the microseconds that schedstat leaves out. One wait
		// in twenty may have no known beginning, see TestSpinnersWaitForEachOther.
		if got < inner-inner/20 || got > outer+outer/50+n*100*time.Microsecond {
			t.Errorf("%d waits of %v, schedstat says %v to %v", n, got, inner, outer)
		}
	})
}

func TestUnsetStopsAndClassMoves(t *testing.T) {
	eachSource(t, func(t *testing.T, source Source) {
		tr := open(t, Options{Source: source})
		dir, id := cpuCgroup(t)
		startPingPong(t, dir, 0)
		grows := func(class int) {
			t.Helper()
			n := read(t, tr).Class[class].Wait.Count()
			poll(t, fmt.Sprintf("class %d grows", class), func() bool { return read(t, tr).Class[class].Wait.Count() > n+100 })
		}
		set := func(class uint8) {
			t.Helper()
			if err := tr.SetClass(id, class); err != nil {
				t.Fatal(err)
			}
		}
		set(1)
		grows(1)
		set(15)
		one := read(t, tr).Class[1].Switches
		grows(15)
		if now := read(t, tr).Class[1].Switches; now > one+2 {
			t.Errorf("class 1 counted on after the move: %d, then %d", one, now)
		}
		if err := tr.Unset(id); err != nil {
			t.Fatal(err)
		}
		stopped := read(t, tr).Class[15].Switches
		// Another cgroup's growth proves that time passes meanwhile.
		other, otherID := cpuCgroup(t)
		startPingPong(t, other, 0)
		if err := tr.SetClass(otherID, 3); err != nil {
			t.Fatal(err)
		}
		grows(3)
		if now := read(t, tr).Class[15].Switches; now > stopped+2 {
			t.Errorf("class 15 counted on after Unset: %d, then %d", stopped, now)
		}
		if err := tr.Unset(id); err != nil {
			t.Errorf("second Unset: %v", err)
		}
	})
}

func TestUnclassedCountsTheRest(t *testing.T) {
	eachSource(t, func(t *testing.T, source Source) {
		tr := open(t, Options{Source: source, Unclassed: true})
		dir, _ := cpuCgroup(t)
		startPingPong(t, dir, 0)
		poll(t, "unclassed waits", func() bool { return read(t, tr).Class[0].Wait.Count() > 1000 })
	})
}

func TestGenerationComesRound(t *testing.T) {
	tr := open(t, Options{})
	dir, id := cpuCgroup(t)
	startPingPong(t, dir, 0)
	tr.gen = generation - 2
	for class := uint8(1); class <= 4; class++ {
		if err := tr.SetClass(id, class); err != nil {
			t.Fatal(err)
		}
		poll(t, "class grows", func() bool { return read(t, tr).Class[class].Wait.Count() > 100 })
	}
	if tr.gen >= 4 {
		t.Fatalf("generation is %d, the test did not pass its end", tr.gen)
	}
}
