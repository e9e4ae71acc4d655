package qos

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/memory"
	"github.com/anole-os/anole/test/fault/groups"
)

const mib = 1 << 20

// box is a cgroup with a limit in which a latency-sensitive and a best-effort
// group compete for memory, so that the rest of the node does not feel it.
type box struct {
	*groups.Group
	ls, be *groups.Group
	file   string    // something large to read
	reader *exec.Cmd // reads it, if there is one
}

func makeBox(t *testing.T, n *groups.Node, size int64) box {
	t.Helper()
	n.Either()
	b := box{Group: n.Make("box"), file: testkit.Cacheable(t)}
	b.NeedFile(limitFile(n))
	b.Write(limitFile(n), strconv.FormatInt(size, 10))
	b.ls, b.be = n.Make("box/ls.service"), n.Make("box/be.service")
	return b
}

func limitFile(n *groups.Node) string {
	if n.Unified() {
		return memory.FileLimit
	}
	return memory.FileLimitV1
}

func boundFile(n *groups.Node) string {
	if n.Unified() {
		return memory.FileHigh
	}
	return memory.FileLimitV1
}

// memoryOnly is a policy for one box: nothing but memory is isolated.
func memoryOnly(n *groups.Node) Policy {
	p := testPolicy(n)
	p.Rules = []Rule{
		{Match: matchPath(n.Prefix + "box/lsr*"), Class: class.LSR},
		{Match: matchPath(n.Prefix + "box/ls*"), Class: class.LS},
		{Match: matchPath(n.Prefix + "box/be*"), Class: class.BE},
		{Match: matchPath("/**"), Class: class.None},
	}
	p.BE.Priority, p.BE.Suppress, p.BE.SchedIdle, p.LS.Burst = "off", "off", "off", BurstOff
	p.Memory.OOMScore = "off"
	return p
}

