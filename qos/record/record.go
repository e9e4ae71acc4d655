// Package record is the format of what `anole qos record` writes: everything
// that the controllers looked at, and what they decided, so that a replay shows
// what another policy would have decided.
//
// A recording is a text of JSON values, one a line, compressed by zstd where the
// file's name ends in .zst. The first line holds a header; each other line holds
// one of join, leave, policy and step. A workload joins before the first step
// that speaks of it and joins again when what is known of it changes. Times are
// in nanoseconds since the header's start, CPU use in cores. A value that was
// not known is absent.
package record

import (
	"encoding/json"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/workload"
)

// Version of the format.
const Version = 1

// Line is one line; exactly one of its fields is set.
type Line struct {
	Header *Header `json:"header,omitempty"`
	Join   *Join   `json:"join,omitempty"`
	Leave  uint64  `json:"leave,omitempty"`  // inode of a workload that went away
	Policy string  `json:"policy,omitempty"` // YAML, another one from here on
	Step   *Step   `json:"step,omitempty"`
}

// Header says where and by what the recording was made.
type Header struct {
	Version int       `json:"anole_record"`
	Start   time.Time `json:"start"`
	Node    string    `json:"node"`
	Kernel  string    `json:"kernel"`
	Cgroup  string    `json:"cgroup"`
	CPUs    float64   `json:"cpus"`
	// Limits is what the node's kernel takes as a burst, Mechanism how
	// best-effort work yields there, and NoLimit that it can limit no CPU use.
	Limits    burst.Limits `json:"limits"`
	Mechanism string       `json:"mechanism"`
	NoLimit   bool         `json:"no_limit,omitempty"`
	Policy    string       `json:"policy"` // YAML, in force at the start
	// State is what the suppressor had come to by then.
	State control.State `json:"state"`
}

// Join says that a workload is there, or that more is known of it.
type Join struct {
	Workload workload.Workload `json:"workload"`           // its Ino names it in all other lines
	Programs []string          `json:"programs,omitempty"` // paths of what its processes run
	Asked    string            `json:"asked,omitempty"`    // burst that the workload itself asked for
	Learned  int64             `json:"learned,omitempty"`  // burst that was learned of it so far, ns
	Share    float64           `json:"share,omitempty"`    // its part of the cap in force, cores
}

// Step is one look at the node: signals of the interval that ended, and what was
// decided on them.
type Step struct {
	At       int64    `json:"t"`
	Dt       int64    `json:"dt"`
	Busy     *float64 `json:"busy,omitempty"`     // cores
	Steal    *float64 `json:"steal,omitempty"`    // cores
	Pressure *float64 `json:"pressure,omitempty"` // share of time
	// RunQueue is set where the run queue is measured.
	RunQueue *RunQueue `json:"runq,omitempty"`
	// CPI is set where cycles per instruction are known.
	CPI *CPI `json:"cpi,omitempty"`
	// Slow are services of workloads that have joined whose requests take longer
	// than usual.
	Slow []Slow `json:"slow,omitempty"`
	// Samples are of the workloads that were read in this interval, and of those
	// for whom anything was decided.
	Samples []Sample `json:"w,omitempty"`
	// Looks are what the other controllers looked at and decided in this interval.
	Looks []Look `json:"looks,omitempty"`

	Cap    *float64 `json:"cap,omitempty"`    // decided: cores, absent without a cap
	Why    string   `json:"why,omitempty"`    // when the cap moved
	Grants []uint64 `json:"grants,omitempty"` // inodes
}

// Look is one step of a controller beside the CPU's.
type Look struct {
	Controller string          `json:"c"`   // such as io
	Of         string          `json:"of"`  // what it is about, such as a disk
	In         json.RawMessage `json:"in"`  // the sample, in the controller's own words
	Out        json.RawMessage `json:"out"` // what was decided
}

// RunQueue is how long latency-sensitive threads waited behind best-effort work.
type RunQueue struct {
	P99 int64  `json:"p99"` // ns
	N   uint64 `json:"n"`   // waits that it is of; 0 decides nothing
}

// CPI is the latency-sensitive workload whose cycles per instruction exceed the
// most that is usual by the largest factor.
type CPI struct {
	Factor float64 `json:"f"`
	Of     string  `json:"of"`
}

// Slow is a service whose requests take longer than usual, for a cause that other
// work on the node can be.
type Slow struct {
	Ino   uint64 `json:"i"` // of its workload
	ID    string `json:"id"`
	Of    string `json:"of"`  // its name for people
	P99   int64  `json:"p99"` // ns
	Usual int64  `json:"usual"`
	Cause string `json:"cause"`
}

// Sample is one workload's part of a Step.
type Sample struct {
	Ino       uint64   `json:"i"`
	Fresh     bool     `json:"f,omitempty"` // read in this interval
	Used      float64  `json:"u,omitempty"` // cores
	Delta     int64    `json:"d,omitempty"` // CPU time, ns
	Periods   uint64   `json:"p,omitempty"`
	Throttled uint64   `json:"th,omitempty"`
	Stalled   int64    `json:"st,omitempty"` // ns
	Limit     *float64 `json:"l,omitempty"`  // its own limit, when it is first seen or changes; 0 is none
	Spinner   int      `json:"sp,omitempty"`
	SpinUse   float64  `json:"su,omitempty"`

	Share  float64 `json:"s,omitempty"`  // decided: part of the cap, cores
	Plan   *Plan   `json:"b,omitempty"`  // decided: a new burst plan
	InLane bool    `json:"in,omitempty"` // decided: in the real-time lane
}

// Plan is a CPU limit with its bank, in µs.
type Plan struct {
	Period int64 `json:"period"`
	Quota  int64 `json:"quota"`
	Burst  int64 `json:"burst"`
}
