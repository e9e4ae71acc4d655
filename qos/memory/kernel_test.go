package memory

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/test/fault/groups"
)

type rig struct {
	t   *testing.T
	n   *groups.Node
	g   *groups.Group
	dir *cgroup.Dir
	at  string // of the journal
	j   *journal.Journal
	w   *cgroup.Writer
}

func newRig(t *testing.T) *rig {
	t.Helper()
	n := groups.Open(t)
	n.Either()
	r := &rig{t: t, n: n, g: n.Make("be.service"), at: t.TempDir()}
	path := n.Tree.Path("memory", r.g.Rel)
	r.g.NeedFile(map[bool]string{true: FileUsage, false: FileUsageV1}[n.Unified()])
	var err error
	if r.dir, err = cgroup.OpenDir(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.dir.Close() })
	r.open()
	return r
}

func (r *rig) open() {
	var err error
	if r.j, err = journal.Open(r.at); err != nil {
		r.t.Fatal(err)
	}
	r.w = cgroup.NewWriter(r.j, "test")
	r.t.Cleanup(func() { _ = r.j.Close() })
}

// restart does what the next start of an agent that was killed does.
func (r *rig) restart() {
	r.t.Helper()
	_ = r.j.Close()
	r.open()
	if rep := r.j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 || len(r.j.Pending()) > 0 {
		r.t.Errorf("%v; left: %v", rep.Failed, r.j.Pending())
	}
}

func (r *rig) worker() *Worker {
	k := NewWorker(r.w)
	r.t.Cleanup(func() { _ = k.Close() })
	return k
}

// run does one job and waits for its result.
func (r *rig) run(k *Worker, j Job) Result {
	r.t.Helper()
	j.Path, j.Ino = r.dir.Path(), r.dir.Ino()
	if !k.Do(j) {
		r.t.Fatal("the worker is busy")
	}
	return r.result(k)
}

func (r *rig) result(k *Worker) Result {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if res, ok := k.Result(); ok {
			return res
		}
	}
	r.t.Fatal("no result within 30 s")
	return Result{}
}

func (r *rig) has(name string) {
	r.t.Helper()
	if !r.dir.Has(name) {
		testkit.Need(r.t, &feature.UnsupportedError{Feature: name, Reason: feature.NoKernel, Need: "a kernel with it, on its version of cgroups"})
	}
}

func (r *rig) usage() uint64 {
	f, err := OpenFiles(r.dir.Path())
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	n, err := f.Usage(make([]byte, 64))
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// The kernel answers EAGAIN when it reclaims less than was asked: that is no
// error, and what was reclaimed is told.
func TestKernelReclaimOfWhatIsNotThere(t *testing.T) {
	r := newRig(t)
	r.has(FileReclaim)
	r.g.Hold(20 * MiB)
	r.await("it has it", func() bool { return r.usage() > 20*MiB })
	if err := r.dir.Tell(FileReclaim, strconv.Itoa(16*MiB)); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("the kernel answers %v: this tests nothing", err)
	}
	res := r.run(r.worker(), Job{File: FileReclaim, Bytes: 16 * MiB})
	if res.Err != nil || res.Freed > 4*MiB {
		t.Errorf("%+v", res)
	}
}

func TestKernelJobsOfAGroupThatIsGone(t *testing.T) {
	r := newRig(t)
	k := r.worker()
	r.g.Remove()
	if res := r.run(k, Job{File: FileReclaim, Bytes: MiB}); !cgroup.Gone(res.Err) {
		t.Errorf("error %v", res.Err)
	}
	r.g = r.n.Make("be.service") // another one of that name
	if res := r.run(k, Job{File: FileReclaim, Bytes: MiB}); !cgroup.Gone(res.Err) {
		t.Errorf("of another group: error %v", res.Err)
	}
}

