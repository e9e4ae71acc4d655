package sim

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Each quantity that is checked, broken on purpose.
func TestConservationNamesNodeTickAndQuantity(t *testing.T) {
	for want, spoil := range map[string]func(*node){
		"CPU given is":            func(n *node) { n.be = n.cpus - n.ls + 0.1 },
		"memory is":               func(n *node) { n.lsMemory = 99 },
		"memory held by BE":       func(n *node) { n.held++ },
		"LS work arrived":         func(n *node) { n.services[0].backlog += 3 },
		"BE work done":            func(n *node) { n.bundles[0].left++ },
		"instances running":       func(n *node) { n.bundles[0].n++ },
		"CPU given is -1":         func(n *node) { n.ls = -1 },
		"LS work arrived is 1000": func(n *node) { n.ledger.served -= 7 },
	} {
		f := one(2, 3600, Task{Instances: 4, Seconds: 3000, CPU: 1, Memory: 1})
		f.Machines = append(f.Machines, Machine{ID: "other", CPUs: 3, Memory: 100})
		o := quiet(policy("p", nil))
		o.tamper = func(w *world, n *node, tick int) {
			if w.name == "p" && tick == 499 && n == &w.nodes[0] {
				spoil(n)
			}
		}
		_, err := Run(context.Background(), f, o)
		var e *ConservationError
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v", want, err)
			continue
		}
		fleet := strings.HasPrefix(want, "instances")
		if e.Scenario != "p" || e.Tick != 499 || e.Node != map[bool]string{true: "", false: "m"}[fleet] || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestFleetOfTheGeneratorConserves(t *testing.T) {
	// Tight in CPU and memory, so that all paths are taken: the run itself is
	// the check, and it must have had something to check.
	f := generate(t, Shape{Seed: 5, Nodes: 3, Hours: 2, LS: 0.45, Request: 0.9, BE: 0.9})
	for i := range f.Machines {
		f.Machines[i].Memory = 6
	}
	for i := range f.Services {
		s := &f.Services[i]
		f.Machines[s.Machine].Memory += s.Memory * float64(s.Mem[0]) / Full
		for k := range s.Mem {
			s.Mem[k] -= uint16(k / 30 % 2 * 2000) // half an hour more, half an hour less
		}
	}
	r := run(t, f, Options{Policies: []Contender{policy("p", nil)}, Seed: 5, BurstFactor: 6})
	bare, p := r.find(t, Unprotected), r.find(t, "p")
	if p.BE.Evicted == 0 || bare.LS.Lost == 0 || p.BE.Capped == 0 || p.BE.Waiting == 0 {
		t.Errorf("not all was tried: %+v %+v", bare.LS, p.BE)
	}
	if sum := p.BE.Done + p.BE.Running + p.BE.Waiting; sum != p.BE.Arrived {
		t.Errorf("%d instances arrived, %d are somewhere", p.BE.Arrived, sum)
	}
}
