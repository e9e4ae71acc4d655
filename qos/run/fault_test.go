package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
)

func TestSignalsAreForwarded(t *testing.T) {
	node(t)
	p := start(t, false, self("t-count")...)
	p.out.until(t, "ready")
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGINT, syscall.Signal(40)} {
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		p.out.until(t, fmt.Sprintln("got", s))
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if c := code(t, p.cmd); c != 7 {
		t.Errorf("exit code %d, want the command's 7:\n%s", c, p.out.text())
	}
}

// guardOf finds the guard of a runner among the processes.
func guardOf(t *testing.T, runner int) int {
	t.Helper()
	pid := 0
	eventually(t, "a guard process", func() bool {
		procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range procs {
			b, _ := os.ReadFile(f)
			args := strings.Split(string(b), "\x00")
			n, _ := strconv.Atoi(strings.Split(f, "/")[2])
			if len(args) > 1 && args[1] == "t-guard" && parent(n) == runner {
				pid = n
			}
		}
		return pid != 0
	})
	return pid
}

func parent(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	n, _ := strconv.Atoi(f[1])
	return n
}

func (p *process) child(t *testing.T) int {
	t.Helper()
	var pid int
	_, after, _ := strings.Cut(p.out.text(), "started ")
	if _, err := fmt.Sscan(after, &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestKilledRunnerLeavesNothing(t *testing.T) {
	node(t)
	p := start(t, false, "sh", "-c", "setsid sleep 1000 & sleep 1000")
	g := guardOf(t, p.cmd.Process.Pid)
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGPIPE} {
		if err := unix.Kill(g, s); err != nil {
			t.Fatal("the guard heeds signals:", err)
		}
	}
	if sid, err := unix.Getsid(g); err != nil || sid != g {
		t.Errorf("the guard is in session %d, %v", sid, err)
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g)); err == nil {
		for line := range strings.Lines(string(b)) {
			if strings.HasPrefix(line, "VmRSS") {
				t.Logf("guard %s", strings.TrimSpace(line))
			}
		}
	}
	child := p.child(t)
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	eventually(t, "the guard removes everything", func() bool {
		return len(directories(p.o.Name)) == 0 && len(records(p.o.RunDir)) == 0
	})
	eventually(t, "the command is dead", func() bool { return zombie(child) })
	eventually(t, "the guard is gone", func() bool { return zombie(g) })
}

func TestSweepAfterBothWereKilled(t *testing.T) {
	node(t)
	p := start(t, false, "sh", "-c", "setsid sleep 1000 & sleep 1000")
	if ids, err := Sweep(p.o.RunDir); err != nil || len(ids) != 0 || len(directories(p.o.Name)) == 0 {
		t.Fatalf("a live run is swept: %q, %v", ids, err)
	}
	g := guardOf(t, p.cmd.Process.Pid)
	_ = unix.Kill(g, unix.SIGKILL)
	_ = p.cmd.Process.Kill() // a zombie until Wait: dead all the same
	eventually(t, "the runner is dead", func() bool { return zombie(p.cmd.Process.Pid) })
	ids, err := Sweep(p.o.RunDir)
	if err != nil || !slices.Equal(ids, []string{"anole-ls/" + p.o.Name}) {
		t.Errorf("swept %q, %v", ids, err)
	}
	nothingLeft(t, p.o.Name, p.o.RunDir)
	if !zombie(p.child(t)) {
		t.Error("the command lives")
	}
}

// A runner killed at any moment, its guard alive or not yet started, leaves
// nothing that guard and next sweep do not remove, and no process.
func TestKillAtAnyMoment(t *testing.T) {
	node(t)
	for round := range 40 {
		o := order{Class: class.BE, Name: uniqueName(), RunDir: t.TempDir()}
		o.Argv = []string{"sh", "-c", "setsid sleep 1000 & sleep 1000; : " + o.Name}
		arg, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe(), "t-runner", string(arg))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(1+round*3)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		left := ""
		defer func() {
			if t.Failed() {
				t.Log("left: " + left)
			}
		}()
		eventually(t, "nothing is left", func() bool {
			if _, err := Sweep(o.RunDir); err != nil {
				t.Fatal(err)
			}
			d, r, m := directories(o.Name), records(o.RunDir), mentioning(o.Name)
			left = fmt.Sprint("cgroups ", d, ", records ", r, ", processes ", m)
			return len(d) == 0 && len(r) == 0 && len(m) == 0
		})
	}
}

// mentioning lists processes whose arguments hold a word.
func mentioning(word string) []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if b, _ := os.ReadFile(f); strings.Contains(string(b), word) {
			out = append(out, string(b))
		}
	}
	return out
}

// A dead run's name is free for the next one, which sweeps it first.
func TestNextRunSweeps(t *testing.T) {
	node(t)
	p := start(t, true, "sleep", "1000")
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	res, err := Run(t.Context(), Options{Class: p.o.Class, Name: p.o.Name, RunDir: p.o.RunDir, Argv: []string{"true"}, Stage: self("t-stage")})
	if err != nil || res.ExitCode != 0 {
		t.Error(res, err)
	}
}

func TestSweepOfBadRecords(t *testing.T) {
	dir := t.TempDir()
	if ids, err := Sweep(dir); err != nil || ids != nil {
		t.Errorf("no records: %q, %v", ids, err)
	}
	if err := os.MkdirAll(recordDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(recordDir(dir), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("ls.broken.json", "{")
	put("ls.newer.json", `{"version":2}`)
	put("ls.old.json", `{"version":1,"class":"LS","name":"old","pid":1,"start":1,"boot_id":"another","cgroups":["/sys/fs/cgroup/cpu/anole-ls/old"]}`)
	put(".new-1", "half a rec")
	ids, err := Sweep(dir)
	if !slices.Equal(ids, []string{"anole-ls/old"}) {
		t.Errorf("of another boot: %q", ids)
	}
	if err == nil || !strings.Contains(err.Error(), "ls.broken.json") || !errors.Is(err, errVersion) {
		t.Errorf("err %v", err)
	}
	if got := records(dir); !slices.Equal(got, []string{".new-1", "ls.newer.json"}) {
		t.Errorf("left %q", got)
	}
}

func TestUnprivilegedIsTold(t *testing.T) {
	testkit.NeedRoot(t)
	dir := t.TempDir()
	cmd := exec.Command(exe(), "t-runner", fmt.Sprintf(`{"Class":"BE","RunDir":%q,"Argv":["true"]}`, dir))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	bin := filepath.Dir(exe())
	for d := bin; d != "/"; d = filepath.Dir(d) {
		if st, err := os.Stat(d); err != nil || st.Mode()&0o001 == 0 {
			cmd = copyOf(t, cmd)
			break
		}
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "no_privilege") || !strings.Contains(string(out), "run as root") {
		t.Errorf("%v: %s", err, out)
	}
}

// copyOf runs the same from where everybody may execute.
func copyOf(t *testing.T, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	b, err := os.ReadFile(exe())
	if err != nil {
		t.Fatal(err)
	}
	dir := testkit.SocketDir(t)
	path := filepath.Join(dir, "runner")
	if err := errors.Join(os.WriteFile(path, b, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, cmd.Args[1:]...)
	c.SysProcAttr = cmd.SysProcAttr
	return c
}
