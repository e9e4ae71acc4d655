package gmt0005

import "math"

// igamc is the upper regularized incomplete gamma function Q(a, x): the probability that
// a chi-square variable of 2a degrees of freedom is more than 2x. It is 1 for x <= 0, and
// NaN for a <= 0.
func igamc(a, x float64) float64 {
	switch {
	case math.IsNaN(a) || math.IsNaN(x) || a <= 0:
		return math.NaN()
	case x <= 0:
		return 1
	case math.IsInf(x, 1):
		return 0
	case x < a+1:
		return max(0, 1-lowerSeries(a, x))
	}
	return min(1, upperFraction(a, x))
}

// scale is x^a e^-x / Γ(a).
func scale(a, x float64) float64 {
	g, _ := math.Lgamma(a)
	return math.Exp(a*math.Log(x) - x - g)
}

// enough is more steps than either expansion takes: they go with the root of a.
func enough(a float64) int { return 1000 + int(min(20*math.Sqrt(a), 1e7)) }

// lowerSeries is P(a, x) by its power series (Abramowitz and Stegun, 6.5.29).
func lowerSeries(a, x float64) float64 {
	term := 1 / a
	sum := term
	for k := range enough(a) {
		term *= x / (a + float64(k) + 1)
		sum += term
		if term < sum*1e-17 {
			break
		}
	}
	return sum * scale(a, x)
}

// upperFraction is Q(a, x) by its continued fraction (Abramowitz and Stegun, 6.5.31),
// evaluated from the front by Lentz' method.
func upperFraction(a, x float64) float64 {
	const tiny = 1e-300
	b := x + 1 - a
	c, d := 1/tiny, 1/b
	h := d
	for k := 1; k < enough(a); k++ {
		an := -float64(k) * (float64(k) - a)
		b += 2
		if d = an*d + b; math.Abs(d) < tiny {
			d = tiny
		}
		if c = b + an/c; math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		h *= d * c
		if math.Abs(d*c-1) < 1e-16 {
			break
		}
	}
	return h * scale(a, x)
}

// Value is what a test says of a sample.
type Value struct{ P, Q float64 }

// twoSided is of a statistic that is standard normal.
func twoSided(v float64) Value {
	return Value{math.Erfc(math.Abs(v) / math.Sqrt2), math.Erfc(v/math.Sqrt2) / 2}
}

// chi is of a statistic that is chi-square distributed with so many degrees of freedom.
func chi(v, freedom float64) Value {
	p := igamc(freedom/2, v/2)
	return Value{p, p}
}

// fit is chi-square of counts against their probabilities.
func fit(count []int, of []float64) (v float64) {
	total := 0
	for _, c := range count {
		total += c
	}
	for i, c := range count {
		want := float64(total) * of[i]
		v += (float64(c) - want) * (float64(c) - want) / want
	}
	return v
}

// phi is the standard normal distribution function.
func phi(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
