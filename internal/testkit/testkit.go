// Package testkit is what tests share: skips that say why, and places for
// sockets.
//
// A test skips only because of a *feature.UnsupportedError. When ANOLE_SKIPS
// names a file, each skip appends a line
// "<package>\t<test>\t<reason>\t<text>" to it, by which test/expected-skips
// holds a run to the list of its kind of machine.
package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/feature"
)

// SkipsEnv names the file that skips are written to.
const SkipsEnv = "ANOLE_SKIPS"

// Need goes on if err is nil, skips the test if it is, or wraps, a
// *feature.UnsupportedError, and fails it otherwise.
func Need(t testing.TB, err error) {
	t.Helper()
	var u *feature.UnsupportedError
	switch {
	case err == nil:
	case errors.As(err, &u):
		record(t, u)
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// NeedRoot skips the test for all but root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Need(t, &feature.UnsupportedError{Feature: "root", Reason: feature.NoPrivilege, Need: "root", Fix: "run the tests as root"})
	}
}

// NeedTool gives the path of a program, or skips the test without it.
func NeedTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Need(t, &feature.UnsupportedError{Feature: name, Reason: feature.NoPeer, Need: "the program " + name, Fix: "install it", Err: err})
	}
	return path
}

// NeedPeer gives the path of a program that scripts/peers.sh unpacks, or skips the test
// without it.
func NeedPeer(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(root(t), ".cache", "peers", "bin", name)
	if _, err := os.Stat(path); err != nil {
		Need(t, &feature.UnsupportedError{Feature: name, Reason: feature.NoPeer, Need: "the program " + name, Fix: "scripts/peers.sh", Err: err})
	}
	return path
}

// root is the folder of this module's go.mod, in or above which the test runs.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}

// SelectEnv lists, with commas, the kinds of tests that are run beside the
// plain ones: kernel, vm, peer, slow.
const SelectEnv = "ANOLE_TEST"

// Select skips a test of a kind that was not asked for. That is a choice of
// who runs the tests and is not recorded.
func Select(t testing.TB, kind string) {
	t.Helper()
	if !slices.Contains(strings.Split(os.Getenv(SelectEnv), ","), kind) {
		t.Skipf("not selected: %s=%s", SelectEnv, kind)
	}
}

// SocketDir gives a directory whose path is short enough for unix sockets,
// which t.TempDir's often is not. It is removed after the test.
func SocketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "anole")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// folder is the package under test, relative to the module: tests run in it.
var folder = folderOf(os.Getwd())

func folderOf(dir string, err error) string {
	for root := dir; err == nil; root = filepath.Dir(root) {
		if _, serr := os.Stat(filepath.Join(root, "go.mod")); serr == nil {
			rel, _ := filepath.Rel(root, dir)
			return filepath.ToSlash(rel)
		}
		if root == filepath.Dir(root) {
			break
		}
	}
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".test") // copied to a machine without the tree
}

var recording sync.Mutex

// record appends to the file of skips; test binaries of several packages may
// do so at once, hence one write in append mode.
func record(t testing.TB, u *feature.UnsupportedError) {
	path := os.Getenv(SkipsEnv)
	if path == "" {
		return
	}
	recording.Lock()
	defer recording.Unlock()
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatalf("record skip: %v", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", folder, t.Name(), u.Reason, strings.ReplaceAll(u.Error(), "\n", " ")); err != nil {
		t.Fatalf("record skip: %v", err)
	}
}
