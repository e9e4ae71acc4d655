package module

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/rng/gmt0005"
)

// rngRun runs a verb of gm.
func rngRun(ctx context.Context, in string, asJSON bool, args ...string) (string, error) {
	out, _, err := runVerb(ctx, &core.Env{JSON: asJSON}, strings.NewReader(in), args...)
	return out, err
}

func TestRNGFill(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "noise")
	if err := os.WriteFile(path, []byte("older"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := rngRun(t.Context(), "", true, "rng", "fill", "--bytes", "3MiB", "--force", "-f", path); err != nil || !strings.Contains(out, `"bytes": 3145728`) {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := os.Stat(path)
	if err != nil || s.Size() != 3<<20 || s.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", s, err)
	}
	if out, err := rngRun(t.Context(), "", false, "rng", "fill", "--bytes", "1000"); err != nil || len(out) != 1000 || strings.Count(out, "\x00") > 100 {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		args []string
		code int
		want string
	}{
		{t.Context(), []string{"--bytes", "many"}, core.ExitUsage, `--bytes: wants a size such as "256MiB" or "1GB", got "many"`},
		{t.Context(), []string{"--bytes", "1", "-f", dir}, core.ExitUsage, "create " + dir + ": it is no regular file, and is not replaced by one: send standard output there"},
		{t.Context(), []string{"--bytes", "1", "-f", filepath.Join(dir, "no", "such")}, core.ExitFailed, "no such file or directory"},
		{over, []string{"--bytes", "1GiB", "-f", filepath.Join(dir, "stopped")}, core.ExitFailed, "context canceled"},
	} {
		_, err := rngRun(c.ctx, "", false, append([]string{"rng", "fill"}, c.args...)...)
		if core.ExitCode(err) != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: exit %d, %v, want %d, %s", c.args, core.ExitCode(err), err, c.code, c.want)
		}
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

// good are bytes that the tests accept, the same in each run.
func good(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}

func TestRNGTest(t *testing.T) {
	const sample = gmt0005.Short / 8
	dir := t.TempDir()
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	fine := file("fine", good(300*sample+7))
	out, err := rngRun(t.Context(), "", true, "rng", "test", fine, "--bits", "20000")
	var r gmt0005.Report
	if err != nil || json.Unmarshal([]byte(out), &r) != nil || !r.OK || r.Samples != 300 || r.Need != 292 || len(r.Lines) != 22 || len(r.Lines[3].P) != 300 {
		t.Errorf("%v: %+v", err, r)
	}
	out, err = rngRun(t.Context(), string(good(10*sample)), false, "rng", "test", "-", "--bits", "20000", "--samples", "1")
	if err != nil || strings.Contains(out, "SPREAD") || !strings.Contains(out, "approximate entropy") || strings.Contains(out, "refused") {
		t.Errorf("%v: %s", err, out)
	}
	bad := file("bad", make([]byte, 20*sample))
	out, err = rngRun(t.Context(), "", false, "rng", "test", bad, "--bits", "20000")
	if core.ExitCode(err) != core.ExitNo || !strings.Contains(err.Error(), "refused by 22 of 22 values: frequency, block frequency m=1000, ") || strings.Contains(out, "accepted") {
		t.Errorf("zeroes: %v\n%s", err, out)
	}
	// Its own generator: refused by chance now and then, but never by much.
	out, err = rngRun(t.Context(), "", true, "rng", "test", "--samples", "3", "--bits", "20000")
	if (err != nil && core.ExitCode(err) != core.ExitNo) || json.Unmarshal([]byte(out), &r) != nil || r.Samples != 3 {
		t.Errorf("own: %v, %+v", err, r)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{fine, "--bits", "4096"}, core.ExitUsage, "--bits: samples of 4096 bits: GM/T 0005 has parameters for 20000, 1000000 and 100000000"},
		{[]string{fine, "--samples", "-1"}, core.ExitUsage, "--samples: -1: want 1 or more"},
		{[]string{fine, "--bits", "20000", "--samples", "301"}, core.ExitFailed, "read sample 301 of 301: the source ends; a sample takes 2500 bytes"},
		{[]string{file("short", good(9))}, core.ExitUsage, "short has 9 bytes; a sample of 1000000 bits takes 125000"},
		{[]string{filepath.Join(dir, "none")}, core.ExitUsage, "no such file"},
		{[]string{"-"}, core.ExitFailed, "read sample 1 of 20: the source ends"},
	} {
		_, err := rngRun(t.Context(), "", false, append([]string{"rng", "test"}, c.args...)...)
		if core.ExitCode(err) != c.code || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: exit %d, %v, want %d, %s", c.args, core.ExitCode(err), err, c.code, c.want)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rngRun(over, "", false, "rng", "test"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
