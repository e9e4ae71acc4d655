package resctrl_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/resctrl"
	"github.com/anole-os/anole/test/fault/resctrlfs"
)

// No machine of this project has resctrl: these tests run against a FUSE file
// system that refuses what the kernel refuses, see test/fault/resctrlfs.

type rig struct {
	*resctrl.FS
	n *resctrlfs.Node
	j *journal.Journal
	w *cgroup.Writer
	t *testing.T
}

func openRig(t *testing.T, m resctrlfs.Machine) *rig {
	t.Helper()
	n := resctrlfs.Open(t, m)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	f, err := resctrl.Open(n.Root)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{f, n, j, cgroup.NewWriter(j, "qos"), t}
}

func (r *rig) control(name string) *resctrl.Group {
	r.t.Helper()
	g, err := r.Control(r.w, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return g
}

// sleeper starts a process and gives its id.
func sleeper(t *testing.T) int {
	t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c.Process.Pid
}

func has(t *testing.T, g *resctrl.Group, tid int) bool {
	t.Helper()
	tids, err := g.Tasks()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(tids, tid)
}

// Every share of every machine is one that the kernel takes, and it reads back
// as it was written.
func TestSharesAreTaken(t *testing.T) {
	for name, m := range map[string]resctrlfs.Machine{"skylake": resctrlfs.Skylake(), "cdp": resctrlfs.SkylakeCDP(), "milan": resctrlfs.Milan()} {
		t.Run(name, func(t *testing.T) {
			r := openRig(t, m)
			g := r.control("anole-be")
			for i := range 21 {
				s := resctrl.Share{Cache: float64(i) / 20, Bandwidth: float64(20-i) / 20}
				want := r.Info.Schemata(s, resctrl.Layout{Fresh: g.Fresh, Taken: r.Taken(), Peak: 100e9})
				if _, _, err := g.Set(want); err != nil {
					t.Fatalf("%+v: %v", s, err)
				}
				now, err := g.Schemata()
				if err != nil || len(want.Diff(now)) > 0 {
					t.Fatalf("%+v: %v reads as %v, %v", s, want, now, err)
				}
				if _, written, err := g.Set(want); err != nil || len(written) > 0 {
					t.Fatalf("written again: %v, %v", written, err)
				}
			}
		})
	}
}

func TestWaysOfOthersAreLeftAlone(t *testing.T) {
	r := openRig(t, resctrlfs.Skylake())
	theirs := r.control("theirs")
	if _, _, err := theirs.Set(resctrl.Schemata{{Resource: "L3", Values: []resctrl.Value{{Domain: 0, N: 0x3}, {Domain: 1, N: 0x7ff}}}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(theirs.Dir(), "mode"), []byte("exclusive"), 0); err != nil {
		t.Fatal(err)
	}
	g := r.control("anole-be")
	want := r.Info.Schemata(resctrl.Share{Cache: 0.3, Bandwidth: 1}, resctrl.Layout{Fresh: g.Fresh, Taken: r.Taken()})
	if v := want.Line("L3").Values[0].N; v != 0x1c {
		t.Errorf("mask %x beside an exclusive 3", v)
	}
	bad := resctrl.Schemata{{Resource: "L3", Values: []resctrl.Value{{Domain: 0, N: 0x7}}}}
	_, _, err := g.Set(bad)
	if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "Overlaps with exclusive group") {
		t.Errorf("the kernel's own words are missing: %v", err)
	}
	bad[0].Values[0].N = 0x15
	if _, _, err = g.Set(bad); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "non-consecutive") {
		t.Errorf("the kernel's own words are missing: %v", err)
	}
}

