package burst

import "time"

// MaxUse bounds the CPU time a group under b can use in any window of length t, wherever the window starts, on cpus CPUs (0 = any number).
//
// Claim. With r = Q/P < N, D = Q + B and the pool never written meanwhile,
//
//	use(T) <= min(N*T, r*T + D + Q*(1 - 2r/N))
//
// and no smaller constant holds. The last term is the price of the refill edge: a group may spend a full pool just before a refill and that refill
// just after it. For N = 2r it vanishes, leaving r*T + D; for unbounded N it is one Q. A window that starts just after a refill has no such term:
// it sees D and then floor(T/P) refills, so it uses at most r*T + D.
//
// Proof. Look at the trace and window [s, e], T = e - s, that maximise f = use - r*T. The pool is empty at e: otherwise the group could run on at N > r
// CPUs and f would grow. Let n refills fall in the window, the first at s + d with 0 <= d < P.
//
//	n = 0: use <= D, and spending it takes D/N, so f <= D - rD/N <= D + Q - 2rQ/N, because D >= Q >= rQ/N.
//	n > 0: a refill leaves at least Q in the pool, so emptying it after the last one takes Q/N: T >= d + (n-1)P + Q/N.
//	  d >= Q/N: use <= D + nQ, so f <= D + nQ - r(2Q/N + (n-1)P) = D + Q - 2rQ/N.
//	  d <  Q/N: use <= Nd before the first refill; the pool holds at most D after it and gets (n-1)Q more, so
//	            f <= (N-r)d + D - rQ/N < (N-r)Q/N + D - rQ/N = D + Q - 2rQ/N.
//
// Equality: start full, run on N CPUs with the first refill at d = Q/N (nothing is cut, the pool has room for exactly Q), until the pool is empty for
// the first time that a refill alone was spent. N*T is the machine's own bound; r >= N makes it the only one.
//
// The kernel hands the pool to CPUs in slices (sched_cfs_bandwidth_slice_us, 5 ms) and charges at ticks, so each CPU may hold one slice from before the
// window and overrun by one tick: add [Slack] for the bound on a real kernel. Each write of quota, period or burst adds one more Q.
func (b Bandwidth) MaxUse(t time.Duration, cpus int) time.Duration {
	if t <= 0 {
		return 0
	}
	machine := machineUse(t, cpus)
	if b.Quota == Unlimited {
		return machine
	}
	if cpus > 0 && b.Quota >= mulDiv(b.Period, Micros(cpus), 1) {
		return machine
	}
	// r*T in ns, rounded up: Q*T/P.
	steady := time.Duration(mulDiv(b.Quota, Micros(t), b.Period)) + 1
	return min(machine, addSat(steady, (b.Depth()+b.EdgeUse(cpus)).Duration()))
}

func machineUse(t time.Duration, cpus int) time.Duration {
	if cpus <= 0 {
		return 1<<63 - 1
	}
	return time.Duration(mulDiv(Micros(t), Micros(cpus), 1))
}

func addSat(a, b time.Duration) time.Duration {
	if b > 0 && a > 1<<63-1-b {
		return 1<<63 - 1
	}
	return a + b
}

// EdgeUse is the refill-edge term Q*(1 - 2r/N) of [Bandwidth.MaxUse], rounded up; it is negative where the group can use fewer than 2r CPUs.
func (b Bandwidth) EdgeUse(cpus int) Micros {
	if cpus <= 0 {
		return b.Quota
	}
	return b.Quota - mulDiv(b.Quota, 2*b.Quota, b.Period*Micros(cpus))
}

// WorstStall is the longest a group under b can wait with an empty pool: after a refill it holds at least Q, which N CPUs spend in Q/N, so the wait for
// the next refill is at most P - Q/N (P for an unknown number of CPUs).
func (b Bandwidth) WorstStall(cpus int) Micros {
	if b.Quota == Unlimited {
		return 0
	}
	if cpus <= 0 {
		return b.Period
	}
	return max(0, b.Period-b.Quota/Micros(cpus))
}

// CoversPeak reports whether a group whose demand never exceeds r*t + peak in any window is never throttled under b: a window holds at least T/P - 1
// refills, so the pool must give peak + Q, which is B >= peak. [Auto] measures peak.
func (b Bandwidth) CoversPeak(peak Micros) bool { return b.Quota == Unlimited || b.Burst >= peak }

// Slack is what cpus CPUs may use beyond [Bandwidth.MaxUse] on a real kernel, from slices held and ticks overrun.
func Slack(cpus int, slice, tick time.Duration) time.Duration {
	return time.Duration(max(cpus, 0)) * (slice + tick)
}
