package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/groups"
)

// policyFor classes a test's own groups, which lie outside of anole's homes.
func policyFor(prefix string) string {
	return fmt.Sprintf("qos:\n  rules:\n    - {match: {path: \"%sls-*\"}, class: LS}\n    - {match: {path: \"%sbe-*\"}, class: BE}\n", prefix, prefix)
}

func TestClassesAndExplains(t *testing.T) {
	g := groups.Open(t)
	ls, be := g.Make("ls-web"), g.Make("be-batch")
	ls.Spin()
	be.Spin()
	was := groups.Snapshot(ls, be)
	n := newNode(t, quiet+policyFor(g.Prefix))
	n.start()
	var s qos.Status
	n.await("a cap on the best-effort group", func() bool {
		n.decode(&s, "qos", "status")
		return s.Cap != nil
	})
	for _, w := range s.Workloads {
		want := map[string]string{ls.Rel: "LS", be.Rel: "BE"}[w.Cgroup]
		if want != "" && w.Class.String() != want {
			t.Errorf("%s is %v, want %s", w.ID, w.Class, want)
		}
	}
	for _, m := range s.Mechanisms {
		if m.Name == "feedback" && m.Using != "requests" {
			t.Errorf("the rooms do not know each other: %+v", m)
		}
	}
	text := n.ok("qos", "explain", be.Rel)
	for _, want := range []string{"is BE by rules[1]", "suppress", "cap "} {
		if !strings.Contains(text, want) {
			t.Errorf("explain lacks %q:\n%s", want, text)
		}
	}
	if out := n.ok("qos", "top"); !strings.Contains(out, "last writes") {
		t.Errorf("top into a pipe:\n%s", out)
	}
	n.stop()
	if d := groups.Differ(was, groups.Snapshot(ls, be)); len(d) > 0 {
		t.Errorf("not put back: %v", d)
	}
}

func TestKillThenRevert(t *testing.T) {
	g := groups.Open(t)
	ls, be := g.Make("ls-a"), g.Make("be-a")
	ls.Spin()
	be.Spin()
	was := groups.Snapshot(ls, be)
	n := newNode(t, quiet+policyFor(g.Prefix))
	for _, undo := range []string{"revert", "next start"} {
		n.start()
		n.await("a write", func() bool { return len(groups.Differ(was, groups.Snapshot(ls, be))) > 0 })
		n.kill()
		if len(groups.Differ(was, groups.Snapshot(ls, be))) == 0 {
			t.Fatal("the kill left nothing to put back")
		}
		if undo == "revert" {
			n.ok("revert")
		} else {
			n.start()
			n.stop()
		}
		if d := groups.Differ(was, groups.Snapshot(ls, be)); len(d) > 0 {
			t.Errorf("after %s: %v", undo, d)
		}
	}
}

func TestSecondAgentSaysWho(t *testing.T) {
	groups.Open(t)
	n := newNode(t, quiet)
	n.start()
	_, errs, code := n.try("up")
	if want := fmt.Sprintf("process %d", n.agent.Process.Pid); code != 1 || !strings.Contains(errs, want) {
		t.Errorf("exit %d: %s; want 1 and %q", code, errs, want)
	}
}

// An agent with directories of its own is a second one just as well; it must not
// so much as put back what it left before.
func TestSecondAgentElsewhereSaysWho(t *testing.T) {
	groups.Open(t)
	n, other := newNode(t, quiet), newNode(t, quiet)
	n.start()
	_, errs, code := other.try("up")
	if want := fmt.Sprintf("process %d", n.agent.Process.Pid); code != 1 || !strings.Contains(errs, want) {
		t.Errorf("exit %d: %s; want 1 and %q", code, errs, want)
	}
	if _, errs, code := other.try("revert"); code != 1 || !strings.Contains(errs, "stop that one first") {
		t.Errorf("revert: exit %d: %s", code, errs)
	}
	n.stop()
	other.start()
}