func TestTasksComeAndGo(t *testing.T) {
	r := openRig(t, resctrlfs.Skylake())
	be := r.control("anole-be")
	ls, err := r.Monitor(r.w, "anole-ls")
	if err != nil {
		t.Fatal(err)
	}
	a, b := sleeper(t), sleeper(t)
	for _, s := range []struct {
		g   *resctrl.Group
		tid int
	}{{be, a}, {ls, b}} {
		if err := s.g.Add(s.tid); err != nil || !has(t, s.g, s.tid) {
			t.Fatalf("add: %v", err)
		}
	}
	if err := ls.Add(a); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("the kernel lets no task of another group be counted: %v", err)
	}
	if err := errors.Join(r.Release(a), ls.Add(a)); err != nil || !has(t, ls, a) {
		t.Errorf("by way of the default group: %v", err)
	}
	if err := be.Add(1 << 22); err != nil {
		t.Errorf("a task that has ended: %v", err)
	}
	own, err := r.Foreign("anole-be", "anole-ls")
	if err != nil || len(own) > 0 {
		t.Errorf("our own are foreign: %v, %v", own, err)
	}
	if theirs, err := r.Foreign("anole-be"); err != nil || !theirs[b] || theirs[1] {
		t.Errorf("those of a group that counts: %v, %v", theirs, err)
	}
}

func TestRestoreTakesGroupsAway(t *testing.T) {
	r := openRig(t, resctrlfs.Skylake())
	was := tree(t, r.n.Dir)
	be, tid := r.control("anole-be"), sleeper(t)
	ls, err := r.Monitor(r.w, "anole-ls")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(be.Add(tid), ls.Add(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	if tree(t, r.n.Dir) == was {
		t.Fatal("nothing was done")
	}
	// As the next start after kill -9, and anole revert, do it.
	if rep := r.j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 || rep.Restored != 2 {
		t.Errorf("%+v", rep)
	}
	if now := tree(t, r.n.Dir); now != was {
		t.Errorf("not as it was:\n%s\nnow:\n%s", was, now)
	}
	if !has(t, r.Default(), tid) {
		t.Error("the task did not come back to the default group")
	}
}

// tree lists the groups and their files, but for what changes by itself.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && filepath.Base(path) == "schemata" {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			path += "=" + string(b)
		}
		out = append(out, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

func TestWhatALostJournalLeftIsMadeAnew(t *testing.T) {
	r := openRig(t, resctrlfs.Skylake())
	g := r.control("anole-be")
	if _, _, err := g.Set(resctrl.Schemata{{Resource: "MB", Values: []resctrl.Value{{Domain: 0, N: 20}, {Domain: 1, N: 20}}}}); err != nil {
		t.Fatal(err)
	}
	if again := r.control("anole-be"); again.Fresh.Line("MB").Values[0].N != 100 {
		t.Errorf("it begins with what was left: %v", again.Fresh)
	}
}

func TestNoGroupIsLeft(t *testing.T) {
	m := resctrlfs.Skylake()
	m.Closids = 2
	r := openRig(t, m)
	r.control("theirs")
	_, err := r.Control(r.w, "anole-be")
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.Conflict || !strings.Contains(err.Error(), "Out of CLOSIDs") {
		t.Errorf("%v", err)
	}
	for _, e := range r.j.Pending() {
		if strings.HasSuffix(e.Path, "anole-be") {
			t.Errorf("the journal holds a group that was never made: %+v", e)
		}
	}
}

func TestMeterCountsGrowth(t *testing.T) {
	r := openRig(t, resctrlfs.Milan()) // four domains
	g := r.control("anole-be")
	m, err := g.Meter()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	read := func(occupancy, total string) resctrl.Reading {
		t.Helper()
		r.n.Count("anole-be", "llc_occupancy", occupancy)
		r.n.Count("anole-be", "mbm_total_bytes", total)
		v, err := m.Read()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := read("1000", "5000"); v.Occupancy != 4000 || v.Traffic != 0 || v.Counted {
		t.Errorf("first: %+v", v)
	}
	if v := read("2000", "6000"); v.Occupancy != 8000 || v.Traffic != 4000 || !v.Counted {
		t.Errorf("growth: %+v", v)
	}
	if v := read("Unavailable", "Unavailable"); v.Occupied || v.Counted || v.Traffic != 0 {
		t.Errorf("unavailable: %+v", v)
	}
	if v := read("0", "7000"); v.Counted || v.Traffic != 0 {
		t.Errorf("the first after a gap: %+v", v)
	}
	if v := read("0", "100"); v.Counted || v.Traffic != 0 {
		t.Errorf("a counter that was reset: %+v", v)
	}
	if err := g.Remove(r.w); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(); err == nil {
		t.Error("a group that is gone can be read")
	}
}
