package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

func TestSplit(t *testing.T) {
	known := func(name string) bool { return name == "on" || name == "at-once" }
	for line, want := range map[string]string{
		"-on|6.1 v1|--at-once=3|-v|-run|X|./qos": "-on|6.1 v1|--at-once=3 / -v|-run|X|./qos",
		"./qos|-on|6.1 v1":                       " / ./qos|-on|6.1 v1",
		"-on|a|--|-on|b":                         "-on|a / -on|b",
		"-on":                                    "-on / ",
		"-run=on":                                " / -run=on",
	} {
		own, rest := split(strings.Split(line, "|"), known)
		if got := strings.Join(own, "|") + " / " + strings.Join(rest, "|"); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	every, err := choose("", false)
	if err != nil || len(every) < 3 || len(every[0].runs[0]) == 0 {
		t.Error(every, err)
	}
	some, err := choose("6.12 v2,6.1 v1", true)
	if err != nil || len(some) != 2 || len(some[0].runs[0]) != 0 {
		t.Error(some, err)
	}
	if _, err := choose("6.1 v3", false); err == nil || !strings.Contains(err.Error(), `"6.1 v2"`) {
		t.Errorf("an unknown machine: %v", err)
	}
}

// What the issue asks for: all of qos in three machines at the least.
func TestMachines(t *testing.T) {
	for _, name := range []string{"6.1 v2", "6.1 v1", "6.12 v2"} {
		ms, err := choose(name, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"./internal/cgroup", "./qos", "./qos/actuate", "./qos/run", "./qos/runq", "./test/fault"} {
			if !slices.Contains(slices.Concat(ms[0].runs...), p) {
				t.Errorf("%s does not run %s", name, p)
			}
		}
		if contains := slices.Contains(slices.Concat(ms[0].runs...), "./test/containers"); contains != (ms[0].Cgroup == "v2") {
			t.Errorf("%s runs containers: %v", name, contains)
		}
	}
}

const events = `{"Action":"start","Package":"github.com/anole-os/anole/a"}
{"Action":"run","Package":"github.com/anole-os/anole/a","Test":"TestGood"}
{"Action":"output","Package":"github.com/anole-os/anole/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"github.com/anole-os/anole/a","Test":"TestGood","Elapsed":0.1}
{"Action":"run","Package":"github.com/anole-os/anole/a","Test":"TestBad"}
{"Action":"run","Package":"github.com/anole-os/anole/a","Test":"TestBad/case"}
{"Action":"output","Package":"github.com/anole-os/anole/a","Test":"TestBad/case","Output":"    a_test.go:7: why\n"}
{"Action":"fail","Package":"github.com/anole-os/anole/a","Test":"TestBad/case","Elapsed":0.1}
{"Action":"fail","Package":"github.com/anole-os/anole/a","Test":"TestBad","Elapsed":0.1}
{"Action":"skip","Package":"github.com/anole-os/anole/a","Test":"TestNot","Elapsed":0}
{"Action":"run","Package":"github.com/anole-os/anole/a","Test":"TestDies"}
{"Action":"output","Package":"github.com/anole-os/anole/a","Test":"TestDies","Output":"panic: at the end\n"}
no event at all
{"Action":"output","Package":"github.com/anole-os/anole/a","Output":"exit status 2\n"}
{"Action":"fail","Package":"github.com/anole-os/anole/a","Elapsed":1.5}
{"Action":"build-output","ImportPath":"github.com/anole-os/anole/b","Output":"b.go:1: no\n"}
{"Action":"pass","Package":"github.com/anole-os/anole/c","Elapsed":0.5}
`

func TestReport(t *testing.T) {
	var out bytes.Buffer
	m := &machine{Kernel: "6.1", Cgroup: "v1"}
	m.follow(strings.NewReader(events), newScreen(&out), false)
	text := out.String()
	for _, want := range []string{"a_test.go:7: why", "panic: at the end", "no event at all", "exit status 2", "b.go:1: no", "FAIL  a ", "ok    c "} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is there %d times", want, strings.Count(text, want))
		}
	}
	if strings.Contains(text, "chatter") {
		t.Error("what a test that passed said")
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "6.1 v1  ") {
			t.Errorf("a line that does not say of which machine: %q", line)
		}
	}
	if m.passed != 1 || m.failed != 1 || m.skipped != 1 {
		t.Errorf("counted %d, %d, %d", m.passed, m.failed, m.skipped)
	}
	out.Reset()
	m.follow(strings.NewReader(events), newScreen(&out), true)
	if !strings.Contains(out.String(), "chatter") {
		t.Error("-v does not show what a test that passed said")
	}
}

func TestSummary(t *testing.T) {
	no := &feature.UnsupportedError{Feature: "virtual machine", Reason: feature.NoPeer, Need: "QEMU"}
	for want, errs := range map[int][]error{
		0:           {nil, nil},
		failed:      {nil, errors.New("x"), no},
		unsupported: {no, no},
	} {
		var ms []*machine
		for _, err := range errs {
			ms = append(ms, &machine{Kernel: "6.1", Cgroup: "v1", err: err})
		}
		if got := summary(&bytes.Buffer{}, &bytes.Buffer{}, ms); got != want {
			t.Errorf("%v: exit code %d, want %d", errs, got, want)
		}
	}
}
