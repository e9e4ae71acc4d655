// Package feature answers one question about a node in a form that people and
// programs can use: can this thing be had here, and if not, why not, what is
// needed, and how to get it.
//
// An answer has three values, not two. "No" is a typed *UnsupportedError and
// never changes while the kernel runs; "could not tell" is any other error (a
// permission missing to look, a file that could not be read) and must not be
// taken for a no. The idea is cilium/ebpf's feature probes.
package feature

import (
	"errors"
	"fmt"
	"strings"
)

// Reason says in one word why a node cannot do something. The set is closed:
// it is a label of a metric and a column of `anole doctor`.
type Reason string

// Reasons, most fundamental first.
const (
	NoKernel    Reason = "no_kernel"    // the running kernel lacks it
	NoHardware  Reason = "no_hardware"  // the machine lacks it
	NoPrivilege Reason = "no_privilege" // this process may not
	NoPeer      Reason = "no_peer"      // a program it works with is absent
	NotBuilt    Reason = "not_built"    // left out of this binary
	Conflict    Reason = "conflict"     // something else on the node holds it
)

// Reasons lists every Reason, in the order above.
func Reasons() []Reason {
	return []Reason{NoKernel, NoHardware, NoPrivilege, NoPeer, NotBuilt, Conflict}
}

// Meaning is a Reason as a sentence, "" for one that is not in the set.
func (r Reason) Meaning() string {
	return map[Reason]string{
		NoKernel:    "the running kernel lacks it",
		NoHardware:  "the machine lacks it",
		NoPrivilege: "this process may not",
		NoPeer:      "a program that it works with is absent",
		NotBuilt:    "it was left out of this binary",
		Conflict:    "something else on the node holds it",
	}[r]
}

// UnsupportedError says that this node cannot do Feature. It is an answer, not
// an accident: the caller goes on without the feature and shows the error.
type UnsupportedError struct {
	Feature string // what was asked for, e.g. "cpu.idle"
	Reason  Reason
	Need    string // what would be needed, e.g. "Linux 5.15 or later"
	Fix     string // how to get it, an imperative sentence; may be empty
	Err     error  // the kernel's own word, may be nil
}

func (e *UnsupportedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is not supported here (%s)", e.Feature, e.Reason)
	if e.Need != "" {
		fmt.Fprintf(&b, ": needs %s", e.Need)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.Fix != "" {
		fmt.Fprintf(&b, "; %s", e.Fix)
	}
	return b.String()
}

// Unwrap gives the kernel's own error.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, errors.ErrUnsupported) true.
func (e *UnsupportedError) Is(target error) bool { return target == errors.ErrUnsupported }