// count reads one line of a file with a name and a number in each.
func count(t *testing.T, g *groups.Group, file, key string) int {
	t.Helper()
	for line := range strings.Lines(g.Read(file)) {
		if v, ok := strings.CutPrefix(line, key+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in %s", key, g.Path(file))
	return 0
}

func faults(t *testing.T, g *groups.Group) int { return count(t, g, memory.FileStat, "pgmajfault") }

func usage(g *groups.Group) int {
	if _, err := os.Stat(g.Path(memory.FileUsage)); err == nil {
		return g.Number(memory.FileUsage)
	}
	return g.Number(memory.FileUsageV1)
}

// faultsOver waits until the service has gone over its memory often enough and
// gives the major faults meanwhile.
func faultsOver(t *testing.T, g *groups.Group, rounds int, pause time.Duration, step func()) int {
	t.Helper()
	was := faults(t, g)
	for end := time.Now().Add(time.Duration(rounds) * pause); time.Now().Before(end); {
		step()
		time.Sleep(20 * time.Millisecond)
	}
	return faults(t, g) - was
}

// A service goes over its working set twice a second; best-effort work next to
// it reads a large file as fast as it can. Without the agent the service waits
// for its pages again and again, with it never.
func TestKernelMemoryNoMajorFaultsBesideThrashing(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	was := groups.Snapshot(b.Group, b.ls, b.be)
	const set = 140 * mib
	pause, rounds := 500*time.Millisecond, 20
	if testkit.Guest() { // emulated, best-effort work takes longer to fill the box anew
		pause, rounds = 2*time.Second, 6
	}
	b.ls.Touch(b.file, 0, set, pause)
	eventually(t, "the service has its memory", func() bool { return usage(b.ls) >= set })
	eventually(t, "the service is warm", func() bool { return faultsOver(t, b.ls, 2, pause, func() {}) == 0 })
	alone := faultsOver(t, b.ls, 4, pause, func() {})
	b.be.Stream(b.file, 1<<30, 1<<30, 0)
	eventually(t, "the box is full", func() bool { return usage(b.Group) > 240*mib })
	bare := faultsOver(t, b.ls, 8, pause, func() {})
	if alone != 0 || bare < set/4096/10 {
		t.Fatalf("the test does not press: %d major faults alone, %d beside best-effort work, of %d pages", alone, bare, set/4096)
	}

	r := openRig(t, n, memoryOnly(n), nil)
	r.until("the service has its memory back", func() bool {
		return usage(b.ls) >= set && usage(b.Group) <= 256*mib-5*mib
	})
	r.until("the service is warm again", func() bool {
		return faultsOver(t, b.ls, 2, pause, func() { r.Step(time.Now()) }) == 0
	})
	kept := usage(b.be)
	with := faultsOver(t, b.ls, rounds, pause, func() { r.Step(time.Now()) })
	t.Logf("major faults in %v: %d bare; in %v with the agent: %d; best-effort work keeps %d MiB", 8*pause, bare, time.Duration(rounds)*pause, with, kept/mib)
	if with != 0 {
		t.Errorf("%d major faults beside best-effort work", with)
	}
	if kept < 24*mib {
		t.Errorf("best-effort work was left %d MiB", kept/mib)
	}
	if b.be.Read(boundFile(n)) == strings.TrimSpace(was[b.be.Path(boundFile(n))]) {
		t.Error("nothing bounds best-effort work: what protects the service?")
	}
	if n.Unified() && (b.ls.Number(memory.FileLow) < set || b.Number(memory.FileLow) < set) {
		t.Errorf("memory.low %s, above it %s", b.ls.Read(memory.FileLow), b.Read(memory.FileLow))
	}
	x, err := r.Explain(b.be.Rel)
	if err != nil || len(x.Files) == 0 || len(x.Decisions) == 0 || !strings.Contains(x.Files[0].Why, b.Rel) {
		t.Errorf("explain: %+v, %v", x, err)
	}
	before := r.writes()
	faultsOver(t, b.ls, 6, pause, func() { r.Step(time.Now()) })
	if wrote := r.writes() - before; wrote > 2 {
		t.Errorf("%d writes in 3 s of a steady state", wrote)
	}
	r.close()
	same(t, was, b.Group, b.ls, b.be)
}

// The bound is taken off as soon as memory is free again.
func TestKernelMemoryBoundComesOff(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	was := groups.Snapshot(b.Group, b.ls, b.be)
	service := b.ls.Touch(b.file, 0, 150*mib, 100*time.Millisecond)
	b.be.Stream(b.file, 1<<30, 32*mib, 64*mib)
	r := openRig(t, n, memoryOnly(n), nil)
	free := strings.TrimSpace(was[b.be.Path(boundFile(n))])
	r.until("bounded", func() bool { return b.be.Read(boundFile(n)) != free })
	_ = service.Process.Kill()
	r.until("the service has ended", func() bool { return len(b.ls.Threads()) == 0 })
	b.Write(limitFile(n), strconv.Itoa(1<<30))
	began := time.Now()
	r.until("free again", func() bool { return b.be.Read(boundFile(n)) == free })
	t.Logf("free after %v", time.Since(began).Round(time.Millisecond))
	r.close()
	b.Write(limitFile(n), strconv.Itoa(256*mib))
	same(t, was, b.Group, b.ls, b.be)
}

// What cannot be reclaimed is never bounded away: a best-effort group that grows
// in anonymous memory lives.
func TestKernelMemoryBoundKillsNobody(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	was := groups.Snapshot(b.Group, b.ls, b.be)
	b.ls.Touch(b.file, 0, 150*mib, 100*time.Millisecond)
	b.be.Stream(b.file, 1<<30, 1<<30, 256*mib)
	r := openRig(t, n, memoryOnly(n), nil)
	free := b.be.Read(boundFile(n))
	r.until("bounded", func() bool { return b.be.Read(boundFile(n)) != free })
	const grows = 70 * mib // at once, and more than the bound leaves it
	b.be.Hold(grows)
	r.until("it has what it wants", func() bool { return count(t, b.be, memory.FileStat, anonKey(n)) > grows })
	t.Logf("uses %d MiB, bound %s", usage(b.be)/mib, b.be.Read(boundFile(n)))
	if k := killed(t, n, b.be) + killed(t, n, b.Group); k != 0 {
		t.Errorf("%d processes were killed", k)
	}
	r.close()
	same(t, was, b.Group, b.ls, b.be)
	if !n.Unified() && !strings.HasPrefix(b.be.Read(memory.FileOOMV1), "oom_kill_disable 0") {
		t.Errorf("left as %s", b.be.Read(memory.FileOOMV1))
	}
}

func killed(t *testing.T, n *groups.Node, g *groups.Group) int {
	if n.Unified() {
		return count(t, g, memory.FileEvents, "oom_kill")
	}
	return count(t, g, memory.FileOOMV1, "oom_kill")
}

func anonKey(n *groups.Node) string {
	if n.Unified() {
		return "anon"
	}
	return "rss"
}

// With memory.reclaim a group with a limit is kept below its watermark and never
// runs into the limit.
func TestKernelMemoryStaysUnderTheWatermark(t *testing.T) {
	n := groups.Open(t)
	n.V2()
	b := makeBox(t, n, 512*mib)
	if _, err := os.Stat(b.be.Path(memory.FileReclaim)); err != nil {
		testkit.Need(t, lacksReclaim(err))
	}
	const limit = 100 * mib
	b.be.Write(memory.FileLimit, strconv.Itoa(limit))
	was := groups.Snapshot(b.Group, b.be)
	b.be.Stream(b.file, 1<<30, 1<<30, 20*mib)
	r := openRig(t, n, memoryOnly(n), nil)
	r.until("reclaim has begun", func() bool { return r.Totals().Memory.Reclaimed[memory.FileReclaim] > 0 })
	reached := count(t, b.be, memory.FileEvents, "max")
	over, most, looks := 0, 0, 0
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); looks++ {
		r.Step(time.Now())
		time.Sleep(20 * time.Millisecond)
		u := usage(b.be)
		if most = max(most, u); u > limit/100*97 {
			over++
		}
	}
	hit := count(t, b.be, memory.FileEvents, "max") - reached
	t.Logf("%d looks, at most %.1f MiB of %d, %d above 97 %%; it ran into its limit %d times; %d MiB reclaimed", looks, float64(most)/mib, limit/mib, over, hit, r.Totals().Memory.Reclaimed[memory.FileReclaim]/mib)
	if hit != 0 || over > looks/50 {
		t.Errorf("above its watermark in %d of %d looks, at its limit %d times", over, looks, hit)
	}
	if r.Totals().Memory.Reclaimed[memory.FileReclaim] < 50*mib {
		t.Error("hardly anything was reclaimed: this tests nothing")
	}
	r.close()
	same(t, was, b.Group, b.be)
}

func lacksReclaim(err error) error {
	return &feature.UnsupportedError{Feature: memory.FileReclaim, Reason: feature.NoKernel, Need: "Linux 5.19", Err: err}
}

func TestKernelMemoryFinishedJobGivesItsCacheBack(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 512*mib)
	job := b.be.Stream(b.file, 1<<30, 100*mib, 0)
	eventually(t, "the job has cache", func() bool { return usage(b.be) > 98*mib })
	_ = job.Process.Kill()
	eventually(t, "the job has ended", func() bool { return len(b.be.Threads()) == 0 })
	if usage(b.be) < 80*mib {
		t.Fatal("its cache went with it: this tests nothing")
	}
	r := openRig(t, n, memoryOnly(n), nil)
	r.until("its cache is given back", func() bool { return usage(b.be) < 16*mib })
	r.until("that is counted", func() bool {
		total := uint64(0)
		for _, v := range r.Totals().Memory.Reclaimed {
			total += v
		}
		return total > 60*mib
	})
}

