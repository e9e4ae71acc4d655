package run

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
)

// The test binary plays the parts that the anole binary has: its first argument
// says which.
func TestMain(m *testing.M) {
	parts := map[string]func([]string) error{
		"t-stage": Stage, "t-guard": GuardMain, "t-runner": runnerMain, "t-count": countMain, "t-spin": spinMain, "t-eat": eatMain, "t-jobs": jobsMain,
	}
	// A race-detecting process sleeps for a second before it ends; the parts need not.
	_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	if len(os.Args) > 1 {
		if part, ok := parts[os.Args[1]]; ok {
			if err := part(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

func self(part string) []string { return []string{exe(), part} }

func exe() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// order is what a runner in a process of its own is told.
type order struct {
	Class   class.Class
	Name    string
	RunDir  string
	Argv    []string
	NoGuard bool
}

// runnerMain is `anole qos run` as the tests need it: it prints the command's
// pid when it started and exits with its code.
func runnerMain(args []string) error {
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	opt := Options{
		Class: o.Class, Name: o.Name, RunDir: o.RunDir, Argv: o.Argv, Stage: self("t-stage"), Guard: self("t-guard"),
		OnStart: func(s Started) { fmt.Printf("started %d\n", s.PID) },
	}
	if o.NoGuard {
		opt.Guard = nil
	}
	res, err := Run(context.Background(), opt)
	if err != nil {
		return err
	}
	os.Exit(res.ExitCode)
	return nil
}

// countMain says "ready", then the name of each signal it gets, and ends with
// code 7 after SIGTERM.
func countMain([]string) error {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGQUIT, syscall.Signal(40))
	fmt.Println("ready")
	for s := range c {
		fmt.Println("got", s)
		if s == syscall.SIGTERM {
			os.Exit(7)
		}
	}
	return nil
}

// spinMain uses a CPU for the time given.
func spinMain(args []string) error {
	d, err := time.ParseDuration(args[0])
	for end := time.Now().Add(d); err == nil && time.Now().Before(end); {
	}
	return err
}

// eatMain touches 64 MiB.
func eatMain([]string) error {
	b := make([]byte, 64<<20)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	fmt.Println("ate", len(b))
	return nil
}

// site of the node, or a skip.
func node(t testing.TB) *cgroup.Tree {
	t.Helper()
	testkit.NeedRoot(t)
	tree, err := cgroup.Detect("")
	testkit.Need(t, err)
	testkit.Need(t, newSite(tree, "/anole-ls", "any").permitted())
	probe := t.TempDir()
	_, err = Run(context.Background(), Options{Class: class.BE, Name: uniqueName(), Argv: []string{"true"}, RunDir: probe, Stage: self("t-stage")})
	testkit.Need(t, err)
	return tree
}

// needV1 skips a test that reads files of cgroup v1.
func needV1(t testing.TB, tree *cgroup.Tree) {
	t.Helper()
	if v, _ := tree.Version("cpu"); v != cgroup.V1 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup v1", Reason: feature.NoKernel, Need: "the cpu controller on cgroup v1"})
	}
}

func uniqueName() string { return "t-run-" + strings.TrimPrefix(makeName("x"), "x-") }

// options of a run under a name that is asserted to leave nothing.
func options(t *testing.T, argv ...string) Options {
	t.Helper()
	o := Options{Class: class.BE, Name: uniqueName(), Argv: argv, RunDir: t.TempDir(), Stage: self("t-stage"), Guard: self("t-guard")}
	t.Cleanup(func() { nothingLeft(t, o.Name, o.RunDir) })
	return o
}

// directories lists what there is of a workload on the node, whatever its class.
func directories(name string) []string {
	var out []string
	for _, p := range []string{"/sys/fs/cgroup/*/anole-*/", "/sys/fs/cgroup/anole-*/"} {
		m, _ := filepath.Glob(p + name)
		out = append(out, m...)
	}
	return out
}

func records(runDir string) []string {
	var out []string
	files, _ := os.ReadDir(recordDir(runDir))
	for _, f := range files {
		out = append(out, f.Name())
	}
	return out
}

func nothingLeft(t *testing.T, name, runDir string) {
	t.Helper()
	if d := directories(name); len(d) > 0 {
		t.Errorf("left behind: %q", d)
	}
	if r := records(runDir); len(r) > 0 {
		t.Errorf("left behind in %s: %q", runDir, r)
	}
}

// eventually polls until ok, for far longer than it should take.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within 30 s: %s", what)
}

// output runs with the standard output in a file, and gives both.
func output(t *testing.T, o Options) (Result, string, error) {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o.Stdout = f
	res, err := Run(context.Background(), o)
	b, rerr := os.ReadFile(f.Name())
	if rerr != nil {
		t.Fatal(rerr)
	}
	return res, string(b), err
}

// process is a runner in a process of its own.
type process struct {
	cmd *exec.Cmd
	out *lines
	o   order
}

func start(t *testing.T, noGuard bool, argv ...string) *process {
	t.Helper()
	o := order{Class: class.LS, Name: uniqueName(), RunDir: t.TempDir(), Argv: argv, NoGuard: noGuard}
	arg, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe(), "t-runner", string(arg)), out: newLines(t), o: o}
	p.cmd.Stdout, p.cmd.Stderr = p.out.f, os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		_, _ = Sweep(o.RunDir)
		nothingLeft(t, o.Name, o.RunDir)
	})
	p.out.until(t, "started ")
	return p
}

// lines is a file that processes write to and tests poll.
type lines struct{ f *os.File }

func newLines(t *testing.T) *lines {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &lines{f}
}

func (l *lines) text() string {
	b, _ := os.ReadFile(l.f.Name())
	return string(b)
}

func (l *lines) until(t *testing.T, want string) {
	t.Helper()
	eventually(t, fmt.Sprintf("output %q in %q", want, l.text()), func() bool { return strings.Contains(l.text(), want) })
}

func code(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}
