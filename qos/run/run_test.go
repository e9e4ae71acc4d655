package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

func TestExitCodeIsPassedThrough(t *testing.T) {
	node(t)
	for _, c := range []struct {
		script string
		code   int
		signal syscall.Signal
	}{
		{"exit 0", 0, 0}, {"exit 3", 3, 0}, {"exit 255", 255, 0}, {"kill -9 $$", 137, syscall.SIGKILL}, {"kill -15 $$", 143, syscall.SIGTERM},
	} {
		res, err := Run(context.Background(), options(t, "sh", "-c", c.script))
		if err != nil || res.ExitCode != c.code || res.Signal != c.signal {
			t.Errorf("%s: %+v, %v; want code %d", c.script, res, err, c.code)
		}
	}
}

func TestCommandThatCannotRun(t *testing.T) {
	node(t)
	dir := t.TempDir()
	text, garbage := filepath.Join(dir, "text"), filepath.Join(dir, "garbage")
	if err := errors.Join(os.WriteFile(text, []byte("x"), 0o600), os.WriteFile(garbage, []byte("\x7fELF"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for argv, want := range map[string]int{"no-such-command": 127, dir + "/none": 127, text: 126, dir: 126, garbage: 126} {
		res, err := Run(context.Background(), options(t, argv))
		var e *ExecError
		if !errors.As(err, &e) || res.ExitCode != want {
			t.Errorf("%s: code %d, %v; want %d", argv, res.ExitCode, err, want)
		}
		if want == 127 && !strings.Contains(fmt.Sprint(err), "not found") {
			t.Errorf("%s: %v", argv, err)
		}
	}
}

// The command reads /proc/self/cgroup as the first thing it does.
func TestCommandStartsInsideItsCgroup(t *testing.T) {
	tree := node(t)
	for _, cls := range []class.Class{class.LS, class.BE} {
		o := options(t, "cat", "/proc/self/cgroup", "/proc/self/stat")
		o.Class = cls
		var pid int
		o.OnStart = func(s Started) { pid = s.PID }
		res, out, err := output(t, o)
		if err != nil || res.ExitCode != 0 {
			t.Fatal(res, err)
		}
		if !strings.Contains(out, fmt.Sprintf("\n%d (cat)", pid)) {
			t.Errorf("pid %d is not the command's:\n%s", pid, out)
		}
		for _, c := range wanted {
			if v, ok := tree.Version(c); ok && v == cgroup.V1 && groupOf(out, c) != res.Cgroup {
				t.Errorf("%s: not in %s of %s:\n%s", cls, res.Cgroup, c, out)
			}
		}
	}
}

// groupOf finds the group of a controller in a /proc/PID/cgroup; several may
// share a hierarchy, as "4:cpu,cpuacct:/a".
func groupOf(text, controller string) string {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && slices.Contains(strings.Split(f[1], ","), controller) {
			return f[2]
		}
	}
	return ""
}

func TestEnvironmentDirectoryAndDescriptors(t *testing.T) {
	node(t)
	dir := t.TempDir()
	extra, err := os.CreateTemp(dir, "extra")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	fd, err := unix.FcntlInt(extra.Fd(), unix.F_DUPFD, 9) // inherited: not close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	o := options(t, "sh", "-c", fmt.Sprintf("echo $A $PWD; echo hello >&%d; ls /proc/self/fd | wc -l", fd))
	o.Env, o.Dir = []string{"A=b c", "PATH=/usr/bin:/bin"}, dir
	res, out, err := output(t, o)
	if err != nil || res.ExitCode != 0 || !strings.HasPrefix(out, "b c "+dir+"\n") {
		t.Errorf("%+v, %v: %q", res, err, out)
	}
	if b, _ := os.ReadFile(extra.Name()); string(b) != "hello\n" {
		t.Errorf("inherited descriptor: %q", b)
	}
}

func TestLeftoversAreKilled(t *testing.T) {
	node(t)
	file := filepath.Join(t.TempDir(), "pid")
	res, err := Run(context.Background(), options(t, "sh", "-c", `
		setsid sh -c 'trap "" TERM HUP; echo $$ > "$1"; while :; do sleep 1; done' sh "$1" &
		until test -s "$1"; do sleep 0.01; done; exit 5`, "sh", file))
	if err != nil || res.ExitCode != 5 {
		t.Fatal(res, err)
	}
	var pid int
	out, err := os.ReadFile(file)
	if _, serr := fmt.Sscan(string(out), &pid); serr != nil {
		t.Fatalf("grandchild said %q, %v", out, err)
	}
	if err := unix.Kill(pid, 0); err == nil && !zombie(pid) {
		t.Errorf("daemonised process %d lives", pid)
	}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// What the command puts into cgroups of its own goes too, frozen or not.
func TestNestedAndFrozenAreRemoved(t *testing.T) {
	tree := node(t)
	o := options(t, "sh", "-c", `for r; do mkdir -p "$r/sub/deep"; done
sleep 1000 & p=$!
for r; do echo $p > "$r/sub/deep/cgroup.procs" || exit 9; done
test -e "$1/sub/deep/freezer.state" && echo FROZEN > "$1/sub/deep/freezer.state"
exit 0`, "sh")
	s := newSite(tree, "/anole-be", o.Name)
	for _, c := range []string{"freezer", "cpu"} {
		if d := s.dir(c); d != "" {
			o.Argv = append(o.Argv, d)
		}
	}
	res, err := Run(context.Background(), o)
	if err != nil || res.ExitCode != 0 {
		t.Fatal(res, err)
	}
}

func TestManyRunsOfOneClass(t *testing.T) {
	node(t)
	const n = 50
	dir := t.TempDir()
	var wg sync.WaitGroup
	names := make([]string, n)
	for i := range n {
		names[i] = uniqueName()
		wg.Go(func() {
			res, err := Run(context.Background(), Options{
				Class: class.BE, Name: names[i], Argv: []string{"sh", "-c", fmt.Sprintf("exit %d", i)}, RunDir: dir, Stage: self("t-stage"),
			})
			if err != nil || res.ExitCode != i {
				t.Errorf("run %d: %+v, %v", i, res, err)
			}
		})
	}
	wg.Wait()
	for _, name := range names {
		nothingLeft(t, name, dir)
	}
}

func TestNameTaken(t *testing.T) {
	node(t)
	o := options(t, "sleep", "1000")
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan struct{}), make(chan Result)
	o.OnStart = func(Started) { close(started) }
	go func() {
		res, err := Run(ctx, o)
		if err != nil {
			t.Error(err)
		}
		ended <- res
	}()
	<-started
	second := o
	second.OnStart, second.Argv = nil, []string{"true"}
	if _, err := Run(context.Background(), second); !errors.Is(err, ErrNameTaken) || !strings.Contains(err.Error(), o.Name) {
		t.Errorf("second run of the name: %v", err)
	}
	second.RunDir = t.TempDir() // no record speaks of it there
	if _, err := Run(context.Background(), second); !errors.Is(err, ErrNameTaken) {
		t.Errorf("second run without record: %v", err)
	}
	if len(records(second.RunDir)) > 0 {
		t.Errorf("the refused run left a record")
	}
	cancel() // the first is unharmed until now, and ends by SIGTERM
	if res := <-ended; res.ExitCode != 143 {
		t.Errorf("first run: %+v", res)
	}
}

func TestEmptyLeftoverIsTakenOver(t *testing.T) {
	tree := node(t)
	o := options(t, "true")
	dirs := newSite(tree, "/anole-be", o.Name).dirs()
	for _, d := range dirs[:min(2, len(dirs))] {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if res, err := Run(context.Background(), o); err != nil || res.ExitCode != 0 {
		t.Error(res, err)
	}
}

func TestCPULimitHolds(t *testing.T) {
	tree := node(t)
	if _, ok := tree.Version("cpu"); !ok {
		testkit.Need(t, unlimitable("--cpus", "cpu", nil))
	}
	o := options(t, append(self("t-spin"), "2s")...)
	o.CPUs, o.Burst = 0.2, qos.BurstOff
	var s Started
	o.OnStart = func(x Started) { s = x }
	began := time.Now()
	res, err := Run(context.Background(), o)
	took := time.Since(began)
	if err != nil || res.ExitCode != 0 || s.Plan == nil {
		t.Fatal(res, err, s)
	}
	// One quota more than the rate is the kernel's own rule for any window.
	most := time.Duration(float64(took)*0.2) + 2*s.Plan.Quota.Duration() + 20*time.Millisecond
	if res.Usage.CPU == 0 || res.Usage.CPU > most {
		t.Errorf("used %v in %v, at most %v allowed; throttled %v", res.Usage.CPU, took, most, res.Usage.Throttled)
	}
	t.Logf("used %v in %v (%.3f CPUs), throttled %v", res.Usage.CPU, took, res.Usage.CPU.Seconds()/took.Seconds(), res.Usage.Throttled)
}

func TestMemoryLimitKills(t *testing.T) {
	node(t)
	o := options(t, self("t-eat")...)
	o.Memory = 32 << 20
	res, err := Run(context.Background(), o)
	if err != nil || res.ExitCode != 137 || res.Usage.OOMKills == 0 || res.Usage.MaxMemory > o.Memory+1<<20 {
		t.Errorf("%+v, %v", res, err)
	}
	o = options(t, self("t-eat")...)
	o.Memory = 4 << 30
	if res, out, err := output(t, o); err != nil || res.ExitCode != 0 || !strings.HasPrefix(out, "ate") || res.Usage.MaxMemory < 64<<20 {
		t.Errorf("with enough: %+v, %v", res, err)
	}
}

// TestBurstWithAndWithoutAgent works outside the class homes, so that an agent
// on the node does not see it.
func TestBurstWithAndWithoutAgent(t *testing.T) {
	tree := node(t)
	needV1(t, tree)
	for _, c := range []struct {
		class class.Class
		burst qos.BurstMode
		agent bool
		want  string
	}{
		{class.LS, qos.BurstMode{}, false, "100000 50000 50000"}, // the class's own
		{class.BE, qos.BurstMode{}, false, "100000 50000 0"},
		{class.LS, qos.BurstAuto, false, "100000 50000 50000"},
		{class.LS, qos.BurstOff, false, "100000 50000 0"},
		{class.LS, qos.BurstMode{Set: true, Budget: 200 * time.Millisecond}, false, "200000 100000 100000"},
		{class.LS, qos.BurstAuto, true, "100000 50000 0"},
	} {
		o := Options{Class: c.class, Burst: c.burst, CPUs: 0.5, Argv: []string{"true"}, RunDir: t.TempDir()}
		o.defaults()
		home := uniqueName()
		r := &runner{o: &o, site: newSite(tree, "/"+home, "x")}
		if err := errors.Join(r.site.make(), r.limitCPU(c.agent)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range []string{"cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.cfs_burst_us"} {
			b, _ := os.ReadFile(filepath.Join(r.site.dir("cpu"), f))
			got = append(got, strings.TrimSpace(string(b)))
		}
		if strings.Join(got, " ") != c.want || len(r.started.Notes) == 0 || r.started.Plan == nil {
			t.Errorf("%+v: %q; notes %q", c, got, r.started.Notes)
		}
		if err := removeAll(r.site.made); err != nil {
			t.Error(err)
		}
		for _, d := range r.site.made {
			if err := os.Remove(filepath.Dir(d)); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestClassPriority(t *testing.T) {
	tree := node(t)
	needV1(t, tree)
	ls := options(t, "cat", filepath.Join(tree.Path("cpu", "/anole-ls"), "cpu.shares"))
	ls.Class = class.LS
	if _, out, err := output(t, ls); err != nil || out == "1024\n" {
		t.Errorf("shares of the LS home: %q, %v", out, err)
	}
	be := options(t, "true")
	var s Started
	be.OnStart = func(x Started) { s = x }
	if _, err := Run(context.Background(), be); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(s.Notes, func(n string) bool { return strings.HasPrefix(n, "best effort yields by ") }) {
		t.Errorf("notes %q", s.Notes)
	}
}

func TestContextEndsTheCommand(t *testing.T) {
	node(t)
	o := options(t, "sh", "-c", "trap '' TERM; while :; do sleep 1; done")
	ctx, cancel := context.WithCancel(context.Background())
	o.Grace = 50 * time.Millisecond
	o.OnStart = func(Started) { cancel() }
	res, err := Run(ctx, o)
	if err != nil || res.Signal != syscall.SIGKILL && res.Signal != syscall.SIGTERM {
		t.Error(res, err)
	}
	if res, err := Run(ctx, options(t, "true")); !errors.Is(err, context.Canceled) || res.ExitCode != -1 {
		t.Error("cancelled before the start:", res, err)
	}
}
