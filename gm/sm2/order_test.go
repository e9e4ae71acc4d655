package sm2

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func number(w words) *big.Int {
	var b [32]byte
	putBytes(b[:], &w)
	return new(big.Int).SetBytes(b[:])
}

func wordsOfInt(v *big.Int) words { return wordsOf(v.FillBytes(make([]byte, 32))) }

func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	n := number(order)
	if Curve().Params().N.Cmp(n) != 0 {
		t.Fatal("the order is another")
	}
	two256 := new(big.Int).Lsh(big.NewInt(1), 256)
	some := func() *big.Int {
		v := number(words{r.Uint64(), r.Uint64(), r.Uint64(), r.Uint64()})
		switch r.IntN(6) {
		case 0:
			v.SetInt64(int64(r.IntN(3)))
		case 1:
			v.Sub(n, big.NewInt(int64(1+r.IntN(3))))
		}
		return v.Mod(v, n)
	}
	for range 5000 {
		a, b := some(), some()
		x, y := wordsOfInt(a), wordsOfInt(b)
		for name, c := range map[string]struct {
			got  words
			want *big.Int
		}{
			"+": {addOrder(&x, &y), new(big.Int).Add(a, b)},
			"-": {subOrder(&x, &y), new(big.Int).Sub(a, b)},
			"·": {mulOrder(&x, &y), new(big.Int).Mul(new(big.Int).Mul(a, b), new(big.Int).ModInverse(two256, n))},
		} {
			if c.want.Mod(c.want, n); number(c.got).Cmp(c.want) != 0 {
				t.Fatalf("%x %s %x: %x, want %x", a, name, b, c.got, c.want)
			}
		}
		if less(&x, &y) != (a.Cmp(b) < 0) || isZero(&x) != (a.Sign() == 0) {
			t.Fatalf("%x and %x are not compared rightly", a, b)
		}
		if a.Sign() > 0 && r.IntN(10) == 0 {
			i := inverseOrder(&x)
			if p := mulOrder(&i, &x); p != (words{1}) {
				t.Fatalf("1/%x is not its inverse: %x", a, p)
			}
		}
	}
}
