package module

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
)

// busyNode has something of everything, with names as long as Kubernetes'.
func busyNode() *qos.Status {
	s, _ := crowd(40, 3, 2)
	s.Node = qos.NodeStatus{Name: "node-0123456789.example.internal", Kernel: "6.1.0-18-amd64 amd64", CPUs: 64, Busy: 40, Memory: &qos.NodeMemory{Total: 1 << 38, Available: 1 << 37}}
	s.Cap, s.CapWhy = new(12.5), "others use 40.00 of 64 CPUs, target 97 %"
	for i := range s.Workloads {
		w := &s.Workloads[i]
		w.ID = fmt.Sprintf("/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod01234567_89ab_cdef_0123_4567890%05d.slice/cri-containerd-%064d.scope", i, i)
		w.Rule = "label koordinator.sh/qosClass=BE from nri; without it LS by kubernetes burstable"
	}
	for _, c := range class.All() {
		s.Classes = append(s.Classes, qos.ClassStatus{Class: c, Workloads: 7, RunqP50: 9.17, RunqP99: 12700})
	}
	for range 10 {
		s.Decisions = append(s.Decisions, qos.Decision{Controller: "suppress", File: "/sys/fs/cgroup" + s.Workloads[0].ID + "/cpu.max", Old: "max 100000", New: "20000 100000", Why: s.CapWhy, Result: "ok"})
	}
	s.Mechanisms = []qos.Mechanism{{Name: "network", Using: "HTB", Why: strings.Repeat("words of a reason ", 20)}}
	return s
}

// However narrow or low the terminal, top neither wraps nor scrolls.
func TestTopFitsTheTerminal(t *testing.T) {
	for _, width := range []int{80, 120, 200} {
		for _, height := range []int{24, 50} {
			for _, paused := range []bool{false, true} {
				top := &top{status: *busyNode(), width: width, height: height, paused: paused}
				lines := strings.Split(top.View(), "\n")
				if len(lines) > height {
					t.Errorf("%d lines on a screen of %d×%d", len(lines), width, height)
				}
				for _, l := range lines {
					if n := utf8.RuneCountInString(l); n > width {
						t.Errorf("%d characters on a screen of %d×%d: %q", n, width, height, l)
					}
				}
				if s := top.View(); !strings.Contains(s, ".scope") || !strings.Contains(s, "q quit") {
					t.Errorf("no workload or no foot on %d×%d:\n%s", width, height, s)
				}
			}
		}
	}
	coloured := &top{status: *busyNode(), width: 80, height: 50, colours: true}
	if s := coloured.View(); !strings.Contains(s, "\x1b[33mBE") {
		t.Errorf("no colours:\n%q", s)
	}
}

// Explain names label and source, file, old and new value, and the rule.
func TestExplainNamesItAll(t *testing.T) {
	w := busyNode().Workloads[0]
	w.Labels, w.LabelsFrom = map[string]string{"koordinator.sh/qosClass": "BE"}, map[string]string{"koordinator.sh/qosClass": "nri", "koordinator.sh/cpuBurst": "cri"}
	w.Pod, w.Image, w.Sources, w.Network, w.IO = "shop/web", "web:1", []string{"nri", "cri"}, "BE", &qos.IORates{ReadBytes: 3 << 20}
	w.Refused = []dialect.Refusal{{Key: "koordinator.sh/cpuBurst", Value: "{", Text: "is no JSON\x1b[2J object"}}
	var b bytes.Buffer
	err := writeExplanation(&b, &qos.Explanation{
		Workload: w, Files: []qos.FileState{{File: "/sys/fs/cgroup/x/cpu.max", Original: "max 100000", Current: "20000 100000", Controller: "suppress", Why: "cap 0.10 cores"}},
		Decisions: busyNode().Decisions[:1],
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"is " + w.Class.String() + " by label koordinator.sh/qosClass=BE from nri; without it LS", "koordinator.sh/qosClass=BE (from nri)", "told by nri, cri", "pod shop/web",
		"koordinator.sh/cpuBurst={ (from cri)", "disks reads 3.0 MiB/s", "network class BE", "memory 0 MiB", "/sys/fs/cgroup/x/cpu.max", "max 100000", "20000 100000", "cap 0.10 cores", "others use 40.00",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("explain lacks %q:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("a tenant's escape sequence reaches the terminal: %q", b.String())
	}
}

// Status lists disks and interfaces, and what does not work.
func TestStatusShowsAll(t *testing.T) {
	var b bytes.Buffer
	if err := writeStatus(&b, busyNode()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"capped at 12.50", "131072 MiB", "nvme1n1", "100.0 %", "eth1 is not shared", "degraded: net of eth0", "words of a reason"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("status lacks %q", want)
		}
	}
}
