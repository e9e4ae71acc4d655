package lanes

import (
	"math/rand/v2"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/internal/dudect"
	"github.com/anole-os/anole/gm/internal/impl"
	"github.com/anole-os/anole/internal/testkit"
)

var product Words

// Multiples of G take as long for scalars of few and of many bits as for others.
func TestTime(t *testing.T) {
	if impl.Available()[0] < impl.AVX512 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "SM2 with AVX-512", Reason: feature.NoHardware, Need: "a processor with AVX-512"})
	}
	var random [dudect.Inputs]Words
	for i := range random {
		for j := range random[i] {
			random[i][j] = rand.Uint64()
		}
		random[i][3] >>= 1 // less than n
	}
	for name, fixed := range map[string]Words{
		"1":         {1},
		"2^254":     {3: 1 << 62},
		"2^252 - 1": {^uint64(0), ^uint64(0), ^uint64(0), 1<<60 - 1},
		"n - 1":     {order[0] - 1, order[1], order[2], order[3]},
	} {
		var k Words
		dudect.Constant(t, dudect.Case{Name: "BaseMult, " + name, Run: func() { product = BaseMult(&k) }, Load: func(class, i int) {
			if k = fixed; class == dudect.Random {
				k = random[i]
			}
		}})
		var many, out [2 * Lanes]Words
		dudect.Constant(t, dudect.Case{Name: "BaseMultMany, " + name, Run: func() { BaseMultMany(out[:], many[:]) }, Load: func(class, i int) {
			for l := range many {
				if many[l] = fixed; class == dudect.Random {
					many[l] = random[(i+l)%dudect.Inputs]
				}
			}
		}})
	}
}
