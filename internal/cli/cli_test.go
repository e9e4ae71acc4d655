package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/node"
	"github.com/anole-os/anole/internal/testkit"
)

type roomConfig struct {
	Period int `yaml:"period" doc:"how often"`
}

// room is a module with probes and verbs.
type room struct{ c roomConfig }

func (r *room) Config() any                  { return &r.c }
func (r *room) Provision(*core.Host) error   { return nil }
func (r *room) Start(context.Context) error  { return nil }
func (r *room) Stop(context.Context) error   { return nil }
func (r *room) Revert(context.Context) error { return nil }

func (r *room) Probes() []*feature.Probe {
	probe := func(name string, err error) *feature.Probe {
		return feature.NewProbe("room", name, "does "+name, func() (string, error) { return "v2", err })
	}
	return []*feature.Probe{
		probe("idle", nil),
		probe("burst", &feature.UnsupportedError{Feature: "burst", Reason: feature.NoKernel, Need: "Linux 99", Fix: "boot it"}),
		probe("mood", errors.New("it will not say")),
	}
}

func (r *room) Command() *cobra.Command {
	c := &cobra.Command{Use: "room", Short: "A room"}
	c.AddCommand(
		&cobra.Command{Use: "ask", RunE: func(c *cobra.Command, _ []string) error {
			_, err := core.EnvFrom(c.Context()).Agent.Get("http://anole/api/v1/room/x")
			return fmt.Errorf("ask the room: %w", err)
		}},
		&cobra.Command{Use: "exit", RunE: func(*cobra.Command, []string) error { return core.Exit(42, nil) }},
		&cobra.Command{Use: "env", RunE: func(c *cobra.Command, _ []string) error {
			e := core.EnvFrom(c.Context())
			fmt.Fprintln(e.Out, e.JSON, e.Socket)
			return nil
		}},
		&cobra.Command{Use: "wait", RunE: func(c *cobra.Command, _ []string) error {
			<-c.Context().Done()
			return core.Exit(core.ExitDenied, fmt.Errorf("half is done: %w", c.Context().Err()))
		}},
		&cobra.Command{Use: "own", RunE: func(*cobra.Command, []string) error { return context.Canceled }},
		&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error {
			return &feature.UnsupportedError{Feature: "fail", Reason: feature.NoKernel}
		}},
	)
	return c
}

type world struct {
	t   *testing.T
	dir string
	reg *core.Registry
}

func newWorld(t *testing.T) *world {
	r := &core.Registry{}
	if err := r.Add(core.Info{Name: "room", Doc: "a room", New: func() core.Module { return &room{c: roomConfig{Period: 5}} }}); err != nil {
		t.Fatal(err)
	}
	return &world{t, testkit.SocketDir(t), r}
}

