package module

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/kern/ima/enforce"
	"github.com/anole-os/anole/internal/testkit"
)

// program copies one into a folder, labels it if it is to be, and gives how it starts.
func program(t *testing.T, dir, name string, label ...string) func() error {
	t.Helper()
	src, err := os.ReadFile(testkit.NeedTool(t, "true"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, src, 0o755); err != nil {
		t.Fatal(err)
	}
	if len(label) > 0 {
		if _, messages, code := gmRun("", false, append(label, path)...); code != 0 {
			t.Fatal(messages)
		}
	}
	return func() error { return exec.Command(path).Run() }
}

// Where nothing is said a file system is watched; for a mount alone there is a warning.
func TestEnforceScope(t *testing.T) {
	if got := imaEnforceCommand().Flag("scope").DefValue; enforceScopes[got] != enforce.Filesystem || got != "filesystem" {
		t.Errorf("--scope is %q", got)
	}
	testkit.NeedRoot(t)
	testkit.Need(t, enforce.Probe())
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	for scope, want := range map[string]bool{"filesystem": false, "mount": true} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, messages, err := runVerb(ctx, &core.Env{}, nil, "ima", "enforce", "--digests", "--scope", scope, dir)
		cancel()
		if got := strings.Contains(messages, "warning: scope mount"); err != nil || got != want || !strings.Contains(messages, "watching 1 path") {
			t.Errorf("%s: %v: %s", scope, err, messages)
		}
	}
}

// The agent's room lets programs run only with a good label, by a process of its own that
// it starts again where that is killed.
func TestEnforcer(t *testing.T) {
	testkit.NeedRoot(t)
	testkit.Need(t, enforce.Probe())
	dir, keys := t.TempDir(), t.TempDir()
	if err := unix.Setxattr(keys, ima.AttrUser, []byte("x"), 0); errors.Is(err, unix.ENOTSUP) {
		testkit.Need(t, &feature.UnsupportedError{Feature: "user.ima", Reason: feature.NoKernel, Need: "a file system with user attributes for " + os.TempDir(), Err: err})
	}
	key, pub := imaKeyFiles(t, keys, "a")
	good := program(t, dir, "good", "ima", "sign", "--user-attr", "--key", key)
	bad := program(t, dir, "bad")
	m := started(t, func(c *Config) {
		c.IMA.Enforce = Enforce{Mode: modeEnforce, Paths: []string{dir}, Scope: "path", Keys: []string{pub}, Timeout: defaultEnforce().Timeout, Late: "deny", UserAttr: true}
	})
	denied := func() bool { return errors.Is(bad(), os.ErrPermission) }
	if s := m.Status(); s.State != core.Running || !strings.Contains(s.Summary, "labels: enforce") {
		t.Fatalf("%+v", s)
	}
	if err := good(); err != nil {
		t.Errorf("a program with a good label: %v", err)
	}
	if !denied() {
		t.Error("a program without a label runs")
	}
	within(t, 5*time.Second, "the counts arrive", func() bool {
		v := values(m)
		return v["ima_verified_total|good"] >= 1 && v["ima_verified_total|bad"] >= 1 && v["ima_refused_total|denied"] == 1 && v["ima_enforcer_up"] == 1
	})
	metricsAreClean(t, m)
	if out, _, err := runVerb(t.Context(), &core.Env{Agent: agent(m)}, nil, "status"); err != nil || !strings.Contains(out, "enforce, path of "+dir) || !strings.Contains(out, "/bad: denied to process") {
		t.Errorf("%v\n%s", err, out)
	}

	// It is killed, told of, started again, and no count falls.
	if err := unix.Kill(m.guard.state().PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "its end is noticed", func() bool { return m.Status().State == core.Degraded })
	if s := m.Status(); !strings.Contains(s.Summary, "labels are not enforced: its process ended: signal: killed") {
		t.Errorf("%+v", s)
	}
	within(t, 10*time.Second, "it is started again", func() bool { return m.Status().State == core.Running })
	if !denied() {
		t.Error("a program without a label runs")
	}
	if v := values(m); v["ima_enforcer_restarts_total"] != 1 || v["ima_verified_total|good"] < 1 {
		t.Errorf("%v", v)
	}

	// A change that cannot be put into force leaves all as it was.
	next := New()
	next.cfg = m.cfg
	next.cfg.IMA.Enforce.Paths = []string{filepath.Join(dir, "none")}
	if err := m.Reconfigure(t.Context(), &next.cfg); err == nil || !strings.Contains(err.Error(), "no such file") || !denied() {
		t.Errorf("%v", err)
	}
	next.cfg.IMA.Enforce.Paths, next.cfg.IMA.Enforce.Mode = []string{dir}, modeLog
	if err := m.Reconfigure(t.Context(), &next.cfg); err != nil || bad() != nil {
		t.Errorf("with mode log: %v", err)
	}
	within(t, 5*time.Second, "what would be denied is told", func() bool {
		s := m.guard.state()
		return len(s.Last) > 0 && !s.Last[0].Denied && s.Last[0].Reason == enforce.Unlabelled
	})
	next.cfg.IMA.Enforce.Mode = modeOff
	if err := m.Reconfigure(t.Context(), &next.cfg); err != nil || m.guard != nil {
		t.Errorf("off: %v", err)
	}
	next.cfg.IMA.Enforce.Mode = modeEnforce
	if err := m.Reconfigure(t.Context(), &next.cfg); err != nil || !denied() {
		t.Errorf("on: %v", err)
	}
	if err := m.Stop(t.Context()); err != nil || bad() != nil {
		t.Errorf("after its end: %v", err)
	}
}

