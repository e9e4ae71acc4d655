package burst

import "time"

// Deepen plans a bank of the given depth for a group whose limit b somebody else set, such as a pod's above its containers. The period becomes a multiple
// of b's, so that the rate stays exactly what it is: on cgroup v1 nothing below may have a higher one, whatever way a quota is rounded. The result is the
// shallowest that is deep enough, or the deepest there is within stall (0 = no bound) and the kernel's rules.
func Deepen(b Bandwidth, depth Micros, stall time.Duration, cpus int, l Limits) Bandwidth {
	l = l.orMainline()
	if b.Quota == Unlimited || b.Period <= 0 || b.Quota <= 0 {
		return b
	}
	best, depth := b, max(0, depth)
	for m := Micros(1); m*b.Period <= l.MaxPeriod && b.Quota <= l.MaxRuntime/m; m++ {
		x := Bandwidth{Period: m * b.Period, Quota: m * b.Quota, Burst: b.Burst}
		if m > 1 && stall > 0 && x.WorstStall(cpus) > MicrosOf(stall) {
			break
		}
		if l.HasBurst {
			most := l.MaxRuntime - x.Quota
			if !l.BurstMayExceedQuota {
				most = min(most, x.Quota)
			}
			x.Burst = min(max(b.Burst, depth-x.Quota), most)
		}
		if best = x; x.Depth() >= depth {
			break
		}
	}
	return best
}
