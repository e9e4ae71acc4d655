package sim

import "math"

// servers is a queue of c servers, M/M/c, with what does not change worked out
// beforehand. Times are in units of the mean service time.
type servers struct {
	c        float64
	exponent float64 // of ρ in the chance of waiting: √(2(c+1)) − 1
	quiet    float64 // below this ρ fewer than 1 % wait
}

func newServers(c float64) servers {
	e := math.Sqrt(2*(c+1)) - 1
	return servers{c: c, exponent: e, quiet: math.Pow(0.01, 1/e)}
}

// waits is the chance of finding all servers busy at load rho, by Sakasegawa.
func (s servers) waits(rho float64) float64 {
	if rho >= 1 {
		return 1
	}
	return math.Pow(max(rho, 0), s.exponent)
}

// most bounds ρ in wait99: nearer to 1 the queue has no time to settle within a
// tick, and what piles up meanwhile is in the backlog.
const most = 0.995

// wait99 is the p99 of the wait at load rho. The wait of those who wait is
// exponential with mean 1/(c(1−ρ)).
func (s servers) wait99(rho float64) float64 {
	if rho < s.quiet {
		return 0
	}
	rho = min(rho, most)
	return log100(s.waits(rho)) / (s.c * (1 - rho))
}

// overrun is the chance that requests of exponential length, mean s, at random
// times and of a mean demand of d core-seconds a period ask for more than have
// in one: a normal tail, the variance of a compound Poisson sum being 2·d·s.
func overrun(d, have, s float64) float64 {
	gap, variance := have-d, 2*d*s
	if gap*gap >= 16*variance { // four deviations
		if gap >= 0 {
			return 0
		}
		return 1
	}
	return 0.5 * math.Erfc(gap/math.Sqrt(2*variance))
}

// fits is the largest demand in a period of which overrun says that it never asks
// for more than have: d + 4·√(2·d·s) = have.
func fits(have, s float64) float64 {
	b := 2 * math.Sqrt(2*s)
	root := math.Sqrt(b*b+have) - b
	return root * root
}

// ln100 is the p99 of an exponential distribution in units of its mean.
const ln100 = 4.605170185988092

// log100 is ln(100·p), by which an exponential wait that only the share p has
// reaches its p99; below 0 where fewer than 1 % wait.
func log100(p float64) float64 {
	if p <= 0.01 {
		return 0
	}
	return math.Log(100 * p)
}
