package workload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// forest is a tree of plain directories that stands for a node's cpu hierarchy.
type forest struct {
	t   *testing.T
	top string // prefix of /proc and /sys
	now time.Time
}

func newForest(t *testing.T) *forest {
	t.Helper()
	f := &forest{t: t, top: t.TempDir(), now: time.Now()}
	f.write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
	f.mkdir("/")
	return f
}

func (f *forest) write(path, text string) {
	f.t.Helper()
	path = filepath.Join(f.top, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *forest) dir(cg string) string { return filepath.Join(f.top, "/sys/fs/cgroup/cpu", cg) }

// mkdir makes a cgroup that holds the processes.
func (f *forest) mkdir(cg string, pids ...int) {
	f.t.Helper()
	if err := os.MkdirAll(f.dir(cg), 0o755); err != nil {
		f.t.Fatal(err)
	}
	f.fill(cg, pids...)
}

func (f *forest) fill(cg string, pids ...int) {
	f.t.Helper()
	text := ""
	for _, p := range pids {
		text += fmt.Sprintln(p)
	}
	if err := os.WriteFile(filepath.Join(f.dir(cg), "cgroup.procs"), []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

func (f *forest) rm(cg string) {
	f.t.Helper()
	if err := os.RemoveAll(f.dir(cg)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *forest) open(o Options) *Table {
	f.t.Helper()
	o.Root = f.top
	tab, err := Open(o)
	if err != nil {
		f.t.Fatal(err)
	}
	f.now = time.Now()
	f.t.Cleanup(func() { _ = tab.Close() })
	return tab
}

// step lets d pass and wants the table to say whether it changed.
func (f *forest) step(tab *Table, d time.Duration, want bool) {
	f.t.Helper()
	f.now = f.now.Add(d)
	got, err := tab.Refresh(f.now)
	if err != nil || got != want {
		f.t.Fatalf("refresh: changed %v, %v; want %v; holds %s", got, err, want, ids(tab))
	}
}

func ids(tab *Table) string {
	var s []string
	for _, w := range tab.All() {
		s = append(s, w.ID)
	}
	return strings.Join(s, " ")
}

func wantIDs(t *testing.T, tab *Table, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := ids(tab); got != strings.Join(want, " ") {
		t.Fatalf("table holds %q, want %q", got, strings.Join(want, " "))
	}
}

// both runs a test with inotify and without.
func both(t *testing.T, test func(*testing.T, *forest, Options)) {
	for _, poll := range []bool{false, true} {
		t.Run(fmt.Sprintf("poll=%v", poll), func(t *testing.T) { test(t, newForest(t), Options{Poll: poll}) })
	}
}

func TestOpenFindsWhatRuns(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		f.mkdir("/anole-ls/web")
		f.mkdir("/system.slice/nginx.service/worker", 5)
		f.mkdir("/docker/"+id64+"/system.slice/x.service", 6)
		f.mkdir("/plain/inner", 7)
		f.mkdir("/plain/empty")
		f.mkdir("/user.slice", 8)
		f.mkdir("/system.slice/x.mount")
		tab := f.open(o)
		wantIDs(t, tab, "anole-ls/web", "system.slice/nginx.service", "docker/"+id12, "plain/inner", "user.slice")
		w, ok := tab.Get("plain/inner")
		var st unix.Stat_t
		if err := unix.Stat(f.dir("/plain/inner"), &st); err != nil || !ok || w.Ino != st.Ino || w.Source != "tree" || tab.Dir(w) != f.dir("/plain/inner") {
			t.Fatalf("plain/inner is %+v, %v, %v", w, ok, err)
		}
		if same, ok := tab.ByIno(st.Ino); !ok || same != w {
			t.Fatal("ByIno does not find it")
		}
		if s := tab.Stats(); s.Watching == o.Poll || s.Workloads != 5 || s.Cgroups != 11 || o.Poll == (s.WatchNote == "") {
			t.Fatalf("stats %+v", s)
		}
	})
}

func TestFollowsChanges(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		step := 10 * time.Millisecond
		if o.Poll {
			step = defaultRescan
		}
		tab := f.open(o)
		f.step(tab, step, false)
		gen := tab.Generation()
		f.mkdir("/a/b/c.service")
		f.mkdir("/a/p", 1)
		f.step(tab, step, true)
		wantIDs(t, tab, "a/b/c.service", "a/p")
		if tab.Generation() != gen+1 {
			t.Fatalf("generation went from %d to %d", gen, tab.Generation())
		}
		held := tab.All()
		f.step(tab, step, false)
		f.mkdir("/a/b/d.service")
		f.rm("/a/p")
		f.step(tab, step, true)
		wantIDs(t, tab, "a/b/c.service", "a/b/d.service")
		if len(held) != 2 || held[1].ID != "a/p" {
			t.Fatal("an earlier snapshot changed")
		}
		f.rm("/a")
		f.step(tab, step, true)
		wantIDs(t, tab)
	})
}

