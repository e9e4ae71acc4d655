package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/anole-os/anole/test/fault/groups"
)

// openFiles counts the process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// churn makes and removes groups, ten at a time, with a step in between.
func churn(t *testing.T, n *groups.Node, step func(), total int) {
	t.Helper()
	for at := 0; at < total; at += 10 {
		var dirs []string
		for i := range 10 {
			name := "be"
			if i%3 == 0 {
				name = "ls"
			}
			rel := fmt.Sprintf("%s%s-%d.service", n.Prefix, name, at+i)
			for _, c := range []string{"cpu", "cpuacct", "cpuset"} {
				dir := n.Tree.Path(c, rel)
				if err := os.Mkdir(dir, 0o755); err == nil {
					dirs = append(dirs, dir)
				}
			}
			if i%3 == 0 {
				limit := "30000"
				if n.Unified() {
					limit = "30000 100000"
				}
				if err := os.WriteFile(filepath.Join(n.Tree.Path("cpu", rel), n.LimitFile()), []byte(limit), 0); err != nil {
					t.Fatal(err)
				}
			}
		}
		step()
		step()
		for _, dir := range dirs {
			if err := os.Remove(dir); err != nil {
				t.Fatal(err)
			}
		}
		if at%50 == 0 {
			step()
		}
	}
	step()
	step()
}

func TestThousandGroupsComeAndGo(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	dir := t.TempDir()
	p := policy(n.Prefix)
	p.BE.SchedIdle, p.LS.RTLane.Enabled = "on", true
	e, j, err := engine(dir, p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer e.Close()
	now := time.Now()
	step := func() { now = now.Add(25 * time.Millisecond); e.Step(now) }
	step()
	churn(t, n, step, 100)
	files, routines := openFiles(t), runtime.NumGoroutine()
	p.BE.Suppress = "cpuset"
	if err := e.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	churn(t, n, step, 500)
	p.BE.Suppress = "quota"
	if err := e.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	churn(t, n, step, 500)
	if got := openFiles(t); got > files+2 {
		t.Errorf("%d descriptors open, %d after the first hundred groups", got, files)
	}
	if got := runtime.NumGoroutine(); got > routines {
		t.Errorf("%d goroutines, %d after the first hundred groups", got, routines)
	}
	if d := degraded(e, ""); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	if left := j.Pending(); len(left) > 0 {
		t.Errorf("%d entries left in the journal, first %+v", len(left), left[0])
	}
	st, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || st.Size() > 200<<10 {
		t.Errorf("journal: %v, %v", st, err)
	}
	if w := e.Totals().Writes; len(w) == 0 {
		t.Error("nothing was ever written: this tests nothing")
	}
}
