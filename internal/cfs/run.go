package cfs

import (
	"errors"
	"fmt"
)

// Tree carries out writes for Run.
type Tree interface {
	// Write makes one write.
	Write(Step) error
	// Read gives what a node has; it is asked after a refusal.
	Read(node int) (Limit, error)
	// Gone says whether an error of Read means that the group was removed.
	Gone(error) bool
}

// run is one Run.
type run struct {
	nodes []Node // Now follows the writes
	rules Rules
	tree  Tree
	aims  []aim
	old   []Limit
	new   []Limit
	errs  []error
}

// aim is what a node is to have at the end.
type aim int

const (
	asWanted aim = iota
	asBefore     // a write for it was refused, or one for a group on which it depends
	asIs         // and so was the way back
	isGone
)

// Run brings nodes to what they want by the writes of Order and leaves in Now
// what they have. It gives an error for each node that did not get there, nil
// if all did.
//
// A node whose write is refused goes back to what it had, or stays where it is
// if that is refused too; so does any other that would be above a group above
// it then. The rest goes on. One that was removed is left out. No node has more
// than the larger of old and new at any time, whatever fails.
func Run(nodes []Node, r Rules, t Tree) []error {
	x := &run{nodes: nodes, rules: r, tree: t, aims: make([]aim, len(nodes)), errs: make([]error, len(nodes))}
	for i, n := range nodes {
		x.old, x.new = append(x.old, n.Now), append(x.new, n.Want)
		if err := r.Check(n.Want); err != nil && n.Want != n.Now {
			x.fail(i, fmt.Errorf("limit %s: %w", n.Name, err))
		}
	}
	x.settle()
	// Each refusal lowers an aim, unless somebody else writes all the time.
	for range 3*len(nodes) + 1 {
		if !x.pass() {
			break
		}
		x.settle()
	}
	for i := range nodes {
		nodes[i].Want = x.new[i]
	}
	for _, err := range x.errs {
		if err != nil {
			return x.errs
		}
	}
	return nil
}

// pass makes the writes of one order and says whether another one is needed.
func (x *run) pass() (again bool) {
	for _, s := range order(x.nodes, x.rules) {
		err := x.tree.Write(s)
		if err == nil {
			x.nodes[s.Node].Now = s.To
			continue
		}
		x.refused(s.Node, err)
		return true
	}
	return false
}

// refused takes the next best aim for node i and looks where it stands. A write
// to a group that is there still was refused, whatever the error says.
func (x *run) refused(i int, err error) {
	now, rerr := x.tree.Read(i)
	if rerr != nil && x.tree.Gone(rerr) {
		x.gone(i, rerr)
		return
	}
	if x.aims[i] >= asIs {
		x.spare(i, err)
	}
	x.fail(i, err)
	switch {
	case rerr != nil:
		x.aims[i] = asIs
	case now != x.nodes[i].Now: // somebody else wrote it: theirs stays
		x.nodes[i].Now, x.aims[i] = now, asIs
	}
}

// spare lowers the aims of what is above node i, which cannot be lowered so that
// they pass.
func (x *run) spare(i int, err error) {
	for up := x.nodes[i].Parent; up >= 0; up = x.nodes[up].Parent {
		if x.aims[up] < asIs {
			x.fail(up, err)
		}
	}
}

// gone leaves a node out: it bounds nothing any more.
func (x *run) gone(i int, err error) {
	x.aims[i], x.errs[i] = isGone, err
	x.nodes[i].Now = Limit{Quota: Unlimited}
}

// fail takes the next best aim for node i. The first reason is the one to tell.
func (x *run) fail(i int, err error) {
	if x.errs[i] == nil {
		x.errs[i] = err
	}
	x.aims[i] = min(x.aims[i]+1, asIs)
}

// settle gives each node what its aim says, and takes lower aims until no node
// is above a group above it. What all have now is such a state, since the
// kernel has it.
func (x *run) settle() {
	for i := range x.nodes {
		x.set(i)
	}
	for i := 0; i < len(x.nodes); i++ {
		up := offender(x.nodes, i, x.rules)
		if up < 0 {
			continue
		}
		who, other := i, up
		if x.aims[who] >= asIs {
			who, other = other, who
		}
		if x.aims[who] >= asIs {
			continue // somebody else wrote meanwhile: let the kernel decide
		}
		x.fail(who, x.because(i, up, other))
		x.set(who)
		i = -1 // what was fine may not be now
	}
}

// because says why a node cannot have what it wants.
func (x *run) because(i, up, other int) error {
	err := &AboveError{Group: x.nodes[i].Name, Above: x.nodes[up].Name, Want: x.nodes[i].Want, Has: x.nodes[up].Want}
	if x.errs[other] == nil {
		return err
	}
	return errors.Join(err, x.errs[other])
}

func (x *run) set(i int) {
	n := &x.nodes[i]
	switch x.aims[i] {
	case asWanted:
		n.Want = x.new[i]
	case asBefore:
		n.Want = x.old[i]
	default:
		n.Want = n.Now
	}
}
