package gmt0005

import (
	"fmt"
	"math"
	"math/big"
	"sync"
	"testing"
)

// parse makes a sample of text.
func parse(s string) *Bits {
	b := make([]byte, (len(s)+7)/8)
	for i, c := range s {
		b[i/8] |= byte(c-'0') << (7 - i%8)
	}
	return NewBits(b, len(s))
}

// The sequences of GM/T 0005-2021, appendix C; the second is the first 100 bits of π.
const (
	of128 = "11001100000101010110110001001100111000000000001001001101010100010001001111010110100000001101011111001100111001101101100010110010"
	of100 = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"
)

// digitsOfE are the first 1,000,000 binary digits of e, the two before the point first.
var digitsOfE = sync.OnceValue(func() []byte {
	const more = 64
	p, q := eSeries(0, 90_000) // 90,000! has more than 1.3 million bits
	n := new(big.Int).Add(p, q)
	n.Lsh(n, Medium-2+more)
	n.Div(n, q)
	n.Rsh(n, more)
	return n.Bytes()
})

// eSeries is the sum of a!/k!, k from a+1 to b, as a fraction whose lower part is b!/a!.
func eSeries(a, b int64) (p, q *big.Int) {
	if b-a == 1 {
		return big.NewInt(1), big.NewInt(b)
	}
	m := (a + b) / 2
	p1, q1 := eSeries(a, m)
	p2, q2 := eSeries(m, b)
	return p1.Mul(p1, q2).Add(p1, p2), q1.Mul(q1, q2)
}

func eBits(n int) *Bits { return NewBits(digitsOfE(), n) }

// first and second name the values of a test that has two.
func first(f func() (Value, Value)) Value  { v, _ := f(); return v }
func second(f func() (Value, Value)) Value { _, v := f(); return v }

// GM/T 0005-2021, appendix C: P, and Q where it is known.
func TestStandard(t *testing.T) {
	a, b, e := parse(of128), parse(of100), eBits(Medium)
	for _, c := range []struct {
		name string
		got  Value
		p, q string
	}{
		{"frequency", a.Frequency(), "0.215925", "0.892038"},
		{"block frequency", b.BlockFrequency(10), "0.706438", "0.706438"},
		{"poker 4", a.Poker(4), "0.213734", "0.213734"},
		{"serial 1", first(func() (Value, Value) { return a.Serial(2) }), "0.436868", "0.436868"},
		{"serial 2", second(func() (Value, Value) { return a.Serial(2) }), "0.723674", "0.723674"},
		{"runs", a.Runs(), "0.620729", "0.310364"},
		{"runs distribution", a.RunsDistribution(), "0.970152", "0.970152"},
		{"longest run of ones", first(a.LongestRun), "0.180598", "0.180598"},
		{"longest run of zeroes", second(a.LongestRun), "0.839299", "0.839299"},
		{"binary derivation", a.Derivation(3), "0.039669", "0.980166"},
		{"autocorrelation", a.Autocorrelation(1), "0.790080", "0.395040"},
		{"rank", e.Rank(), "0.307543", "0.307543"},
		{"cumulative sums forward", first(b.CumulativeSums), "0.219194", "0.219194"},
		{"cumulative sums backward", second(b.CumulativeSums), "0.114866", "0.114866"},
		{"approximate entropy", b.ApproximateEntropy(2), "0.235301", "0.235301"},
		{"linear complexity", e.LinearComplexity(1000), "0.844721", "0.844721"},
		{"universal", e.Universal(7, 1280), "0.282568", "0.141284"},
		{"fourier", b.Fourier(), "0.654721", "0.327360"},
	} {
		if p, q := fmt.Sprintf("%.6f", c.got.P), fmt.Sprintf("%.6f", c.got.Q); p != c.p || q != c.q {
			t.Errorf("%s: P %s, Q %s, want %s, %s", c.name, p, q, c.p, c.q)
		}
	}
}

// nist makes P of NIST's Fourier test, whose variance is another, of ours.
func nist(s *Bits) float64 {
	n := float64(s.n)
	return twoSided((float64(s.low()) - 0.95*n/2) / math.Sqrt(0.95*0.05*n/4)).P
}

// NIST SP 800-22 rev. 1a: examples of the sections, and those of appendix B on the digits
// of e. Those of 2.6 are left out: they count 4 and 46 low lines where the definition gives 5
// and, as GM/T 0005's own example has it, 48.
func TestNIST(t *testing.T) {
	b, e := parse(of100), eBits(Medium)
	// Its linear complexity has one probability rounded otherwise, its longest run all.
	complexity := append([]float64{0.01047}, complexities[1:]...)
	longest := runClass{10000, 10, []float64{0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727}}
	ranks := []float64{0.2887880950866, 0.5775761901732, 0} // not rounded
	ranks[2] = 1 - ranks[0] - ranks[1]
	serial := func(s *Bits, m int) func() (Value, Value) { return func() (Value, Value) { return s.Serial(m) } }
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"2.1.4 frequency", parse("1011010101").Frequency().P, 0.527089},
		{"2.1.8 frequency", b.Frequency().P, 0.109599},
		{"2.2.4 block frequency", parse("0110011010").BlockFrequency(3).P, 0.801252},
		{"2.2.8 block frequency", b.BlockFrequency(10).P, 0.706438},
		{"2.3.4 runs", parse("1001101011").Runs().P, 0.147232},
		{"2.3.8 runs", b.Runs().P, 0.500798},
		{"2.5.8 rank", chi(fit(eBits(100_000).ranks(), ranks), 2).P, 0.532069},
		{"2.11.4 serial 1", first(serial(parse("0011011101"), 3)).P, 0.808792},
		{"2.11.4 serial 2", second(serial(parse("0011011101"), 3)).P, 0.670320},
		{"2.11.8 serial 1", first(serial(e, 2)).P, 0.843764},
		{"2.11.8 serial 2", second(serial(e, 2)).P, 0.561915},
		{"2.12.4 approximate entropy", parse("0100110101").ApproximateEntropy(3).P, 0.261961},
		{"2.12.8 approximate entropy", b.ApproximateEntropy(2).P, 0.235301},
		{"2.13.4 cumulative sums", first(parse("1011010111").CumulativeSums).P, 0.4116588},
		{"2.13.8 forward", first(b.CumulativeSums).P, 0.219194},
		{"2.13.8 backward", second(b.CumulativeSums).P, 0.114866},
		{"2.10.8 linear complexity", e.linearComplexity(1000, complexity).P, 0.845406},
		{"e frequency", e.Frequency().P, 0.953749},
		{"e block frequency", e.BlockFrequency(128).P, 0.211072},
		{"e forward", first(e.CumulativeSums).P, 0.669887},
		{"e backward", second(e.CumulativeSums).P, 0.724266},
		{"e runs", e.Runs().P, 0.561917},
		{"e longest run", first(func() (Value, Value) { return e.longestRun(longest) }).P, 0.718945},
		{"e fourier", nist(e), 0.847187},
		{"e universal", e.Universal(7, 1280).P, 0.282568},
		{"e approximate entropy", e.ApproximateEntropy(10).P, 0.700073},
		{"e linear complexity", e.linearComplexity(500, complexity).P, 0.826335},
		{"e rank", chi(fit(e.ranks(), ranks), 2).P, 0.306156},
		{"e serial", first(serial(e, 16)).P, 0.766182},
	} {
		if math.Abs(c.got-c.want) > 2e-6 {
			t.Errorf("%s: %.6f, want %.6f", c.name, c.got, c.want)
		}
	}
}