func TestKernelMemoryProtectionByClass(t *testing.T) {
	n := groups.Open(t)
	n.V2()
	b := makeBox(t, n, 512*mib)
	lsr := n.Make("box/lsr.service")
	was := groups.Snapshot(b.Group, b.ls, b.be, lsr)
	b.ls.Touch(b.file, 0, 40*mib, time.Second)
	lsr.Touch(b.file, 1<<30, 60*mib, time.Second)
	b.be.Sleep()
	r := openRig(t, n, memoryOnly(n), nil)
	r.until("protected", func() bool { return b.ls.Number(memory.FileLow) >= 40*mib && lsr.Number(memory.FileMin) >= 60*mib })
	r.until("the cgroup above too", func() bool { return b.Number(memory.FileLow) >= 40*mib && b.Number(memory.FileMin) >= 60*mib })
	if b.ls.Number(memory.FileMin) != 0 || lsr.Number(memory.FileLow) != 0 || b.be.Number(memory.FileLow) != 0 {
		t.Error("protected by the wrong means")
	}
	if b.be.Read(memory.FileOOMGroup) != "1" || b.ls.Read(memory.FileOOMGroup) != "0" {
		t.Error("memory.oom.group is for best-effort work")
	}
	lsr.Remove()
	r.until("what is gone is protected no longer", func() bool { return b.Number(memory.FileMin) == 0 })
	lsr = n.Make("box/lsr.service")
	r.set(func(p *Policy) { p.Memory.Protect, p.Memory.OOMGroup = "off", "off" })
	r.until("off", func() bool { return b.ls.Number(memory.FileLow) == 0 && b.Number(memory.FileLow) == 0 })
	same(t, was, b.Group, b.ls, b.be, lsr)
	r.set(func(p *Policy) { p.Memory.Protect = "auto" })
	r.until("on again", func() bool { return b.ls.Number(memory.FileLow) >= 40*mib })
	r.close()
	same(t, was, b.Group, b.ls, b.be, lsr)
}

