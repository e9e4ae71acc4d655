package sm2

import (
	"encoding/binary"
	"math/bits"
)

// words are 256 bits, the least word first.
type words = [4]uint64

// Arithmetic modulo the order of the curve, in constant time. A product is Montgomery's,
// to 2^256.
var (
	order        = words{0x53bbf40939d54123, 0x7203df6b21c6052b, 0xffffffffffffffff, 0xfffffffeffffffff}
	orderSquared = words{0x901192af7c114f20, 0x3464504ade6fa2fa, 0x620fc84c3affe0d4, 0x1eb5e412a22b3d3b} // 2^512 mod n
)

const orderInverse = 0x327f9e8872350975 // -1/n mod 2^64

// wordsOf are of 32 bytes, the highest first.
func wordsOf(b []byte) (w words) {
	for i := range w {
		w[i] = binary.BigEndian.Uint64(b[24-8*i:])
	}
	return w
}

func putBytes(b []byte, w *words) {
	for i, v := range w {
		binary.BigEndian.PutUint64(b[24-8*i:], v)
	}
}

func isZero(w *words) bool { return w[0]|w[1]|w[2]|w[3] == 0 }

// less says whether a is below b; it takes the same time for all.
func less(a, b *words) bool {
	var borrow uint64
	for i := range a {
		_, borrow = bits.Sub64(a[i], b[i], borrow)
	}
	return borrow == 1
}

// inRange says whether a is from 1 to n-1.
func inRange(a *words) bool { return !isZero(a) && less(a, &order) }

// reduced is a, less than 2n with its carry, modulo n.
func reduced(a *words, carry uint64) (r words) {
	var b uint64
	for i := range a {
		r[i], b = bits.Sub64(a[i], order[i], b)
	}
	_, b = bits.Sub64(carry, 0, b)
	keep := -b
	for i := range r {
		r[i] = a[i]&keep | r[i]&^keep
	}
	return r
}

func addOrder(a, b *words) words {
	var s words
	var c uint64
	for i := range a {
		s[i], c = bits.Add64(a[i], b[i], c)
	}
	return reduced(&s, c)
}

func subOrder(a, b *words) words {
	var d words
	var borrow, c uint64
	for i := range a {
		d[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
	again := -borrow
	for i := range d {
		d[i], c = bits.Add64(d[i], order[i]&again, c)
	}
	return d
}

// mulOrder is a·b/2^256.
func mulOrder(a, b *words) words {
	var t [6]uint64
	for _, x := range a {
		var c uint64
		for j, y := range b {
			c, t[j] = step(x, y, t[j], c)
		}
		var over uint64
		t[4], over = bits.Add64(t[4], c, 0)
		t[5] = over
		m := t[0] * orderInverse
		c, _ = step(m, order[0], t[0], 0)
		for j := 1; j < 4; j++ {
			c, t[j-1] = step(m, order[j], t[j], c)
		}
		t[3], over = bits.Add64(t[4], c, 0)
		t[4] = t[5] + over
	}
	return reduced((*words)(t[:4]), t[4])
}

// step is x·y + a + c.
func step(x, y, a, c uint64) (hi, lo uint64) {
	hi, lo = bits.Mul64(x, y)
	var k uint64
	lo, k = bits.Add64(lo, a, 0)
	hi += k
	lo, k = bits.Add64(lo, c, 0)
	return hi + k, lo
}

// inverseOrder is 1/a, times 2^256: what mulOrder takes to divide by a. It is
// a^(n-2), the exponent of which is no secret.
func inverseOrder(a *words) words {
	base := mulOrder(a, &orderSquared)
	e := order
	e[0] -= 2
	out := base
	for i := 254; i >= 0; i-- {
		out = mulOrder(&out, &out)
		if e[i/64]>>(i%64)&1 == 1 {
			out = mulOrder(&out, &base)
		}
	}
	return out
}