func TestRemadeGroupIsAnotherWorkload(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		f.mkdir("/s.slice/x.service")
		tab := f.open(o)
		old, _ := tab.Get("s.slice/x.service")
		// Keep the old directory's inode in use, as a file system may give
		// it out again; kernfs does not.
		hold, err := os.Open(f.dir("/s.slice/x.service"))
		if err != nil {
			t.Fatal(err)
		}
		defer hold.Close()
		f.rm("/s.slice/x.service")
		f.mkdir("/s.slice/x.service")
		f.step(tab, defaultRescan, true)
		w, ok := tab.Get("s.slice/x.service")
		if !ok || w.Ino == old.Ino {
			t.Fatalf("now %+v, was %+v", w, old)
		}
		if _, ok := tab.ByIno(old.Ino); ok {
			t.Fatal("the old inode is still known")
		}
	})
}

func TestRemadePlaceIsStillWatched(t *testing.T) {
	f := newForest(t)
	f.mkdir("/s.slice")
	tab := f.open(Options{})
	for range 3 {
		f.rm("/s.slice")
		f.mkdir("/s.slice")
		f.step(tab, 0, false)
		f.mkdir("/s.slice/x.service")
		f.step(tab, 0, true)
		wantIDs(t, tab, "s.slice/x.service")
		f.rm("/s.slice/x.service")
		f.step(tab, 0, true)
	}
}

func TestRenamedGroupMoves(t *testing.T) {
	f := newForest(t)
	f.mkdir("/a/x", 1)
	tab := f.open(Options{})
	if err := os.Rename(f.dir("/a"), f.dir("/b")); err != nil {
		t.Fatal(err)
	}
	f.step(tab, 0, true)
	wantIDs(t, tab, "b/x")
	f.mkdir("/b/y", 2)
	f.step(tab, 0, true)
	wantIDs(t, tab, "b/x", "b/y")
}

func TestProcessesEnterAfterMkdir(t *testing.T) {
	f := newForest(t)
	tab := f.open(Options{})
	f.mkdir("/late")
	f.step(tab, 0, false)
	f.fill("/late", 9)
	f.step(tab, 100*time.Millisecond, true) // within settle: at once
	wantIDs(t, tab, "late")

	f.mkdir("/later")
	f.step(tab, 0, false)
	for range 5 {
		f.step(tab, settle/4, false)
	}
	f.fill("/later", 9)
	f.step(tab, time.Millisecond, false) // no longer looked at each time
	f.step(tab, defaultRescan, true)
	wantIDs(t, tab, "late", "later")
}

func TestEmptiedGroupLeaves(t *testing.T) {
	f := newForest(t)
	f.mkdir("/p", 1)
	f.mkdir("/x.slice/s.service", 2)
	tab := f.open(Options{})
	f.fill("/p")
	f.fill("/x.slice/s.service")
	f.step(tab, time.Millisecond, false)
	f.step(tab, defaultRescan, true)
	wantIDs(t, tab, "x.slice/s.service") // a service is one whatever it holds
	f.fill("/p", 3)
	f.step(tab, defaultRescan, true)
	wantIDs(t, tab, "p", "x.slice/s.service")
}

func TestRoundReachesAll(t *testing.T) {
	f := newForest(t)
	const n = 5 * roundBatch
	for i := range n {
		f.mkdir(fmt.Sprintf("/p%d", i))
	}
	tab := f.open(Options{})
	f.step(tab, settle+time.Second, false)
	for i := range n {
		f.fill(fmt.Sprintf("/p%d", i), 1)
	}
	f.rm("/p0") // leaves a hole in the round
	f.now = f.now.Add(defaultRescan)
	calls := 0
	for len(tab.All()) < n-1 {
		if _, err := tab.Refresh(f.now); err != nil {
			t.Fatal(err)
		}
		f.now = f.now.Add(50 * time.Millisecond)
		if calls++; calls > 2*n/roundBatch {
			t.Fatalf("%d of %d found after %d calls", len(tab.All()), n-1, calls)
		}
	}
	if calls < 3 {
		t.Fatalf("all found in %d calls: a round must not be one long call", calls)
	}
}

func TestSlowOwnerStillSeesAll(t *testing.T) {
	f := newForest(t)
	const n = 3 * roundBatch
	for i := range n {
		f.mkdir(fmt.Sprintf("/p%d", i))
	}
	tab := f.open(Options{})
	f.step(tab, settle+time.Second, false)
	for i := range n {
		f.fill(fmt.Sprintf("/p%d", i), 1)
	}
	f.step(tab, defaultRescan, true)
	f.step(tab, defaultRescan, true)
	if got := len(tab.All()); got != n {
		t.Fatalf("%d of %d found", got, n)
	}
}

