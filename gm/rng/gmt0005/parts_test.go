package gmt0005

import (
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"strings"
	"testing"
)

// Longest runs: their probabilities are what counting gives.
func TestRunClasses(t *testing.T) {
	for _, c := range runClasses {
		below := func(most int) float64 { // how probable it is that no run is longer
			p := make([]float64, c.m+1)
			for n := range p {
				switch {
				case n <= most:
					p[n] = 1
				case n == most+1:
					p[n] = 1 - math.Exp2(-float64(n))
				default:
					p[n] = p[n-1] - p[n-most-2]*math.Exp2(-float64(most+2))
				}
			}
			return p[c.m]
		}
		before := 0.0
		for i, of := range c.of {
			now := 1.0
			if i < len(c.of)-1 {
				now = below(c.least + i)
			}
			if math.Abs(now-before-of) > 1e-4 {
				t.Errorf("blocks of %d: class %d is %.6f, table says %.6f", c.m, i, now-before, of)
			}
			before = now
		}
	}
}

func TestIgamc(t *testing.T) {
	for _, c := range []struct{ a, x, want float64 }{
		{1, 1, math.Exp(-1)}, {1, 0, 1}, {1, -3, 1}, {2, 3, 4 * math.Exp(-3)}, {0.5, 2, math.Erfc(math.Sqrt2)}, {0.5, 0.01, math.Erfc(0.1)},
		{3, 2.5, math.Exp(-2.5) * (1 + 2.5 + 3.125)}, {1, 700, math.Exp(-700)}, {1, 2000, 0}, {50, math.Inf(1), 0},
		{1.5, 0.5, 0.8012519569}, // a chi-square table's
	} {
		if got := igamc(c.a, c.x); math.Abs(got-c.want) > 1e-7*max(c.want, 1e-300) {
			t.Errorf("igamc(%v, %v) = %.10g, want %.10g", c.a, c.x, got, c.want)
		}
	}
	// For whole a it is a sum of Poisson's; both expansions meet where they change over.
	for _, a := range []float64{1, 2, 7, 64, 512, 5000} {
		for _, x := range []float64{a / 3, a * 0.9, a, a + 1, a + 1.001, a * 1.2, a * 2} {
			sum := 0.0
			for k := range int(a) {
				g, _ := math.Lgamma(float64(k + 1))
				sum += math.Exp(float64(k)*math.Log(x) - x - g)
			}
			if got := igamc(a, x); math.Abs(got-sum) > 1e-9 {
				t.Errorf("igamc(%v, %v) = %v, want %v", a, x, got, sum)
			}
		}
	}
	// For halves it goes up from erfc.
	for _, x := range []float64{0.1, 1, 4.5, 20, 60} {
		want := math.Erfc(math.Sqrt(x))
		for a := 0.5; a < 100; a++ {
			if got := igamc(a, x); math.Abs(got-want) > 1e-12 {
				t.Errorf("igamc(%v, %v) = %v, want %v", a, x, got, want)
			}
			g, _ := math.Lgamma(a + 1)
			want += math.Exp(a*math.Log(x) - x - g)
		}
	}
	for _, bad := range []float64{0, -1, math.NaN()} {
		if !math.IsNaN(igamc(bad, 1)) {
			t.Errorf("igamc(%v, 1) is a number", bad)
		}
	}
}

func random(seed uint64, n int) *Bits {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n/8+1)
	_, _ = r.Read(b)
	return NewBits(b, n)
}

