package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func (f *forest) process(pid int, exe string) {
	f.t.Helper()
	dir := filepath.Join(f.top, "proc", fmt.Sprint(pid))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "exe"))
	if err := os.Symlink(exe, filepath.Join(dir, "exe")); err != nil {
		f.t.Fatal(err)
	}
}

func TestExe(t *testing.T) {
	f := newForest(t)
	f.process(1, "/bin/b")
	f.process(2, "/bin/a (deleted)")
	f.process(3, "/bin/b")
	f.process(4, "/bin/inner")
	f.mkdir("/s.service", 1, 2, 3, 99) // 99 has ended
	f.mkdir("/s.service/nested", 4)
	f.mkdir("/p", 1)
	f.mkdir("/p/q", 4)
	tab := f.open(Options{})
	for id, want := range map[string]string{"s.service": "/bin/a /bin/b /bin/inner", "p": "/bin/b", "p/q": "/bin/inner"} {
		w, _ := tab.Get(id)
		if got := strings.Join(tab.Exe(w, f.now), " "); got != want {
			t.Errorf("%s runs %q, want %q", id, got, want)
		}
	}
}

func TestExeIsKept(t *testing.T) {
	f := newForest(t)
	f.process(1, "/bin/sh")
	f.mkdir("/s.service", 1)
	tab := f.open(Options{})
	w, _ := tab.Get("s.service")
	ask := func(after time.Duration, want string) {
		t.Helper()
		f.now = f.now.Add(after)
		if got := strings.Join(tab.Exe(w, f.now), " "); got != want {
			t.Fatalf("runs %q, want %q", got, want)
		}
	}
	ask(0, "/bin/sh")
	f.process(1, "/bin/real")
	ask(exeYoung/2, "/bin/sh")
	ask(exeYoung/2, "/bin/real") // young: soon asked again
	ask(exeTTL, "/bin/real")
	f.process(1, "/bin/other")
	ask(exeTTL/2, "/bin/real")
	ask(exeTTL/2, "/bin/other")
	f.process(1, "/bin/last")
	ask(-time.Hour, "/bin/last") // a clock that went back keeps nothing
}

func TestExeForgets(t *testing.T) {
	f := newForest(t)
	tab := f.open(Options{})
	for i := range 100 {
		tab.Exe(&Workload{Ino: uint64(i), Path: "/gone"}, f.now)
		f.now = f.now.Add(exeTTL)
	}
	if n := len(tab.exes.known); n > 6 {
		t.Fatalf("%d workloads are remembered", n)
	}
}

func TestExeIsBounded(t *testing.T) {
	f := newForest(t)
	var pids []int
	for i := range exeMax + 10 {
		f.process(1000+i, fmt.Sprintf("/bin/%d", i))
		pids = append(pids, 1000+i)
	}
	f.mkdir("/s.service", pids...)
	f.mkdir("/s.service/more", pids...)
	tab := f.open(Options{})
	w, _ := tab.Get("s.service")
	if n := len(tab.Exe(w, f.now)); n != exeMax {
		t.Fatalf("%d programs, want %d", n, exeMax)
	}
}
