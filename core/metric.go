package core

import "time"

// Kind is a metric's type in Prometheus terms.
type Kind int

// Kinds of metrics.
const (
	Counter Kind = iota
	Gauge
	Histogram
)

// String gives the kind's name in Prometheus terms.
func (k Kind) String() string {
	return [...]string{"counter", "gauge", "histogram"}[k]
}

// Desc describes a metric family. One Desc is made once, as a package
// variable, and its pointer identifies the family. Name follows
// anole_<room>_<thing>_<unit>[_total]; label sets are closed.
type Desc struct {
	Name, Help string
	Kind       Kind
	Labels     []string
}

// Metric is one sample.
type Metric struct {
	Desc   *Desc
	Values []string // one for each of Desc.Labels; may be reused after emit returns
	Value  float64  // counter or gauge
	Hist   *Hist    // histogram
}

// Hist is a classic histogram: Counts[i] observations were ≤ Bounds[i]
// (cumulative), Count in all. With Native it is a native one too.
type Hist struct {
	Bounds    []float64
	Counts    []uint64
	Count     uint64
	Sum       float64
	Native    *Native
	Exemplars []Exemplar
}

// Native has the exponential buckets of a Prometheus native histogram: Counts[i]
// observations lay in bucket First+i, which ends at 2^((First+i)·2^-Schema), and
// ZeroCount below the first.
type Native struct {
	Schema    int32
	First     int32
	Counts    []uint64
	ZeroCount uint64
	Zero      float64 // the zero bucket ends here
}

// Exemplar is one observation, with what it can be found by.
type Exemplar struct {
	Value  float64
	Time   time.Time
	Labels map[string]string
}
