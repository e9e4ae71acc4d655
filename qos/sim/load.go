package sim

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// demand is how the load of a Service moves between its samples.
type demand struct {
	// Noise is the standard deviation of a service's use around its series, as
	// a share of it; it is autocorrelated over a few ticks.
	noise float64
	// Bursts begin on the mean once in every, last a few seconds and multiply
	// the use by 1.5 to factor.
	every, factor float64
}

// load is the LS demand on one node, the same for all policies.
type load struct {
	services []Service
	at       []point
	round    []float64 // cores, of each service in each tick of a round
	held     []float64 // memory in each tick of a round
	memory   float64
	rng      rand.PCG
	d        demand
	sample   int // ticks between samples
	dt       float64
}

// point is where a service's load stands.
type point struct {
	level, slope float64 // cores, and change a tick
	noise        float64
	factor       float64
	burstEnd     int // tick
	burstNext    int
}

func newLoad(services []Service, d demand, seed uint64, id string, tick float64, sample, round int) load {
	l := load{
		services: services, at: make([]point, len(services)), round: make([]float64, len(services)*round), held: make([]float64, round),
		d: d, sample: int(math.Round(float64(sample) / tick)), dt: tick,
	}
	l.rng.Seed(seed, name64(id))
	for i := range l.at {
		l.at[i].factor = 1
		l.at[i].burstNext = l.gap()
	}
	return l
}

// name64 is the FNV-1a hash of a name: a node's stream hangs on what it is
// called, not on its place in the fleet.
func name64(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// uniform gives a number in [0, 1).
func uniform(r *rand.PCG) float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// exponential gives a number of mean 1.
func exponential(r *rand.PCG) float64 { return -math.Log(1 - uniform(r)) }

// gap is the number of ticks to the next burst.
func (l *load) gap() int {
	if !(l.d.every > 0) {
		return math.MaxInt
	}
	return 1 + int(min(exponential(&l.rng)*l.d.every/l.dt, 1e12))
}

const (
	keep  = 0.8 // of the noise stays from tick to tick
	fresh = 0.6 // √(1 − keep²)
)

// run moves on by a round of ticks; they come in order. All policies then see
// the same round, one after the other.
func (l *load) run(from, to int) {
	n := len(l.services)
	for t := from; t < to; t++ {
		l.step(t, l.round[(t-from)*n:(t-from+1)*n])
		l.held[t-from] = l.memory
	}
}

// step puts the demand in a tick into cores.
func (l *load) step(tick int, cores []float64) {
	if tick%l.sample == 0 {
		l.turn(tick / l.sample)
	}
	var draw uint64
	for i := range l.at {
		p := &l.at[i]
		if i%4 == 0 && l.d.noise > 0 {
			draw = l.rng.Uint64()
		}
		// The number of ones in 16 random bits is a binomial, near to normal,
		// with mean 8 and deviation 2.
		z := float64(bits.OnesCount16(uint16(draw>>(16*(i%4))))-8) / 2
		p.noise = keep*p.noise + fresh*l.d.noise*z
		if tick >= p.burstNext {
			l.burst(p, tick)
		}
		if tick >= p.burstEnd {
			p.factor = 1
		}
		cores[i] = max(0, p.level*(1+p.noise)*p.factor)
		p.level += p.slope
	}
}

// turn begins the stretch after a sample.
func (l *load) turn(k int) {
	l.memory = 0
	for i := range l.at {
		s := &l.services[i]
		unit := s.Request / Full
		from, to := float64(s.CPU[k])*unit, float64(s.CPU[k+1])*unit
		l.at[i].level, l.at[i].slope = from, (to-from)/float64(l.sample)
		l.memory += float64(s.Mem[k]) / Full * s.Memory
	}
}

// burst begins one: of 1 to some 8 s, and not shorter than a tick.
func (l *load) burst(p *point, tick int) {
	p.factor = 1.5 + (l.d.factor-1.5)*uniform(&l.rng)
	long := 1 + int(min(8, 2*exponential(&l.rng))/l.dt)
	p.burstEnd = tick + long
	p.burstNext = p.burstEnd + l.gap()
}