// Protections that somebody set himself are not lowered.
func TestKernelMemoryOwnProtectionStays(t *testing.T) {
	n := groups.Open(t)
	n.V2()
	b := makeBox(t, n, 512*mib)
	b.ls.Write(memory.FileLow, strconv.Itoa(300*mib))
	b.be.Write(memory.FileHigh, strconv.Itoa(64*mib))
	was := groups.Snapshot(b.ls, b.be)
	b.ls.Touch(b.file, 0, 40*mib, time.Second)
	r := openRig(t, n, memoryOnly(n), nil)
	r.until("the cgroup above is protected", func() bool { return b.Number(memory.FileLow) >= 40*mib })
	r.steps(20)
	is := groups.Snapshot(b.ls, b.be)
	delete(was, b.be.Path(memory.FileOOMGroup))
	delete(is, b.be.Path(memory.FileOOMGroup))
	if d := groups.Differ(was, is); len(d) > 0 {
		t.Error(d)
	}
}

func TestKernelMemoryGroupRemovedWhileReclaimed(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	b.ls.Touch(b.file, 0, 150*mib, 50*time.Millisecond)
	r := openRig(t, n, memoryOnly(n), nil)
	for range 3 {
		free := b.be.Read(boundFile(n))
		b.be.Stream(b.file, 1<<30, 1<<30, 0)
		r.until("bounded", func() bool { return b.be.Read(boundFile(n)) != free })
		r.until("served again", func() bool { return r.class(b.be) == "BE" })
		b.be.Remove()
		r.until("forgotten", func() bool { return r.class(b.be) == "" })
		if d := r.degradedBy("be.service"); len(d) > 0 {
			t.Errorf("a group that goes away is no trouble: %v", d)
		}
		for _, e := range r.j.Pending() {
			if strings.HasPrefix(e.Path, b.be.Path(boundFile(n))[:strings.LastIndexByte(b.be.Path(boundFile(n)), '/')]) {
				t.Errorf("still in the journal: %s", e.Path)
			}
		}
		b.be = n.Make("box/be.service")
	}
}

func TestKernelMemoryRefusedBoundIsShownAndRetried(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	was := groups.Snapshot(b.Group, b.ls, b.be)
	b.ls.Touch(b.file, 0, 150*mib, 50*time.Millisecond)
	b.be.Stream(b.file, 1<<30, 1<<30, 0)
	broken := true
	r := openRig(t, n, memoryOnly(n), func(path, _ string) error {
		if broken && path == b.be.Path(boundFile(n)) {
			return unix.EPERM
		}
		return nil
	})
	r.until("shown", func() bool { return len(r.degradedBy("memory.")) == 1 })
	broken = false
	free := strings.TrimSpace(was[b.be.Path(boundFile(n))])
	r.until("done", func() bool { return b.be.Read(boundFile(n)) != free })
	r.until("no trouble left", func() bool { return len(r.degradedBy("memory.")) == 0 })
	r.close()
	same(t, was, b.Group, b.ls, b.be)
}

