package gmt0005

import "fmt"

// The lengths of samples for which the standard has parameters.
const (
	Short  = 20_000
	Medium = 1_000_000
	Long   = 100_000_000
)

// Test is one of the 15, with its parameters.
type Test struct {
	Name  string   // in English: the standard's is Chinese
	Param string   // "m=4"; empty where there is none
	Parts []string // names of the values, where there are two
	run   func(*Bits) []Value
}

// Run gives the values, one or, by Parts, two.
func (t Test) Run(s *Bits) []Value { return t.run(s) }

// lines is how many values there are.
func (t Test) lines() int { return max(1, len(t.Parts)) }

// one makes a test without a parameter.
func one(name string, f func(*Bits) Value) Test {
	return Test{Name: name, run: func(s *Bits) []Value { return []Value{f(s)} }}
}

// with makes a test for each value of a parameter.
func with(name, param string, f func(*Bits, int) Value, of ...int) (tests []Test) {
	for _, v := range of {
		tests = append(tests, Test{Name: name, Param: fmt.Sprintf("%s=%d", param, v), run: func(s *Bits) []Value { return []Value{f(s, v)} }})
	}
	return tests
}

// twin makes a test of two values.
func twin(name, param, first, second string, f func(*Bits) (Value, Value)) Test {
	return Test{Name: name, Param: param, Parts: []string{first, second}, run: func(s *Bits) []Value {
		a, b := f(s)
		return []Value{a, b}
	}}
}

// settings are the parameters of appendix A that differ by length.
type settings struct {
	block                                     int
	serial, derivation, lags, entropy, linear []int
	whole                                     bool // the tests that take many bits too
}

var appendixA = map[int]settings{
	Short:  {1000, []int{3, 5}, []int{3, 7}, []int{2, 8, 16}, []int{2, 5}, nil, false},
	Medium: {10_000, []int{3, 5}, []int{3, 7}, []int{1, 2, 8, 16}, []int{2, 5}, []int{500, 1000}, true},
	// Accounts of the standard differ on the m of approximate entropy here: all are taken.
	Long: {1_000_000, []int{3, 5, 7}, []int{3, 7, 15}, []int{1, 2, 8, 16, 32}, []int{2, 5, 7}, []int{5000}, true},
}

// Tests are those for samples of so many bits, in the standard's order. The error is of
// a length that the standard has no parameters for.
func Tests(bits int) ([]Test, error) {
	a, ok := appendixA[bits]
	if !ok {
		return nil, fmt.Errorf("samples of %d bits: GM/T 0005 has parameters for %d, %d and %d", bits, Short, Medium, Long)
	}
	all := []Test{one("frequency", (*Bits).Frequency)}
	all = append(all, with("block frequency", "m", (*Bits).BlockFrequency, a.block)...)
	all = append(all, with("poker", "m", (*Bits).Poker, 4, 8)...)
	for _, m := range a.serial {
		all = append(all, twin("serial", fmt.Sprintf("m=%d", m), "first", "second", func(s *Bits) (Value, Value) { return s.Serial(m) }))
	}
	all = append(all, one("runs", (*Bits).Runs), one("runs distribution", (*Bits).RunsDistribution),
		twin("longest run", fmt.Sprintf("m=%d", classFor(bits).m), "ones", "zeroes", (*Bits).LongestRun))
	all = append(all, with("binary derivation", "k", (*Bits).Derivation, a.derivation...)...)
	all = append(all, with("autocorrelation", "d", (*Bits).Autocorrelation, a.lags...)...)
	if a.whole {
		all = append(all, one("matrix rank", (*Bits).Rank))
	}
	all = append(all, twin("cumulative sums", "", "forward", "backward", (*Bits).CumulativeSums))
	all = append(all, with("approximate entropy", "m", (*Bits).ApproximateEntropy, a.entropy...)...)
	if a.whole {
		all = append(all, with("linear complexity", "m", (*Bits).LinearComplexity, a.linear...)...)
		all = append(all, one("universal", func(s *Bits) Value { return s.Universal(7, 1280) }))
	}
	return append(all, one("fourier", (*Bits).Fourier)), nil
}