// A limit of v1 below what cannot be reclaimed is refused, and stays.
func TestKernelLimitBelowWhatIsPinned(t *testing.T) {
	r := newRig(t)
	r.has(FileLimitV1)
	r.g.Hold(20 * MiB)
	r.await("it has it", func() bool { return r.usage() > 20*MiB })
	was := r.g.Read(FileLimitV1)
	res := r.run(r.worker(), Job{File: FileLimitV1, Value: strconv.Itoa(8 * MiB)})
	if !errors.Is(res.Err, unix.EBUSY) || r.g.Read(FileLimitV1) != was {
		t.Errorf("error %v, limit %s", res.Err, r.g.Read(FileLimitV1))
	}
	if len(r.g.Threads()) == 0 {
		t.Error("it was killed")
	}
}

// Cancel ends a job whenever it comes, and the worker takes the next one. The
// job has no end by itself: what is reclaimed is read again at once.
func TestKernelCancel(t *testing.T) {
	r := newRig(t)
	j := Job{Path: r.dir.Path(), Ino: r.dir.Ino(), File: FileReclaim, Bytes: 64 << 30}
	if !r.dir.Has(FileReclaim) {
		j.File, j.Value = FileLimitV1, strconv.Itoa(MiB)
	}
	r.has(j.File)
	was := groups.Snapshot(r.g)
	r.g.Stream(testkit.Cacheable(t), 0, 200*MiB, 0)
	k := r.worker()
	cancelled := 0
	for i := range 20 {
		r.await("there is something to reclaim", func() bool { return r.usage() > 100*MiB })
		if !k.Do(j) {
			t.Fatal("the worker is busy after a cancel")
		}
		time.Sleep(time.Duration(i) * time.Millisecond)
		began := time.Now()
		r.await("it is over", func() bool { return k.Cancel(r.dir.Path()) })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a cancel took %v", took)
		}
		res, ok := k.Result()
		switch {
		case !ok:
			t.Fatal("no result after a cancel")
		case errors.Is(res.Err, ErrCancelled):
			cancelled++
		case res.Err != nil && !errors.Is(res.Err, unix.EBUSY):
			t.Errorf("error %v", res.Err)
		}
		for _, err := range r.w.Restore(func(*journal.Entry) bool { return true }) {
			t.Error(err)
		}
	}
	t.Logf("%d of 20 were in the middle", cancelled)
	if cancelled == 0 {
		t.Error("none was in the middle: this tests nothing")
	}
	if d := groups.Differ(was, groups.Snapshot(r.g)); len(d) > 0 {
		t.Error(d)
	}
}

