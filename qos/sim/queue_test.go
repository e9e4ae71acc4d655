package sim

import (
	"math"
	"math/rand/v2"
	"testing"
)

// erlangC is the exact chance of waiting in M/M/c.
func erlangC(c int, rho float64) float64 {
	b := 1.0 // Erlang B by its recursion
	for k := 1; k <= c; k++ {
		b = rho * float64(c) * b / (float64(k) + rho*float64(c)*b)
	}
	return b / (1 - rho*(1-b))
}

func TestWaitsNearErlang(t *testing.T) {
	for _, rho := range []float64{0.1, 0.5, 0.9, 0.99} {
		near(t, "one server is exact", newServers(1).waits(rho), rho, 1e-12)
	}
	for _, c := range []int{2, 8, 32, 96} {
		for _, rho := range []float64{0.5, 0.7, 0.8, 0.9, 0.95, 0.99} {
			near(t, "chance of waiting", newServers(float64(c)).waits(rho), erlangC(c, rho), 0.06)
		}
	}
}

// The p99 of the wait in M/M/1 is ln(100ρ)/(1−ρ).
func TestWait99OfOneServer(t *testing.T) {
	for _, rho := range []float64{0.05, 0.3, 0.8, 0.95} {
		near(t, "p99", newServers(1).wait99(rho), math.Log(100*rho)/(1-rho), 1e-9)
	}
	if w := newServers(1).wait99(0.009); w != 0 {
		t.Errorf("fewer than 1 %% wait, but their p99 is %v", w)
	}
	if a, b := newServers(8).wait99(1), newServers(8).wait99(7); a != b || math.IsInf(a, 0) {
		t.Errorf("beyond full: %v and %v", a, b)
	}
}

// overrun against drawing the requests of many periods.
func TestOverrunAgainstDraws(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const s = 0.001
	for _, c := range []struct{ d, have float64 }{{0.03, 0.03}, {0.03, 0.04}, {0.02, 0.03}, {0.05, 0.03}} {
		over := 0
		const periods = 20_000
		for range periods {
			sum := 0.0
			for at := r.ExpFloat64(); at < c.d/s; at += r.ExpFloat64() {
				sum += s * r.ExpFloat64()
			}
			if sum > c.have {
				over++
			}
		}
		near(t, "periods out of quota", overrun(c.d, c.have, s), float64(over)/periods, 0.03)
	}
	for _, have := range []float64{0.001, 0.03, 1, 10} {
		d := fits(have, s)
		if overrun(d*(1-1e-9), have, s) != 0 || overrun(d*(1+1e-6), have, s) == 0 {
			t.Errorf("of %v, %v fits", have, d)
		}
	}
	if overrun(0, 1, s) != 0 || overrun(0, 0, s) != 0 {
		t.Error("no demand runs out of quota")
	}
}