func TestKernelMemoryEvictsOneByOne(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 512*mib)
	large := n.Make("box/be-large.service")
	b.ls.Sleep()
	b.be.Hold(10 * mib)
	large.Hold(60 * mib)
	eventually(t, "they have it", func() bool { return usage(large) > 60*mib && usage(b.be) > 10*mib })
	p := memoryOnly(n)
	p.Memory.Evict, p.Memory.Below, p.Memory.After, p.Memory.Pause = "kill", 1, yamlx.Duration(time.Second), yamlx.Duration(3*time.Second)
	r := openRig(t, n, p, nil)
	r.until("the larger one went", func() bool { return len(large.Threads()) == 0 })
	if len(b.be.Threads()) == 0 || r.Totals().Memory.Evictions != 1 {
		t.Errorf("both went at once: %d evictions", r.Totals().Memory.Evictions)
	}
	r.until("the other one too", func() bool { return len(b.be.Threads()) == 0 })
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		r.steps(10)
	}
	if len(b.ls.Threads()) == 0 {
		t.Error("latency-sensitive work was evicted")
	}
	if got := r.Totals().Memory.Evictions; got != 2 {
		t.Errorf("%d evictions", got)
	}
	found := false
	for _, d := range r.Status().Decisions {
		found = found || d.New == "killed" && strings.Contains(d.Workload, "be-large") && strings.Contains(d.Why, "available")
	}
	if !found {
		t.Error("no decision tells of it")
	}
}

func TestKernelMemoryOOMScore(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	b.be.Sleep()
	b.ls.Sleep()
	ours := func(g *groups.Group) (out []int) {
		for _, pid := range g.Threads() {
			v, err := memory.Adj(pid)
			if err == nil {
				out = append(out, v)
			}
		}
		return out
	}
	mine := b.be.Sleep() // somebody made this one less favoured, but not as much
	if err := os.WriteFile("/proc/"+strconv.Itoa(mine.Process.Pid)+"/oom_score_adj", []byte("300"), 0); err != nil {
		t.Fatal(err)
	}
	all := func(g *groups.Group, v int) bool {
		for _, x := range ours(g) {
			if x != v {
				return false
			}
		}
		return true
	}
	p := memoryOnly(n)
	p.Memory.OOMScore = "auto"
	r := openRig(t, n, p, nil)
	r.until("best-effort work goes first", func() bool { return all(b.be, memory.ScoreBE) })
	b.be.Run("sh", "-c", "while :; do sleep 0.1; done")
	r.until("who came later too", func() bool { return all(b.be, memory.ScoreBE) && len(ours(b.be)) > 2 })
	sensitive := memory.ScoreSensitive
	if may, _ := sys.Capable(unix.CAP_SYS_RESOURCE); !may {
		sensitive = 0
		if !slices.ContainsFunc(r.Status().Mechanisms, func(m Mechanism) bool { return m.Name == "oom score" && strings.Contains(m.Why, "CAP_SYS_RESOURCE") }) {
			t.Error("nothing says that LS is not favoured")
		}
	}
	r.until("latency-sensitive work last", func() bool { return all(b.ls, sensitive) })
	r.close()
	if v, _ := memory.Adj(mine.Process.Pid); v != 300 {
		t.Errorf("its own 300 became %d", v)
	}
	for _, pid := range b.be.Threads() {
		if v, _ := memory.Adj(pid); pid != mine.Process.Pid && v != 0 {
			t.Errorf("process %d was left %d", pid, v)
		}
	}
	if !all(b.ls, 0) {
		t.Error("latency-sensitive work was left favoured")
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience()); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience(), what)
		}
	}
}
