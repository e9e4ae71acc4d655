package lanes

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

// scalars are from 1 to n-1, with those at the edges among them.
func scalars(r *rand.Rand, n int) (out []Words) {
	of := number(order)
	for i := range n {
		var w Words
		for i := range w {
			w[i] = r.Uint64()
		}
		v := number(w)
		switch i % 8 {
		case 0:
			v.SetInt64(int64(1 + r.IntN(40)))
		case 1:
			v.Sub(of, big.NewInt(int64(1+r.IntN(40))))
		case 2:
			v.Rsh(v, uint(r.IntN(255)))
		case 3:
			v.Lsh(v, uint(r.IntN(255)))
		}
		if v.Mod(v, of).Sign() == 0 {
			v.SetInt64(1)
		}
		out = append(out, words(v))
	}
	return out
}

func baseX(k Words) *big.Int {
	x, _ := sm2.P256().ScalarBaseMult(number(k).Bytes()) //nolint:staticcheck // a point by its number
	return x
}

func TestBaseMult(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range scalars(r, 2000) {
		if got, want := number(BaseMult(&k)), baseX(k); got.Cmp(want) != 0 {
			t.Fatalf("%x G is at %x, want %x", number(k), got, want)
		}
	}
}

func TestBaseMultMany(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 200 {
		k := scalars(r, Lanes*(1+i%2))
		out := make([]Words, len(k))
		BaseMultMany(out, k)
		for l, got := range out {
			if want := baseX(k[l]); number(got).Cmp(want) != 0 {
				t.Fatalf("lane %d: %x G is at %x, want %x", l, number(k[l]), number(got), want)
			}
		}
	}
}

func BenchmarkBaseMult(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	k := scalars(r, 16)
	out := make([]Words, 16)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			BaseMult(&k[6])
		}
	})
	b.Run("many", func(b *testing.B) {
		for b.Loop() {
			BaseMultMany(out, k)
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			NewTable(&generatorX, &generatorY)
		}
	})
}
