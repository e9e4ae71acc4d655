package module

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/benchfmt"
)

func TestBenchVerb(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gm.json")
	out := wantExit(t, 0, "bench", "--short", "--case", "allocs", "--results", file)
	if !strings.Contains(out, "| SM3 of 1 KiB |") {
		t.Errorf("it prints %s", out)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("figures that mean nothing were written")
	}
	wantExit(t, 1, "bench", "--case", "nothing")
}

func TestBenchVerbAsJSON(t *testing.T) {
	out, code := gm(t, "", "-j", "bench", "--short", "--case", "allocs")
	var results []benchfmt.Result
	if err := json.Unmarshal([]byte(out), &results); code != 0 || err != nil || len(results) != 4 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}
}
