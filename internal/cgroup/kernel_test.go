package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

func TestMain(m *testing.M) {
	if os.Getenv("CGROUP_TEST_CHILD") != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// testGroup makes a cgroup of the cpu controller on this node and opens it.
func testGroup(t *testing.T) *Dir {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "root"})
	}
	tree, err := Detect("")
	if errors.Is(err, errors.ErrUnsupported) {
		testkit.Need(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := tree.Path("cpu", fmt.Sprintf("cgroup-test-%d", os.Getpid()))
	if path == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoKernel, Need: "the cpu controller"})
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "a writable cgroup hierarchy", Err: err})
	}
	t.Cleanup(func() {
		if err := Remove(path, filepath.Dir(path)); err != nil {
			t.Error(err)
		}
	})
	d := openDir(t, path)
	if !d.Has(weightFile(d)) {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.Conflict, Need: "the cpu controller enabled in the root's cgroup.subtree_control"})
	}
	return d
}

func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// weightFile is a file that either version has, with 77 as a value to write.
func weightFile(d *Dir) string {
	if d.Has("cpu.shares") {
		return "cpu.shares"
	}
	return "cpu.weight"
}

func needFiles(t *testing.T, d *Dir, names ...string) {
	t.Helper()
	for _, n := range names {
		if !d.Has(n) {
			testkit.Need(t, &feature.UnsupportedError{Feature: n, Reason: feature.NoKernel, Need: "a cgroup v1 cpu controller of Linux 5.15 or later"})
		}
	}
}

func read(t *testing.T, d *Dir, name string) string {
	t.Helper()
	b, err := d.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func set(t *testing.T, w *Writer, d *Dir, name, value string) {
	t.Helper()
	if _, err := w.Set(Edit{d, name, value}); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(read(t, d, name)); got != value {
		t.Fatalf("%s holds %q, want %q", name, got, value)
	}
}

// newWriter makes a Writer and a function that does what an agent does that
// starts after this one was killed: it opens the journal and restores.
func newWriter(t *testing.T) (w *Writer, j *journal.Journal, restart func() []error) {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return NewWriter(j, "test"), j, func() []error {
		_ = j.Close()
		next, err := journal.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close()
		return NewWriter(next, "test").Restore(func(*journal.Entry) bool { return true })
	}
}

// process is a copy of the test binary that starts threads and children when
// it is told to.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startProcess(t *testing.T) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "CGROUP_TEST_CHILD=1")
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, p.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		_ = p.in.Close() // it kills its children and ends
		_ = p.cmd.Wait()
	})
	p.tell(t, "hello")
	return p
}

// tell gives an order and waits until it is carried out.
func (p *process) tell(t *testing.T, order string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, order); err != nil {
		t.Fatal(err)
	}
	if line, err := p.out.ReadString('\n'); err != nil || line != "done\n" {
		t.Fatalf("the child answered %q, %v", line, err)
	}
}

func (p *process) pid() int { return p.cmd.Process.Pid }
