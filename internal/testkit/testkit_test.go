package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

// verdict runs Need on a fake testing.TB and says what it did.
type verdict struct {
	testing.TB
	did string
}

type stop struct{}

func (v *verdict) Helper()               {}
func (v *verdict) Name() string          { return "TestSome" }
func (v *verdict) Skip(...any)           { v.did = "skip"; panic(stop{}) }
func (v *verdict) Fatal(...any)          { v.did = "fatal"; panic(stop{}) }
func (v *verdict) Fatalf(string, ...any) { v.did = "fatal"; panic(stop{}) }

func need(err error) (did string) {
	v := &verdict{did: "go on"}
	defer func() {
		if r := recover(); r != nil {
			did = v.did
		}
	}()
	Need(v, err)
	return v.did
}

func TestNeedSkipsForTypedReasonsOnly(t *testing.T) {
	skips := filepath.Join(t.TempDir(), "skips")
	t.Setenv(SkipsEnv, skips)
	u := &feature.UnsupportedError{Feature: "x", Reason: feature.NoKernel}
	for _, c := range []struct {
		err  error
		want string
	}{{nil, "go on"}, {u, "skip"}, {fmt.Errorf("open x: %w", u), "skip"}, {errors.New("broken"), "fatal"}, {errors.ErrUnsupported, "fatal"}} {
		if got := need(c.err); got != c.want {
			t.Errorf("Need(%v): %s, want %s", c.err, got, c.want)
		}
	}
	b, err := os.ReadFile(skips)
	if err != nil || strings.Count(string(b), "\n") != 2 || !strings.HasPrefix(string(b), "internal/testkit\tTestSome\tno_kernel\tx is not supported") {
		t.Errorf("recorded %q, %v", b, err)
	}
}

func TestSocketDirIsShort(t *testing.T) {
	if dir := SocketDir(t); len(dir) > 60 {
		t.Errorf("%s is long", dir)
	}
	if sh := NeedTool(t, "sh"); !filepath.IsAbs(sh) {
		t.Errorf("sh is at %q", sh)
	}
}

func TestFolderWithoutTree(t *testing.T) {
	for _, c := range []struct {
		dir string
		err error
	}{{t.TempDir(), nil}, {"", os.ErrNotExist}} {
		if got := folderOf(c.dir, c.err); got != "testkit" {
			t.Errorf("folder of %q: %q", c.dir, got)
		}
	}
}
