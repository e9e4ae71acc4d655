package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/test/fault/groups"
)

// steps counts what of a recording is whole.
func steps(t *testing.T, path string) (n int) {
	t.Helper()
	r, err := record.Open(path)
	if err != nil {
		return 0
	}
	defer r.Close()
	for {
		l, err := r.Next()
		if err != nil {
			return n
		}
		if l.Step != nil {
			n++
		}
	}
}

func TestRecordAndReplay(t *testing.T) {
	g := groups.Open(t)
	n := newNode(t, policyFor(g.Prefix))
	n.start()
	ls, be := g.Make("ls.service"), g.Make("be.service")
	ls.Sleep()
	be.Spin()
	n.await("both", func() bool {
		out := n.ok("qos", "status")
		return strings.Contains(out, ls.Rel[1:]) && strings.Contains(out, be.Rel[1:])
	})
	dir := t.TempDir()
	path, svg := filepath.Join(dir, "r.jsonl.zst"), filepath.Join(dir, "r.svg")
	if out := n.ok("qos", "record", "--for", "2s", path); !strings.Contains(out, "steps in") {
		t.Errorf("%q", out)
	}
	if out, errs, code := n.try("qos", "record", "--for", "1s", path); code != 2 || !strings.Contains(errs, "file exists") {
		t.Errorf("a recording was written over: %d %q %q", code, out, errs)
	}
	var own, other qos.Replay
	n.decode(&own, "qos", "replay", path, "--plot", svg)
	if own.Steps < 5 || own.Agree != 1 || !own.Own || own.Then != own.Now {
		t.Errorf("%d steps, %v agree; recorded %+v, replayed %+v", own.Steps, own.Agree, own.Then, own.Now)
	}
	if b, err := os.ReadFile(svg); err != nil || !strings.HasPrefix(string(b), "<svg") {
		t.Errorf("%v, %.20q", err, b)
	}
	tight := filepath.Join(dir, "tight.yaml")
	src := "version: 1\nrules:\n- match: {path: " + g.Prefix + "ls*}\n  class: LS\n- match: {path: " + g.Prefix + "be*}\n  class: BE\nbe: {floor: 0.6}\ncontrol: {target: 0.7}\n"
	if err := os.WriteFile(tight, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	n.decode(&other, "qos", "replay", path, "--policy", tight)
	if other.Own || other.Now.LeastCap < 0.6*other.CPUs-1e-9 {
		t.Errorf("a floor of 60 %%: %+v", other.Now)
	}
	text := n.ok("qos", "replay", path, "--policy", tight)
	for _, want := range []string{"RECORDED", "REPLAYED", be.Rel[1:], "CAP WAS"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestRecordOfAnAgentThatIsKilled(t *testing.T) {
	g := groups.Open(t)
	n := newNode(t, policyFor(g.Prefix))
	n.start()
	path := filepath.Join(t.TempDir(), "r.jsonl")
	var errs strings.Builder
	c := n.command("qos", "record", path)
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	n.await("some steps", func() bool { return steps(t, path) > 3 })
	n.kill()
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 5 || !strings.Contains(errs.String(), "agent") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	if steps(t, path) <= 3 {
		t.Error("what was recorded is lost")
	}
	n.ok("qos", "replay", path)
}

func TestRecordEndsByCtrlC(t *testing.T) {
	g := groups.Open(t)
	n := newNode(t, policyFor(g.Prefix))
	n.start()
	path := filepath.Join(t.TempDir(), "r.jsonl")
	c := n.command("qos", "record", path)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	n.await("some steps", func() bool { return steps(t, path) > 3 })
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	n.ok("qos", "replay", path)
}

func TestReplayRefusals(t *testing.T) {
	n := newNode(t, "")
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.jsonl")
	if err := os.WriteFile(bad, []byte("{\"header\":{\"anole_record\":1,\"cpus\":2,\"policy\":\"version: 1\\n\"}}\n{\"step\":{\"t\":-1}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{filepath.Join(dir, "none")}, "no such file"},
		{[]string{bad}, "bad.jsonl:2: step at -1 ns"},
		{[]string{bad, "--policy", bad}, "bad.jsonl:"},
	} {
		out, errs, code := n.try(append([]string{"qos", "replay"}, c.args...)...)
		if code != 2 || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit %d %q %q, want %q", c.args, code, out, errs, c.want)
		}
	}
	if _, errs, code := n.try("qos", "record", "--for", "-1s"); code != 2 {
		t.Errorf("exit %d %q", code, errs)
	}
	if _, errs, code := n.try("qos", "record", filepath.Join(dir, "x")); code != 5 || !strings.Contains(errs, "anole up") {
		t.Errorf("without an agent: exit %d %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("an empty file was left")
	}
}
