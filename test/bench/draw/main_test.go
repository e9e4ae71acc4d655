package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/benchfmt"
)

func TestDraw(t *testing.T) {
	root := t.TempDir()
	markers := "# x\n<!-- bench:qos -->\n<!-- /bench:qos -->\n"
	if err := os.WriteFile(filepath.Join(root, "README.md"), []byte(markers), 0o644); err != nil {
		t.Fatal(err)
	}
	r := []benchfmt.Result{{ID: "a", What: "thing measured", Ours: 2, Peer: 1, PeerName: "other", Ratio: 2, Rounds: 5, Kernel: "k", Date: "2026-01-01"}}
	if err := benchfmt.Write(filepath.Join(root, "test/bench/results/qos.json"), r); err != nil {
		t.Fatal(err)
	}
	var first string
	for range 2 {
		if err := draw(root); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(root, "README.md"))
		if err != nil || !strings.Contains(string(b), "thing measured") || first != "" && first != string(b) {
			t.Fatalf("%v\n%s", err, b)
		}
		first = string(b)
	}
	if b, err := os.ReadFile(filepath.Join(root, "docs/img/qos-bench.svg")); err != nil || !strings.Contains(string(b), "other") {
		t.Errorf("chart: %v\n%s", err, b)
	}
	if err := benchfmt.Write(filepath.Join(root, "test/bench/results/kv.json"), r); err != nil {
		t.Fatal(err)
	}
	if err := draw(root); err == nil {
		t.Error("results that no README shows are no error")
	}
}
