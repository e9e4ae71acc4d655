package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Arrival names the process that spaces requests.
type Arrival string

// The arrival processes.
const (
	Poisson Arrival = "poisson" // exponential gaps; the default
	Uniform Arrival = "uniform" // equal gaps
	Batch   Arrival = "batch"   // groups of equal size, exponential gaps between groups
)

// Step changes the rate at a time counted from the start of the run (warm-up
// included).
type Step struct {
	At   time.Duration `json:"at_ns"`
	Rate float64       `json:"rate"` // requests per second, 0 pauses
}

// maxRate bounds requests per second: beyond it the generator is not the
// right tool, and gaps fall under a microsecond.
const maxRate = 1e6

// Schedule yields intended arrival times. It is a pure function of its
// options and seed. Not safe for concurrent use.
type Schedule struct {
	arrival Arrival
	batch   int
	rng     *rand.Rand
	rates   []float64 // per segment, in groups per second
	until   []float64 // end of each segment but the last, seconds

	now     float64 // seconds
	segment int
	left    int // members of the current group still to hand out
}

// NewSchedule returns the arrivals of o: Rate, Steps, Arrival, BatchSize and
// Seed are used. It refuses rates that are negative, not finite, above 1e6/s
// or zero throughout, and steps that are not in ascending order.
func NewSchedule(o GenOptions) (*Schedule, error) {
	s := &Schedule{arrival: o.Arrival, batch: 1, rng: rand.New(rand.NewPCG(o.Seed, 0x616e6f6c65))}
	switch o.Arrival {
	case "":
		s.arrival = Poisson
	case Poisson, Uniform:
	case Batch:
		if o.BatchSize < 1 {
			return nil, fmt.Errorf("schedule: batch size %d is below 1", o.BatchSize)
		}
		s.batch = o.BatchSize
	default:
		return nil, fmt.Errorf("schedule: arrival %q is not %s, %s or %s", o.Arrival, Poisson, Uniform, Batch)
	}
	if err := s.addRates(o.Rate, o.Steps); err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	return s, nil
}

func (s *Schedule) addRates(rate float64, steps []Step) error {
	highest, last := 0.0, time.Duration(0)
	for i, st := range append([]Step{{Rate: rate}}, steps...) {
		if math.IsNaN(st.Rate) || st.Rate < 0 || st.Rate > maxRate {
			return fmt.Errorf("rate %v is not in 0..%v", st.Rate, maxRate)
		}
		if i > 0 && (st.At < 0 || (i > 1 && st.At <= last)) {
			return fmt.Errorf("step at %v does not follow %v", st.At, last)
		}
		if i > 0 {
			s.until = append(s.until, st.At.Seconds())
		}
		s.rates = append(s.rates, st.Rate/float64(s.batch))
		highest, last = max(highest, st.Rate), st.At
	}
	if highest == 0 {
		return fmt.Errorf("every rate is zero")
	}
	return nil
}

// Next returns the next intended arrival, counted from the start of the run,
// and its segment: 0 for the base rate, i for Steps[i-1]. ok is false when no
// arrival will ever follow because the last rate is zero.
func (s *Schedule) Next() (at time.Duration, segment int, ok bool) {
	if s.left == 0 {
		if !s.advance() {
			return 0, 0, false
		}
		s.left = s.batch
	}
	s.left--
	return time.Duration(s.now * float64(time.Second)), s.segment, true
}

// advance moves now to the next group. Time change makes a process of
// piecewise constant rate exact: a unit-rate gap is spent at each segment's
// own rate.
func (s *Schedule) advance() bool {
	gap := 1.0
	if s.arrival != Uniform {
		gap = s.rng.ExpFloat64()
	}
	for ; s.segment < len(s.until); s.segment++ {
		room := (s.until[s.segment] - s.now) * s.rates[s.segment]
		if room > gap {
			break
		}
		gap -= room
		s.now = s.until[s.segment]
	}
	rate := s.rates[s.segment]
	if rate == 0 {
		return false
	}
	s.now += gap / rate
	return true
}