func TestClockJumps(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		f.mkdir("/p")
		tab := f.open(o)
		f.step(tab, time.Hour, false)
		f.fill("/p", 1)
		f.step(tab, -2*time.Hour, true)
		f.mkdir("/x.service")
		f.step(tab, time.Hour, true)
		wantIDs(t, tab, "p", "x.service")
	})
}

func TestExclude(t *testing.T) {
	both(t, func(t *testing.T, f *forest, o Options) {
		f.mkdir("/skip/x.service", 1)
		f.mkdir("/keep/x.service", 1)
		f.mkdir("/keep/y.service", 1)
		o.Exclude = []string{"/skip", "/keep/y*"}
		tab := f.open(o)
		f.mkdir("/keep/yy.service", 1)
		f.mkdir("/skip/z.service", 1)
		f.step(tab, defaultRescan, false)
		wantIDs(t, tab, "keep/x.service")
	})
	f := newForest(t)
	if _, err := Open(Options{Root: f.top, Exclude: []string{"/a**"}}); err == nil {
		t.Fatal("a bad pattern was accepted")
	}
	if _, err := Open(Options{Root: f.top, Rescan: -1}); err == nil {
		t.Fatal("a negative time was accepted")
	}
}

func TestIDsStayUnique(t *testing.T) {
	f := newForest(t)
	a, b := id64, id12+strings.Repeat("0", 52)
	f.mkdir("/docker/" + a)
	tab := f.open(Options{})
	f.mkdir("/docker/" + b)
	f.step(tab, 0, true)
	f.mkdir("/other/docker-" + b + ".scope")
	f.step(tab, 0, true)
	wantIDs(t, tab, "docker/"+id12, "docker/"+b, "other/docker-"+b+".scope")
	f.rm("/docker/" + a)
	f.step(tab, 0, true)
	wantIDs(t, tab, "docker/"+b, "other/docker-"+b+".scope") // an id never changes hands
}

func TestEnrich(t *testing.T) {
	f := newForest(t)
	f.mkdir("/docker/" + id64)
	calls := 0
	tab := f.open(Options{Enrich: func(w *Workload) {
		calls++
		if w.ContainerID != id64 || w.Ino == 0 {
			t.Errorf("asked about %+v", w)
		}
		w.Name, w.Labels = "db", map[string]string{"app": "db"}
	}})
	f.step(tab, time.Hour, false)
	w, ok := tab.Get("docker/" + id12)
	if !ok || w.Name != "db" || w.Labels["app"] != "db" || calls != 1 {
		t.Fatalf("%+v, %d calls", w, calls)
	}
	c := w.Clone()
	c.Labels["app"] = "x"
	if w.Labels["app"] != "db" {
		t.Fatal("Clone shares labels")
	}
}

// A workload is asked about when it appears and at no scan, and what was told
// of one is not kept for the next at its path.
func TestEnrichOnceForEachWorkload(t *testing.T) {
	f := newForest(t)
	var asked []string
	team := "a"
	tab := f.open(Options{Enrich: func(w *Workload) {
		asked = append(asked, w.Path)
		if w.Kind == KindAnole {
			w.Labels = map[string]string{"team": team}
		}
	}})
	rule, err := Compile(Match{Label: map[string]string{"team": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	matches := func() (n int) {
		for _, w := range tab.All() {
			if rule.Match(w, nil) {
				n++
			}
		}
		return n
	}
	f.mkdir("/anole-ls/web")
	f.mkdir("/docker/" + id64)
	f.step(tab, 0, true)
	for range 5 {
		f.step(tab, time.Minute, false)
	}
	if slices.Sort(asked); !slices.Equal(asked, []string{"/anole-ls/web", "/docker/" + id64}) || matches() != 1 {
		t.Errorf("asked about %q, %d match", asked, matches())
	}
	team = "b"
	f.rm("/anole-ls/web")
	f.step(tab, 0, true)
	f.mkdir("/anole-ls/web")
	f.step(tab, 0, true)
	if len(asked) != 3 || matches() != 0 {
		t.Errorf("the next of the name: asked about %q, %d match", asked, matches())
	}
}

func TestOpenWithoutCgroups(t *testing.T) {
	f := newForest(t)
	f.write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
	var u *feature.UnsupportedError
	if _, err := Open(Options{Root: f.top}); !errors.As(err, &u) || u.Reason != feature.NoKernel {
		t.Fatalf("error %v", err)
	}
	f.write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/nowhere rw - cgroup2 cgroup2 rw\n")
	if _, err := Open(Options{Root: f.top}); !errors.Is(err, os.ErrNotExist) || errors.As(err, &u) {
		t.Fatalf("error %v", err)
	}
}

func TestFollowsUnifiedHierarchy(t *testing.T) {
	f := newForest(t)
	f.write("/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup2 cgroup2 rw\n") // any path will do
	f.mkdir("/x.slice/y.service", 1)
	wantIDs(t, f.open(Options{}), "x.slice/y.service")
}
