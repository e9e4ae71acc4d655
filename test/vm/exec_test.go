package vm

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
)

// sample is a module whose tests a guest runs.
var sample = map[string]string{
	"go.mod": "module sample\n\ngo 1.21\n",
	"a.go": `package a

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}
`,
	"testdata/in": "7",
	"a_test.go": `package a

import (
	"os"
	"testing"
)

func TestSign(t *testing.T) {
	if b, err := os.ReadFile("testdata/in"); err != nil || string(b) != "7" || sign(7) != 1 {
		t.Error(b, err)
	}
	if os.Getpid() > 100000 || os.Getenv("HOME") != "/root" {
		t.Error("not in the guest")
	}
}

func TestFails(t *testing.T) { t.Log("it says why"); t.Fail() }
func TestHangs(t *testing.T) { select {} }
`,
}

// serving has a machine serve, and gives a function that runs go test there.
func serving(t *testing.T, v *VM, bin string) func(args ...string) (string, int) {
	t.Helper()
	dir, run := t.TempDir(), testkit.SocketDir(t)
	for name, text := range sample {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(run, "exec"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- v.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(args ...string) (string, int) {
		cmd := exec.Command("go", append([]string{"test", "-count=1", "-exec", filepath.Join(bin, "exec")}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", SocketEnv+"="+l.Addr().String())
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

func TestGoTest(t *testing.T) {
	o := options(t, "v2")
	o.Console = filepath.Join(t.TempDir(), "console")
	v := boot(t, o)
	test := serving(t, v, filepath.Dir(o.Init))
	profile := filepath.Join(t.TempDir(), "c.out")
	if out, code := test("-run=Sign", "-coverprofile="+profile); code != 0 || !strings.Contains(out, "coverage: 66.7% of statements") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	want := "mode: set\nsample/a.go:3.22,4.11 1 1\nsample/a.go:4.11,6.3 1 0\nsample/a.go:7.2,7.10 1 1\n"
	if b, err := os.ReadFile(profile); err != nil || string(b) != want {
		t.Errorf("profile %q, %v", b, err)
	}
	if out, code := test("-run=Sign", "-cover"); code != 0 || !strings.Contains(out, "coverage: 66.7%") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out, code := test("-run=Fails"); code != 1 || !strings.Contains(out, "it says why") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out, code := test("-run=Hangs", "-timeout=1s"); code != 1 || !strings.Contains(out, "panic: test timed out after 1s") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	v.Quiet = 2 * time.Second
	out, code := test("-run=Hangs")
	if code != 1 || !strings.Contains(out, "no output for 2s") || !strings.Contains(out, "sample.TestHangs(") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	console, err := os.ReadFile(o.Console)
	if err != nil || !bytes.Contains(console, []byte("Show State")) || !bytes.Contains(console, []byte("task:init")) {
		t.Errorf("%v, the console does not tell of the tasks:\n%s", err, console)
	}
	if !strings.Contains(out, o.Console) {
		t.Error("nothing says where the console's text is")
	}
	// The machine goes on.
	v.Quiet = 0
	if out, code := test("-run=Sign"); code != 0 {
		t.Errorf("after a test that hung: exit code %d:\n%s", code, out)
	}
}