// Spectra of all kinds of lengths are what the definition gives.
func TestTransform(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 20, 25, 49, 60, 100, 121, 200, 400, 500, 1000} {
		s := random(uint64(n), n)
		value := func(i int) complex128 { return complex(2*float64(s.at(i))-1, float64(i%3)) }
		got, want := transform(n, value), make([]complex128, n)
		count := 0
		for k := range n {
			var real complex128
			for i := range n {
				w := cmplx.Exp(complex(0, -2*math.Pi*float64(i*k%n)/float64(n)))
				want[k] += value(i) * w
				real += complex(2*float64(s.at(i))-1, 0) * w
			}
			if cmplx.Abs(got[k]-want[k]) > 1e-9 {
				t.Fatalf("%d values: line %d is %v, want %v", n, k, got[k], want[k])
			}
			if k < n/2 && cmplx.Abs(real) < math.Sqrt(2.995732274*float64(n)) {
				count++
			}
		}
		if low := s.low(); n > 1 && low != count {
			t.Errorf("%d bits: %d lines are low, want %d", n, low, count)
		}
	}
	// A table in two parts.
	const n = 1 << 15
	r := newRoots(n)
	for k := 0; k < n; k += 7 {
		if want := cmplx.Exp(complex(0, -2*math.Pi*float64(k)/n)); cmplx.Abs(r.at(k)-want) > 1e-14 {
			t.Fatalf("root %d is %v, want %v", k, r.at(k), want)
		}
	}
}

// plain is a sample as a slice of bits.
func plain(s *Bits) (b []int) {
	for i := range s.n {
		b = append(b, int(s.at(i)))
	}
	return b
}

// Berlekamp-Massey, bit by bit, as Menezes, van Oorschot and Vanstone have it (6.30).
func slowComplexity(s []int) (length int) {
	n := len(s)
	c, b, last := make([]int, n+1), make([]int, n+1), -1
	c[0], b[0] = 1, 1
	for k := range n {
		d := 0
		for j := 0; j <= length; j++ {
			d ^= c[j] & s[k-j]
		}
		if d == 0 {
			continue
		}
		before := append([]int(nil), c...)
		for j := 0; j+k-last <= n; j++ {
			c[j+k-last] ^= b[j]
		}
		if length <= k/2 {
			length, last, b = k+1-length, k, before
		}
	}
	return length
}

// What is done 64 bits at a time is what is done bit by bit.
func TestWords(t *testing.T) {
	if got := newRegister(13).shortest(parse("1101011110001"), 0, 13); got != 4 {
		t.Errorf("linear complexity of SP 800-22, 2.10.4: %d, want 4", got)
	}
	for _, n := range []int{100, 127, 128, 129, 191, 192, 500, 1000} {
		s := random(uint64(n), n)
		b := plain(s)
		r := newRegister(n)
		for from := range 3 {
			for _, m := range []int{1, 2, 63, 64, 65, 97} {
				if got, want := r.shortest(s, from, m), slowComplexity(b[from:from+m]); got != want {
					t.Fatalf("complexity of %d bits from %d: %d, want %d", m, from, got, want)
				}
			}
		}
		if got, want := r.shortest(s, 0, n), slowComplexity(b); got != want {
			t.Fatalf("complexity of %d bits: %d, want %d", n, got, want)
		}
		for _, d := range []int{1, 2, 8, 16, 63, 64, 65} {
			want := 0
			for i := range n - d {
				want += b[i] ^ b[i+d]
			}
			if got := s.differ(d); got != want {
				t.Fatalf("%d of %d bits differ from those %d later, want %d", got, n, d, want)
			}
		}
		var back []int
		s.runs(0, n, func(bit uint64, length int) {
			for range length {
				back = append(back, int(bit))
			}
		})
		if fmt.Sprint(back) != fmt.Sprint(b) {
			t.Fatalf("runs of %d bits are not the bits", n)
		}
		count := make([]int, 32)
		for i := range n {
			v := 0
			for j := range 5 {
				v = v<<1 | b[(i+j)%n]
			}
			count[v]++
		}
		if got := s.patterns(5); fmt.Sprint(got) != fmt.Sprint(count) {
			t.Fatalf("pieces of %d bits: %v, want %v", n, got, count)
		}
		d := b
		for range 7 {
			for i := range len(d) - 1 {
				d[i] ^= d[i+1]
			}
			d = d[:len(d)-1]
		}
		ones := strings.Count(fmt.Sprint(d), "1")
		if got, want := s.Derivation(7), twoSided(float64(2*ones-len(d))/math.Sqrt(float64(len(d)))); got != want {
			t.Fatalf("derivation of %d bits: %v, want %v", n, got, want)
		}
	}
}
