package workload

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
)

// realTree makes a cgroup on this node to test in and gives its directory and
// its path in the hierarchy.
func realTree(t testing.TB) (dir, rel string) {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "root"})
	}
	tree, err := cgroup.Detect("")
	if errors.Is(err, errors.ErrUnsupported) {
		testkit.Need(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	rel = fmt.Sprintf("/workload-test-%d", os.Getpid())
	if dir = tree.Path("cpu", rel); dir == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoKernel, Need: "the cpu controller"})
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "a writable cgroup hierarchy", Err: err})
	}
	t.Cleanup(func() {
		if err := cgroup.Remove(dir, filepath.Dir(dir)); err != nil {
			t.Error(err)
		}
	})
	return dir, rel
}

func mkdirs(t testing.TB, dir, format string, n int) {
	t.Helper()
	for i := range n {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf(format, i)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func rmdirs(t testing.TB, dir, format string, n int) {
	t.Helper()
	for i := range n {
		if err := os.Remove(filepath.Join(dir, fmt.Sprintf(format, i))); err != nil {
			t.Fatal(err)
		}
	}
}

func within(tab *Table, rel string) (n int) {
	for _, w := range tab.All() {
		if len(w.Path) > len(rel) && w.Path[:len(rel)+1] == rel+"/" {
			n++
		}
	}
	return n
}

func openFDs(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestKernelAnnouncesCgroups(t *testing.T) {
	dir, rel := realTree(t)
	tab, err := Open(Options{Rescan: time.Hour}) // so that only events can tell
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	now := time.Now()
	refresh := func(want int) {
		t.Helper()
		if _, err := tab.Refresh(now); err != nil || within(tab, rel) != want {
			t.Fatalf("%d workloads, %v; want %d; %+v", within(tab, rel), err, want, tab.Stats())
		}
	}
	mkdirs(t, dir, "x%d.service", 2)
	refresh(2)
	rmdirs(t, dir, "x%d.service", 1)
	refresh(1)

	mkdirs(t, dir, "plain%d", 1)
	refresh(1)
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		testkit.Need(t, err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	procs := filepath.Join(dir, "plain0", "cgroup.procs")
	if err := os.WriteFile(procs, []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	refresh(2)
	w, ok := tab.Get(rel[1:] + "/plain0")
	if exes := tab.Exe(w, now); !ok || len(exes) != 1 || !filepath.IsAbs(exes[0]) {
		t.Fatalf("it runs %q", exes)
	}
}

func TestChurn(t *testing.T) {
	dir, rel := realTree(t)
	tab, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	base, fds := tab.Stats().Cgroups, openFDs(t)
	refresh := func() {
		t.Helper()
		if _, err := tab.Refresh(time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 10 {
		mkdirs(t, dir, "p%d", 50)
		mkdirs(t, dir, "s%d.service", 50)
		if round%2 == 0 { // else they are gone before anyone looks
			refresh()
			if n := within(tab, rel); n != 50 {
				t.Fatalf("round %d: %d workloads, want 50", round, n)
			}
		}
		for i := range 50 {
			mkdirs(t, filepath.Join(dir, fmt.Sprintf("p%d", i)), "in%d.scope", 1)
		}
		if round%3 == 0 {
			refresh()
			if n := within(tab, rel); n != 100 {
				t.Fatalf("round %d: %d workloads, want 100", round, n)
			}
		}
		for i := range 50 {
			rmdirs(t, filepath.Join(dir, fmt.Sprintf("p%d", i)), "in%d.scope", 1)
		}
		rmdirs(t, dir, "p%d", 50)
		rmdirs(t, dir, "s%d.service", 50)
	}
	refresh()
	if n := within(tab, rel); n != 0 {
		t.Fatalf("%d workloads of removed cgroups", n)
	}
	if now := openFDs(t); now > fds {
		t.Fatalf("%d open descriptors, %d before", now, fds)
	}
	s := tab.Stats()
	if s.Watching && (len(tab.watch.nodes) > s.Cgroups+1 || s.Cgroups > base+20) {
		t.Fatalf("%d watches, %d cgroups, %d before", len(tab.watch.nodes), s.Cgroups, base)
	}
}

// BenchmarkRefresh1000 is the cost of a Refresh when nothing happened.
func BenchmarkRefresh1000(b *testing.B) {
	for _, name := range []string{"x%d.service", "plain%d"} {
		b.Run(name[:5], func(b *testing.B) {
			dir, _ := realTree(b)
			mkdirs(b, dir, name, 1000)
			tab, err := Open(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer tab.Close()
			now := time.Now().Add(settle)
			for range 10 {
				_, _ = tab.Refresh(now)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tab.Refresh(now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRound1000 is the cost of one round over 1,000 plain cgroups.
func BenchmarkRound1000(b *testing.B) {
	dir, _ := realTree(b)
	mkdirs(b, dir, "plain%d", 1000)
	tab, err := Open(Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer tab.Close()
	now := time.Now()
	for b.Loop() {
		now = now.Add(defaultRescan)
		for range 1 + 1000/roundBatch {
			if _, err := tab.Refresh(now); err != nil {
				b.Fatal(err)
			}
		}
	}
}