func TestKernelWorkerTakesOneAtATime(t *testing.T) {
	r := newRig(t)
	k := r.worker()
	j := Job{Path: r.dir.Path(), Ino: r.dir.Ino(), File: FileReclaim, Bytes: MiB}
	if !k.Do(j) || k.Do(j) {
		t.Error("two at a time")
	}
	r.result(k)
	if !k.Do(j) {
		t.Error("none after the first")
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
}

// adj gives the oom_score_adj of the group's processes.
func (r *rig) adj() map[int]int {
	out := map[int]int{}
	for _, pid := range r.g.Threads() {
		if v, err := Adj(pid); err == nil {
			out[pid] = v
		}
	}
	return out
}

func (r *rig) raise() int {
	r.t.Helper()
	pids, err := r.dir.AllProcs()
	if err != nil {
		r.t.Fatal(err)
	}
	c := Changes(pids, func(now int) (int, bool) { return 900, now < 900 })
	n, err := Apply(r.w, r.dir, pids, c)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestKernelScoresComeBackAfterAKill(t *testing.T) {
	r := newRig(t)
	plain, set, most := r.g.Sleep().Process.Pid, r.g.Sleep().Process.Pid, r.g.Sleep().Process.Pid
	for pid, v := range map[int]string{set: "250", most: "900"} {
		if err := os.WriteFile(adjPath(pid), []byte(v), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.raise(); n != 2 {
		t.Fatalf("%d changed", n)
	}
	late := r.g.Sleep().Process.Pid // comes by itself, as from a runtime's exec
	parent := r.g.Run("sh", "-c", "while :; do sleep 0.2; done").Process.Pid
	if n := r.raise(); n < 2 {
		t.Fatalf("%d changed of those that came later", n)
	}
	r.await("a child inherits", func() bool {
		for pid, v := range r.adj() {
			if pid != plain && pid != set && pid != most && pid != late && pid != parent && v == 900 {
				return true
			}
		}
		return false
	})
	r.restart()
	want := map[int]int{plain: 0, set: 250, most: 900, late: 0, parent: 0}
	for pid, v := range r.adj() {
		if w, known := want[pid]; v != w && known || !known && v != 0 {
			t.Errorf("process %d has %d, want %d", pid, v, w)
		}
	}
}

// What somebody else sets afterwards is not undone.
func TestKernelScoreOfSomebodyElseStays(t *testing.T) {
	r := newRig(t)
	pid := r.g.Sleep().Process.Pid
	r.raise()
	if err := os.WriteFile(adjPath(pid), []byte("950"), 0); err != nil {
		t.Fatal(err)
	}
	r.restart()
	if v, _ := Adj(pid); v != 950 {
		t.Errorf("%d", v)
	}
}

func TestKernelScoresOfEndedProcessesAreForgotten(t *testing.T) {
	r := newRig(t)
	p := r.g.Sleep()
	r.g.Sleep()
	r.raise()
	before := len(r.j.Pending())
	_ = p.Process.Kill()
	r.await("it ended", func() bool { return len(r.g.Threads()) == 1 })
	r.await("it is forgotten", func() bool {
		if err := Forget(r.w); err != nil {
			t.Fatal(err)
		}
		return len(r.j.Pending()) == before-1
	})
	r.restart()
}

// The journal must stand what a damaged disk or another version leaves in it.
func TestDamagedScoreEntries(t *testing.T) {
	for _, e := range []journal.Entry{
		{Op: opScore, Path: "/proc/1 5", Old: []byte("x")},
		{Op: opScore, Path: "/proc/x 5", Old: []byte("{}")},
		{Op: opScore, Path: "", Old: []byte("{}")},
		{Op: opScores, Path: "/nowhere", Old: []byte("[")},
	} {
		if err := cgroup.Undo(&e); err == nil || !strings.Contains(err.Error(), "decode") {
			t.Errorf("%+v: %v", e, err)
		}
	}
	gone := journal.Entry{Op: opScore, Path: "/proc/1 1", Old: []byte(`{"given":900}`)}
	if err := cgroup.Undo(&gone); !errors.Is(err, journal.ErrGone) {
		t.Errorf("another process of that id: %v", err)
	}
}

// Whatever the order in which they were journalled, the limit is back before
// the kernel kills again at it.
func TestKernelLimitIsBackBeforeTheKiller(t *testing.T) {
	r := newRig(t)
	r.has(FileOOMV1)
	was := r.g.Read(FileLimitV1)
	if _, err := r.w.Set(cgroup.Edit{Dir: r.dir, File: FileLimitV1, Value: strconv.Itoa(20 * MiB)}); err != nil {
		t.Fatal(err)
	}
	if err := SetOOMKillOff(r.w, r.dir); err != nil {
		t.Fatal(err)
	}
	pid := r.g.Hold(40 * MiB).Process.Pid
	r.await("it waits", func() bool { return strings.Contains(r.g.Read(FileOOMV1), "under_oom 1") })
	at := ""
	rep := r.j.Restore(context.Background(), func(e *journal.Entry) error {
		if e.Op == OpOOMControl {
			at = r.g.Read(FileLimitV1)
		}
		return cgroup.Undo(e)
	})
	if len(rep.Failed) > 0 || at != was {
		t.Errorf("the limit was %s when killing came on, %s before: %v", at, was, rep.Failed)
	}
	r.await("it has its memory", func() bool { return r.usage() > 40*MiB })
	if !strings.Contains(r.g.Read(FileOOMV1), "oom_kill 0") || !slices.Contains(r.g.Procs(), pid) {
		t.Errorf("killed: %s", r.g.Read(FileOOMV1))
	}
}
