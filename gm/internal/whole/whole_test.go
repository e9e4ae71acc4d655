package whole

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// worker names the file that a process writes until it is killed.
const worker = "ANOLE_WHOLE_TEST_WORKER"

func TestMain(m *testing.M) {
	path := os.Getenv(worker)
	if path == "" {
		os.Exit(m.Run())
	}
	f, err := Create(path, 0o600)
	if err != nil {
		panic(err)
	}
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		panic(err)
	}
	fmt.Println(f.temp)
	time.Sleep(time.Minute)
}

// TestKill kills a process in the middle of a file.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), worker+"="+filepath.Join(dir, "a"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	most := 0
	if strings.TrimSpace(string(line[:n])) != "" { // the file system has no files without a name
		most = 1
	}
	left := files(t, dir)
	if len(left) > most || len(left) == 1 && left[0] == "a" {
		t.Errorf("files %q", left)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	l, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range l {
		out = append(out, e.Name())
	}
	return out
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	for _, text := range []string{"one", "two"} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := Read(path, 3); err != nil || string(b) != text {
			t.Fatalf("%q %v", b, err)
		}
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", s.Mode(), err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files %q", got)
	}
	if _, err := Read(path, 2); err == nil {
		t.Error("read more than was allowed")
	}
	if err := Write(filepath.Join(dir, "none", "a"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: %v", err)
	}
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "a"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("half"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Abort(), f.Abort()); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("files %q", got)
	}
	// A folder in the way: nothing is left of the attempt.
	if err := os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if Write(filepath.Join(dir, "b"), []byte("x"), 0o644) == nil {
		t.Error("written over a folder")
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("files %q", got)
	}
}
