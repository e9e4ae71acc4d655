package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
)

// binary is anole, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "anole-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "anole")
	build := exec.Command("go", "build", "-o", binary, "github.com/anole-os/anole/cmd/anole")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// node is one set of directories that an agent and its verbs share.
type node struct {
	t      *testing.T
	dir    string
	config string
	agent  *exec.Cmd
	log    *testkit.Buffer
}

func newNode(t *testing.T, config string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	n := &node{t: t, dir: dir, config: filepath.Join(dir, "anole.yaml"), log: &testkit.Buffer{}}
	n.configure(config)
	t.Cleanup(n.stop)
	return n
}

func (n *node) configure(config string) {
	n.t.Helper()
	if err := os.WriteFile(n.config, []byte("version: 1\n"+config), 0o600); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) flags() []string {
	return []string{"--config", n.config, "--state-dir", filepath.Join(n.dir, "state"), "--run-dir", filepath.Join(n.dir, "run")}
}

// command is anole with args, in this node's directories.
func (n *node) command(args ...string) *exec.Cmd {
	return exec.Command(binary, append(n.flags(), args...)...)
}

// start starts an agent and waits until it answers.
func (n *node) start() {
	n.t.Helper()
	n.agent = n.command("up")
	n.log.Reset()
	n.agent.Stderr = n.log
	if err := n.agent.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.await("the agent to answer", func() bool {
		return n.command("qos", "policy").Run() == nil
	})
}

func (n *node) stop() {
	if n.agent == nil {
		return
	}
	_ = n.agent.Process.Signal(syscall.SIGTERM)
	_ = n.agent.Wait()
	n.agent = nil
}

func (n *node) kill() {
	n.t.Helper()
	if err := n.agent.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	_ = n.agent.Wait()
	n.agent = nil
}

// ok runs anole and gives its output; it must exit 0.
func (n *node) ok(args ...string) string {
	n.t.Helper()
	out, errs, code := n.try(args...)
	if code != 0 {
		n.t.Fatalf("anole %s: exit %d: %s", strings.Join(args, " "), code, errs)
	}
	return out
}

// try runs anole and gives its output, its errors and its exit code.
func (n *node) try(args ...string) (out, errs string, code int) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(n.flags(), args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// decode runs anole with -o json.
func (n *node) decode(v any, args ...string) {
	n.t.Helper()
	out := n.ok(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		n.t.Fatalf("anole %s: %v in %s", strings.Join(args, " "), err, out)
	}
}

// await polls until ok, for at most a minute: the node may be busy.
func (n *node) await(what string, ok func() bool) {
	n.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ok() {
			return
		}
	}
	n.t.Fatalf("gave up waiting for %s; the agent said:\n%s", what, n.log)
}

// quiet keeps the console off, so that tests need no port.
const quiet = "agent:\n  console: {enabled: false}\n"
