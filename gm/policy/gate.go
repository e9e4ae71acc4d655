package policy

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Gate is a policy in force: it may be replaced while it is asked, and counts what it
// denies. The zero value has DefaultConfig. It is safe for concurrent use.
type Gate struct {
	policy atomic.Pointer[Policy]
	mu     sync.Mutex
	denied map[Denial]uint64 // with Count 0
}

// Denial is how often an operation with an algorithm was denied.
type Denial struct {
	Op    Op     `json:"op"`  // "other" where it is not known
	Alg   Alg    `json:"alg"` // likewise
	Count uint64 `json:"count"`
}

// other stands for names that are not known, so that those who ask cannot make labels up.
const other = "other"

// Set puts a policy in force.
func (g *Gate) Set(p *Policy) { g.policy.Store(p) }

var byDefault = &Policy{DefaultConfig()}

// Policy is the one in force.
func (g *Gate) Policy() *Policy {
	if p := g.policy.Load(); p != nil {
		return p
	}
	return byDefault
}

// Check asks the policy in force: nil or a *DeniedError.
func (g *Gate) Check(op Op, alg Alg, params Params) error {
	err := g.Policy().Check(op, alg, params)
	if err != nil {
		g.count(op, alg)
	}
	return err
}

func (g *Gate) count(op Op, alg Alg) {
	if !slices.Contains(ops, op) {
		op = other
	}
	if _, known := properties[alg]; !known {
		alg = other
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.denied == nil {
		g.denied = map[Denial]uint64{}
	}
	g.denied[Denial{Op: op, Alg: alg}]++
}

// Denials are the counts so far, by operation and algorithm in alphabetical order.
func (g *Gate) Denials() (all []Denial) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for d, n := range g.denied {
		all = append(all, Denial{d.Op, d.Alg, n})
	}
	slices.SortFunc(all, func(a, b Denial) int { return cmp.Or(cmp.Compare(a.Op, b.Op), cmp.Compare(a.Alg, b.Alg)) })
	return all
}

// Default is the gate of this process.
var Default Gate

// Check asks Default.
func Check(op Op, alg Alg, params Params) error { return Default.Check(op, alg, params) }
