package core

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/benchfmt"
)

func TestBench(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "results.json")
	results := []benchfmt.Result{benchfmt.Single("id", "what it is", "s", "", []float64{1, 2, 3})}
	var out bytes.Buffer
	env := &Env{Out: &out}
	brief := Bench{File: file, Brief: true}
	if err := brief.Save(results); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("figures that mean nothing were written")
	}
	b := Bench{File: file}
	if err := b.Save(results); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if err := b.Tell(env, nil); err != nil || !strings.Contains(out.String(), "what it is") {
		t.Errorf("%v, %s", err, out.String())
	}
	refused := errors.Join(errors.New("another"), &benchfmt.NotJudgedError{Why: "busy"})
	if err := b.Tell(env, refused); ExitCode(err) != ExitNo {
		t.Errorf("exit code %d of %v", ExitCode(err), err)
	}
	if err := b.Tell(env, errors.New("another")); ExitCode(err) != ExitFailed {
		t.Errorf("exit code %d of %v", ExitCode(err), err)
	}
	out.Reset()
	env.JSON = true
	if err := b.Tell(env, nil); err != nil || !strings.HasPrefix(out.String(), "[") {
		t.Errorf("%v, %s", err, out.String())
	}
}