func (w *world) runCtx(ctx context.Context, args ...string) (code int, out, err string) {
	var o, e testkit.Buffer
	args = append(args, "--state-dir", filepath.Join(w.dir, "lib"), "--run-dir", filepath.Join(w.dir, "run"))
	code = Run(ctx, args, Options{Registry: w.reg, Undo: func(*journal.Entry) error { return nil }, Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func (w *world) run(args ...string) (code int, out, err string) {
	w.t.Helper()
	return w.runCtx(w.t.Context(), args...)
}

func (w *world) file(name, text string) string {
	w.t.Helper()
	p := filepath.Join(w.dir, name)
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return p
}

func TestExitCodesAndErrors(t *testing.T) {
	w := newWorld(t)
	bad := w.file("bad.yaml", "version: 1\nroom: {perod: 1}\n")
	good := w.file("good.yaml", "version: 1\nroom: {period: 1}\n")
	sock := filepath.Join(w.dir, "run", "anole.sock")
	unreachable := "anole: reach the agent on " + sock + ": connect: no such file or directory; start it with \"anole up\"\n"
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"version", 0, ""},
		{"help", 0, ""},
		{"", 0, ""},
		{"room", 0, ""},
		{"completion bash", 0, ""},
		{"stauts", 2, "anole: unknown verb \"stauts\" for \"anole\"; did you mean \"status\"?\n"},
		{"config chek", 2, "anole: unknown verb \"chek\" for \"anole config\"; did you mean \"check\"?\n"},
		{"room fial", 2, "anole: unknown verb \"fial\" for \"anole room\"; did you mean \"fail\"?\n"},
		{"room zzzzz", 2, "anole: unknown verb \"zzzzz\" for \"anole room\"; see \"anole room --help\"\n"},
		{"status --bad", 2, "anole: unknown flag: --bad; see \"anole status --help\"\n"},
		{"config check a b", 2, "anole: accepts at most 1 arg(s), received 2\n"},
		{"version -o xml", 2, "anole: flag --output: wants table or json, got \"xml\"\n"},
		{"config check " + good, 0, ""},
		{"config check " + bad, 2, "anole: " + bad + ":2:8: room: unknown key \"perod\"; did you mean \"period\"?\n"},
		{"up --config " + bad, 2, "anole: " + bad + ":2:8: room: unknown key \"perod\"; did you mean \"period\"?\n"},
		{"up --config /none.yaml", 2, "anole: read configuration: stat /none.yaml: no such file or directory\n"},
		{"status", 5, unreachable},
		{"reload", 5, unreachable},
		{"room ask", 5, "anole: ask the room: " + strings.TrimPrefix(unreachable, "anole: ")},
		{"room exit", 42, ""},
		{"room fail", 6, "anole: fail is not supported here (no_kernel)\n"},
		{"doctor", 0, ""},
		{"doctor --require room/idle", 0, ""},
		{"doctor --require room/burst", 3, "anole: require room/burst: no: no_kernel\n"},
		{"doctor --require room/mood", 3, "anole: require room/mood: could not tell: it will not say\n"},
		{"doctor --require room/brust", 2, "anole: require room/brust: there is no such feature; did you mean \"room/burst\"?\n"},
		{"revert", 0, ""},
		{"room revert", 2, "anole: the journal is one for the node: use \"anole revert\"\n"},
	} {
		code, _, stderr := w.run(strings.Fields(c.args)...)
		if code != c.code || stderr != c.err {
			t.Errorf("anole %s: exit %d, want %d\n got %q\nwant %q", c.args, code, c.code, stderr, c.err)
		}
	}
}

func TestOutputs(t *testing.T) {
	w := newWorld(t)
	_, out, _ := w.run("doctor")
	want := `FEATURE     ANSWER                           WHAT IT GIVES  NEEDS
room/idle   yes, v2                          does idle
room/burst  no: no_kernel                    does burst     Linux 99; fix: boot it
room/mood   could not tell: it will not say  does mood

1 yes, 1 no, 1 could not tell
`
	if out != want {
		t.Errorf("doctor\n%s\nwant\n%s", out, want)
	}
	if code, room, _ := w.run("room", "probe"); room != want || code != 0 {
		t.Errorf("room probe: %d\n%s\nwant\n%s", code, room, want)
	}
	_, out, _ = w.run("doctor", "-o", "json")
	var fs []feature.Result
	if err := json.Unmarshal([]byte(out), &fs); err != nil || len(fs) != 3 || fs[1].Fix != "boot it" {
		t.Errorf("doctor -o json %s, %v", out, err)
	}
	_, out, _ = w.run("version", "-o", "json")
	var b Build
	if err := json.Unmarshal([]byte(out), &b); err != nil || b.Version == "" || b.Go == "" {
		t.Errorf("version -o json %s, %v", out, err)
	}
	_, out, _ = w.run("config", "default")
	if !strings.Contains(out, "# a room\nroom:\n  # how often\n  period: 5\n") {
		t.Errorf("config default\n%s", out)
	}
	if code, _, stderr := w.run("config", "check", w.file("default.yaml", out)); code != 0 {
		t.Errorf("the default configuration is refused: %s", stderr)
	}
	_, out, _ = w.run("room", "env", "-o", "json", "--socket", "/x/y")
	if out != "true /x/y\n" {
		t.Errorf("a module's verb finds the environment %q", out)
	}
	// Without the flag, the configuration says where the socket is.
	_, out, _ = w.run("room", "env", "--config", w.file("sock.yaml", "version: 1\nagent: {api: {socket: /a/b}}\n"))
	if out != "false /a/b\n" {
		t.Errorf("a module's verb finds the environment %q", out)
	}
}

// TestAgentFromTheCommandLine brings an agent up and speaks to it with every
// verb that does.
func TestAgentFromTheCommandLine(t *testing.T) {
	w := newWorld(t)
	conf := w.file("anole.yaml", "version: 1\nagent: {history: {enabled: false}}\n")
	end := make(chan int, 1)
	go func() {
		code, _, _ := w.runCtx(context.Background(), "up", "--config", conf, "--listen", "127.0.0.1:0")
		end <- code
	}()
	deadline := time.Now().Add(time.Minute)
	for {
		if code, _, _ := w.run("status"); code == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the agent does not come up")
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, out, _ := w.run("status")
	for _, want := range []string{"is running", "console http://127.0.0.1:", "MODULE  STATE", "room    running"} {
		if !strings.Contains(out, want) {
			t.Errorf("status lacks %q:\n%s", want, out)
		}
	}
	_, out, _ = w.run("status", "-o", "json")
	if !json.Valid([]byte(out)) || !strings.Contains(out, `"name": "room"`) {
		t.Errorf("status -o json\n%s", out)
	}
	if code, _, stderr := w.run("up", "--config", conf); code != 1 || !strings.Contains(stderr, fmt.Sprintf("process %d holds it", os.Getpid())) {
		t.Errorf("a second agent: %d %s", code, stderr)
	}
	w.file("anole.yaml", "version: 1\nroom: {period: x}\n")
	if code, _, stderr := w.run("reload"); code != 2 || !strings.Contains(stderr, "anole.yaml:2:16: room.period: wants a whole number") {
		t.Errorf("a bad reload: %d %s", code, stderr)
	}
	_, out, _ = w.run("status")
	if !strings.Contains(out, "is degraded") || !strings.Contains(out, "! the last reload was refused: ") {
		t.Errorf("status after a bad reload\n%s", out)
	}
	code, out, stderr := w.run("revert")
	if code != 0 || !strings.Contains(out, "stopped room") || !strings.Contains(out, "not possible: 0") {
		t.Errorf("revert: %d %s %s", code, out, stderr)
	}
	select {
	case code := <-end:
		if code != 0 {
			t.Errorf("the agent ended with %d", code)
		}
	case <-time.After(time.Minute):
		t.Fatal("the agent is still there after revert")
	}
}

func TestRevertReportsWhatItCannotUndo(t *testing.T) {
	w := newWorld(t)
	j, err := journal.Open(node.JournalDir(filepath.Join(w.dir, "lib")))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/good", "/stuck"} {
		if err := j.Record(journal.Entry{Op: journal.OpWrite, Path: p}); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	var out, errs testkit.Buffer
	code := Run(t.Context(), []string{"revert", "--state-dir", filepath.Join(w.dir, "lib"), "--run-dir", w.dir, "-o", "json"}, Options{
		Registry: w.reg, Out: &out, Err: &errs,
		Undo: func(e *journal.Entry) error {
			if e.Path == "/stuck" {
				return errors.New("device says no")
			}
			return nil
		},
	})
	if code != 1 || errs.String() != "anole: restore /stuck: device says no\n" || !strings.Contains(out.String(), `"restored": 1`) {
		t.Errorf("exit %d\n%s\n%s", code, out.String(), errs.String())
	}
}

func TestGeneratedDocumentsAreReproducible(t *testing.T) {
	w := newWorld(t)
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	read := func(dir string) string {
		t.Helper()
		for _, kind := range []string{"man", "docs"} {
			if code, _, stderr := w.run("gen", kind, dir); code != 0 {
				t.Fatal(stderr)
			}
		}
		var all strings.Builder
		if err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(p)
			fmt.Fprintf(&all, "%s\n%s\n", strings.TrimPrefix(p, dir), b)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all.String()
	}
	a, b := read(t.TempDir()), read(t.TempDir())
	if a != b {
		t.Error("two runs differ")
	}
	for _, want := range []string{`"Nov 2023"`, "/anole-doctor.1", "/cli/anole_room_ask.md", "| `room.period` | integer | `5` | how often |", "| `agent.history.maxSize` | size | `256MiB` |",
		"| 3 | the check said no |", "| 130 | interrupted", "| `no_peer` | a program", "| `not_running` | 503 |"} {
		if !strings.Contains(a, want) {
			t.Errorf("no %s", want)
		}
	}
}

// A signal is told as such, once, whatever a verb makes of it.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if code, _, err := w.runCtx(ctx, "room", "wait"); code != core.ExitInterrupted || err != "anole: half is done: interrupted\n" {
		t.Errorf("exit code %d, %q", code, err)
	}
	if code, _, err := w.runCtx(ctx, "room", "own"); code != core.ExitInterrupted || err != "anole: interrupted\n" {
		t.Errorf("exit code %d, %q", code, err)
	}
	// Without a signal it is an error as others are.
	if code, _, err := w.run("room", "own"); code != core.ExitFailed || err != "anole: context canceled\n" {
		t.Errorf("exit code %d, %q", code, err)
	}
}

func TestDeniedSocketIsExitCode4(t *testing.T) {
	if os.Geteuid() == 0 {
		err := core.Exit(core.ExitDenied, os.ErrPermission) // root is never denied: check the mapping alone
		if core.ExitCode(fmt.Errorf("x: %w", err)) != core.ExitDenied {
			t.Error("mapping")
		}
		return
	}
	dir := testkit.SocketDir(t)
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }()
	_, err := dialer(filepath.Join(dir, "s")).Get("http://anole/")
	if core.ExitCode(err) != core.ExitDenied {
		t.Errorf("%v", err)
	}
}