func TestApply(t *testing.T) {
	groups.Open(t)
	n := newNode(t, quiet)
	n.start()
	write := func(text string) string {
		path := filepath.Join(n.dir, "policy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, errs, code := n.try("qos", "apply", write("version: 1\nbe:\n  flor: 0.2\n"))
	if code != 2 || !strings.Contains(errs, ":3:") || !strings.Contains(errs, "floor") {
		t.Errorf("exit %d: %q; want 2, the line and the nearest key", code, errs)
	}
	n.ok("qos", "apply", write("version: 1\ncontrol:\n  target: 0.5\n"))
	n.stop()
	n.start()
	var s qos.Status
	if n.decode(&s, "qos", "status"); s.Node.Target != 0.5 {
		t.Errorf("target %v after a restart, want the applied 0.5", s.Node.Target)
	}
	n.ok("qos", "apply", "--reset")
	if n.decode(&s, "qos", "status"); s.Node.Target == 0.5 {
		t.Error("the applied policy outlived its reset")
	}
}

func TestRun(t *testing.T) {
	g := groups.Open(t)
	name := strings.Trim(strings.ReplaceAll(g.Prefix, "/", ""), "-")
	for _, agent := range []bool{false, true} {
		t.Run(fmt.Sprintf("agent %v", agent), func(t *testing.T) {
			n := newNode(t, quiet)
			if agent {
				n.start()
			}
			out, _, code := n.try("qos", "run", "--class", "be", "--name", name, "--", "sh", "-c", "cat /proc/self/cgroup; exit 7")
			if code != 7 || !strings.Contains(out, ":/anole-be/"+name+"\n") {
				t.Errorf("exit %d, cgroups:\n%s", code, out)
			}
			if _, _, code := n.try("qos", "run", "--class", "ls", "--name", name, "--", "sh", "-c", "kill -9 $$"); code != 137 {
				t.Errorf("killed command: exit %d, want 137", code)
			}
			if _, errs, code := n.try("qos", "run", "--class", "be", "--cpus", "1e30", "--", "true"); code != 2 || !strings.Contains(errs, "--cpus") {
				t.Errorf("exit %d: %s", code, errs)
			}
			c := n.command("qos", "run", "--class", "be", "--name", name, "--", "sleep", "1000")
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			home := g.Tree.Path("cpu", "/anole-be/"+name)
			exists := func() bool { _, err := os.Stat(home); return err == nil }
			n.await("the workload", exists)
			if err := c.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			n.await("the guard to clean up", func() bool { return !exists() })
		})
	}
}

// TestDemo runs the whole demo once, briefly.
func TestDemo(t *testing.T) {
	groups.Open(t)
	n := newNode(t, quiet)
	var phases []struct {
		Name     string
		Requests int64
		P99      int64   `json:"p99_ns"`
		BEWork   float64 `json:"be_work"`
	}
	n.decode(&phases, "qos", "demo", "--once", "--duration", "1s")
	if len(phases) != 3 {
		t.Fatalf("phases %+v", phases)
	}
	for _, p := range phases {
		if p.Requests == 0 || p.P99 == 0 || (p.Name != "solo") != (p.BEWork > 0) {
			t.Errorf("phase %+v", p)
		}
	}
	for _, home := range []string{"/anole-ls", "/anole-be"} {
		left, _ := filepath.Glob("/sys/fs/cgroup/cpu" + home + "/demo-*")
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestWithoutAnAgent(t *testing.T) {
	n := newNode(t, quiet)
	if _, errs, code := n.try("qos", "status"); code != 5 || !strings.Contains(errs, "anole up") {
		t.Errorf("exit %d: %s; want 5 and how to start it", code, errs)
	}
	out := n.ok("qos", "plan-burst", "--cpus", "0.3", "--burst", "300ms", "--periods", "2000")
	for _, want := range []string{"500", "150"} {
		if !strings.Contains(out, want) {
			t.Errorf("plan lacks %s:\n%s", want, out)
		}
	}
	if _, _, code := n.try("qos", "plan-burst", "--cpus", "NaN", "--burst", "1s"); code != 2 {
		t.Errorf("NaN: exit %d, want 2", code)
	}
	if out := n.ok("doctor"); !strings.Contains(out, "qos/cpu.idle") {
		t.Errorf("doctor:\n%s", out)
	}
}

// TestUnprivileged runs what needs no root as nobody.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("this is an unprivileged user already")
	}
	dir, err := os.MkdirTemp("", "e2e-nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, p := range []string{dir, filepath.Dir(binary), binary} {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(binary, "--state-dir", dir, "--run-dir", dir, "qos", "demo")
	if os.Geteuid() == 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "without root") || !strings.Contains(string(out), "waits at most") {
		t.Errorf("%v\n%s", err, out)
	}
}