// One that cannot enforce is told of, and tried again; the agent goes on.
func TestEnforcerFails(t *testing.T) {
	for want, edit := range map[string]func(*Module){
		"no such file or directory": func(m *Module) { m.cfg.IMA.Enforce.Keys = []string{"/none"} },
		"no-such-program":           func(m *Module) { m.argv = []string{"/no-such-program"} },
		`"so sorry\n"`:              func(m *Module) { m.argv = []string{"/bin/sh", "-c", "echo so sorry >&2; exit 1"} },
		"not understood":            func(m *Module) { m.argv = []string{"/bin/sh", "-c", "echo hello"} },
		"process ended":             func(m *Module) { m.argv = []string{"/bin/true"} },
	} {
		m := started(t)
		m.cfg.IMA.Enforce = Enforce{Mode: modeLog, Paths: []string{"/none"}, Scope: "path", Keys: []string{"/none"}, Timeout: defaultEnforce().Timeout, Late: "deny"}
		edit(m)
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := m.Status(); s.State != core.Degraded || !strings.Contains(s.Summary, want) {
			t.Errorf("%+v, want %s", s, want)
		}
		if v := values(m); v["ima_enforcer_up"] != 0 {
			t.Errorf("%v", v)
		}
		if err := m.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A process that does not end by itself is killed.
func TestEnforcerHangs(t *testing.T) {
	m := started(t)
	m.cfg.IMA.Enforce = Enforce{Mode: modeLog, Paths: []string{"/none"}, Scope: "path", Keys: []string{"/none"}, Timeout: defaultEnforce().Timeout, Late: "deny"}
	m.argv = []string{"/bin/sh", "-c", `echo '{"ready":true}'; exec sleep 60`}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := m.Status(); s.State != core.Running {
		t.Fatalf("%+v", s)
	}
	pid := m.guard.state().PID
	began := time.Now()
	if err := m.Stop(t.Context()); err != nil || time.Since(began) > 4*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("it lives: %v", err)
	}
}

// The process ends with what starts it, and says why it cannot begin.
func TestEnforcerRun(t *testing.T) {
	for in, want := range map[string]string{
		"":         "read what to enforce: EOF",
		"{}":       "wants one of intl",
		"nonsense": "read what to enforce",
		config(t, Enforce{Mode: modeLog, Paths: []string{"/"}, Scope: "path", Digests: true, Timeout: 1, Late: "deny"}): "timeout",
	} {
		r, w := io.Pipe()
		go func() {
			_ = enforcerRun(strings.NewReader(in), w)
			_ = w.Close()
		}()
		var l enforcerLine
		if err := json.NewDecoder(r).Decode(&l); err != nil || l.Ready || !strings.Contains(l.Problem, want) {
			t.Errorf("%q: %+v, %v", in, l, err)
		}
	}
}

func config(t *testing.T, e Enforce) string {
	t.Helper()
	c := defaultConfig()
	c.IMA.Enforce = e
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
