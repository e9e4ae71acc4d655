package lanes

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func number(w Words) *big.Int {
	v := new(big.Int)
	for i := range 4 {
		v.Or(v.Lsh(v, 64), new(big.Int).SetUint64(w[3-i]))
	}
	return v
}

func words(v *big.Int) (w Words) {
	for i := range w {
		w[i] = new(big.Int).Rsh(v, uint(64*i)).Uint64()
	}
	return w
}

// some are numbers less than p, with those at the edges among them.
func some(r *rand.Rand) (e Elem, all [Lanes]*big.Int) {
	p := number(prime)
	for l := range Lanes {
		var w Words
		for i := range w {
			switch r.IntN(4) {
			case 0:
				w[i] = 0
			case 1:
				w[i] = ^uint64(0)
			default:
				w[i] = r.Uint64()
			}
		}
		all[l] = number(w)
		if r.IntN(10) == 0 {
			all[l].Sub(p, big.NewInt(int64(r.IntN(3))))
		}
		all[l].Mod(all[l], p)
		w = words(all[l])
		put(&e, l, &w)
	}
	return e, all
}

func TestField(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := number(prime)
	for range 5000 {
		a, as := some(r)
		b, bs := some(r)
		enter(&a)
		enter(&b)
		var m, q, i Elem
		mul(&m, &a, &b)
		square(&q, &m, 3)
		invert(&i, &a)
		leave(&m, &m)
		leave(&q, &q)
		leave(&i, &i)
		for l := range Lanes {
			want := new(big.Int).Mul(as[l], bs[l])
			want.Mod(want, p)
			if got := number(take(&m, l)); got.Cmp(want) != 0 {
				t.Fatalf("%x · %x is %x, want %x", as[l], bs[l], got, want)
			}
			eighth := new(big.Int).Exp(want, big.NewInt(8), p)
			if got := number(take(&q, l)); got.Cmp(eighth) != 0 {
				t.Fatalf("%x to the 8th is %x, want %x", want, got, eighth)
			}
			inverse := new(big.Int)
			if as[l].Sign() != 0 {
				inverse.ModInverse(as[l], p)
			}
			if got := number(take(&i, l)); got.Cmp(inverse) != 0 {
				t.Fatalf("1/%x is %x, want %x", as[l], got, inverse)
			}
		}
	}
}

func BenchmarkMul(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	x, _ := some(r)
	y, _ := some(r)
	var c, d Elem
	b.Run("chain", func(b *testing.B) {
		for b.Loop() {
			mul(&x, &x, &y)
		}
	})
	b.Run("free", func(b *testing.B) {
		for b.Loop() {
			mul(&c, &x, &y)
			mul(&d, &x, &y)
		}
	})
	b.Run("square", func(b *testing.B) { square(&x, &x, b.N) })
	b.Run("invert", func(b *testing.B) {
		for b.Loop() {
			invert(&c, &x)
		}
	})
	b.Run("doubleOne", func(b *testing.B) { doubleOne(&x, b.N) })
	p := new(Point)
	q := new(Affine)
	u := new(Point)
	p[0], p[1], p[2], q[0], q[1], u[0], u[1] = x, y, x, y, y, x, y
	b.Run("double", func(b *testing.B) { double(p, b.N) })
	b.Run("addAffine", func(b *testing.B) {
		for b.Loop() {
			addAffine(p, q)
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			add(p, u)
		}
	})
}
