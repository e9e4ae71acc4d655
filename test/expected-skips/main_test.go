package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const recorded = "qos\tTestKernelV2A\tno_kernel\tcgroup v2 is not supported here\n" +
	"qos/run\tTestTTY/raw\tno_peer\ttmux is not supported here\n" +
	"qos\tTestKernelV2A\tno_kernel\tcgroup v2 is not supported here\n"

func check(t *testing.T, list, skips string) (bool, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"m.txt": list, "skips": skips} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	ok, err := run(&b, dir, "m", filepath.Join(dir, "skips"))
	return ok, b.String(), err
}

func TestUnexpectedSkipFails(t *testing.T) {
	for _, c := range []struct {
		list string
		ok   bool
	}{
		{"", false},
		{"qos TestKernelV2* no_kernel\nqos/run TestTTY/raw no_peer # no terminal\n", true},
		{"* * no_kernel\n* * no_peer\n", true},
		{"* * no_kernel\n", false},
		{"# qos TestKernelV2* no_kernel\nqos/run * no_peer\n", false},
		{"qos TestKernelV2* no_hardware\nqos/* * no_peer\n", false},
		{"qos TestKernelV2A no_kernel\nqos TestTTY* no_peer\n", false},
	} {
		ok, out, err := check(t, c.list, recorded)
		if err != nil || ok != c.ok || strings.Contains(out, "SKIPPED") == c.ok {
			t.Errorf("list %q: %v, %v\n%s", c.list, ok, err, out)
		}
		told, _, _ := strings.Cut(out, "not skipped")
		if n := strings.Count(told, "\n  "); n != 2 {
			t.Errorf("%d skips are shown, want each test once:\n%s", n, out)
		}
	}
	if ok, out, err := check(t, "", ""); !ok || out != "" || err != nil {
		t.Errorf("nothing skipped: %v %q %v", ok, out, err)
	}
	if ok, _, _ := check(t, "* * no_peer", "torn"); ok {
		t.Error("a torn line was expected")
	}
}

func TestWhatNothingSkippedIsTold(t *testing.T) {
	ok, out, err := check(t, "qos TestKernelV2* no_kernel\nqos/run * no_peer\nqos TestGone no_hardware\n", recorded)
	if _, unused, _ := strings.Cut(out, "not skipped"); !ok || err != nil || !strings.Contains(unused, "\n  qos TestGone no_hardware\n") || strings.Count(unused, "\n  ") != 1 {
		t.Errorf("%v, %v\n%s", ok, err, out)
	}
}

func TestListsAddUp(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.txt": "qos * no_kernel\n", "b.txt": "qos/run * no_peer\n", "skips": recorded} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for on, want := range map[string]bool{"a,b": true, "b,a": true, "a": false, "b": false} {
		if ok, err := run(&strings.Builder{}, dir, on, filepath.Join(dir, "skips")); ok != want || err != nil {
			t.Errorf("%s: %v, %v", on, ok, err)
		}
	}
}

func TestMistakeInListIsNamed(t *testing.T) {
	for list, want := range map[string]string{"qos TestX": "m.txt:1: want", "\nqos TestX tired": "m.txt:2: \"tired\" is no reason"} {
		if _, _, err := check(t, list, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", list, err)
		}
	}
	if _, err := run(&strings.Builder{}, t.TempDir(), "none", "x"); err == nil {
		t.Error("a list that is not there was taken")
	}
}

func TestListsAreSound(t *testing.T) {
	lists, err := filepath.Glob("*.txt")
	if err != nil || len(lists) == 0 {
		t.Fatal(lists, err)
	}
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(name, string(text)); err != nil {
			t.Error(err)
		}
	}
}

func TestEveryKindHasAList(t *testing.T) {
	kinds := map[string]bool{"host-v1": true, "host-v2": true, kind(0, ""): true, kind(1000, ""): true, kind(0, t.TempDir()): true}
	for k := range kinds {
		if _, err := os.Stat(k + ".txt"); err != nil {
			t.Error(err)
		}
	}
	if k := kind(1000, ""); k != "restricted" {
		t.Errorf("a plain user's machine is %s", k)
	}
}
