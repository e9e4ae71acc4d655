package detect

import "math"

// quantile gives the standard normal deviation over which a share p lies; ±37 at
// most, where float64 ends.
func quantile(p float64) float64 {
	switch {
	case p <= 1e-300:
		return 37
	case p >= 1:
		return -37
	}
	return math.Sqrt2 * math.Erfcinv(2*p)
}

// binomialTail is the chance of k or more of n at a rate p each.
func binomialTail(k, n uint64, p float64) float64 {
	if k == 0 || p >= 1 {
		return 1
	}
	if k > n || p <= 0 {
		return 0
	}
	mean := float64(n) * p
	if float64(k) <= mean {
		return 1 - belowTail(k, n, p)
	}
	term := math.Exp(logChoose(n, k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	odds, sum := p/(1-p), 0.0
	for i := k; term > sum*1e-12; i++ {
		sum += term
		if i == n {
			break
		}
		term *= float64(n-i) / float64(i+1) * odds
	}
	return min(1, sum)
}

// belowTail is the chance of less than k, where k is not over the mean.
func belowTail(k, n uint64, p float64) float64 {
	i := k - 1
	term := math.Exp(logChoose(n, i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	odds, sum := (1-p)/p, 0.0
	for term > sum*1e-12 {
		sum += term
		if i == 0 {
			break
		}
		term *= float64(i) / float64(n-i+1) * odds
		i--
	}
	return min(1, sum)
}

func logChoose(n, k uint64) float64 { return logFactorial(n) - logFactorial(k) - logFactorial(n-k) }

func logFactorial(n uint64) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}
