package lanes

import (
	"math/big"
	"math/bits"
)

// Lanes are so many.
const Lanes = 8

const (
	limbBits = 52
	limbMask = 1<<limbBits - 1
)

// Elem is eight elements of the field; the limb comes before the lane.
type Elem = [5][Lanes]uint64

// Affine is x and y of eight points.
type Affine = [2]Elem

// Point is x, y and z of eight points.
type Point = [3]Elem

// Coordinates of a point.
const (
	x = iota
	y
	z
)

// Words are 256 bits, the least word first.
type Words = [4]uint64

// prime is the field's, GB/T 32918.5.
var prime = Words{0xffffffffffffffff, 0xffffffff00000000, 0xffffffffffffffff, 0xfffffffeffffffff}

// one and square are 2^260 and 2^520 mod p, in all lanes.
var one, squared = power(260), power(520)

func power(n uint) (e Elem) {
	p := new(big.Int)
	for i := range 4 {
		p.Or(p.Lsh(p, 64), new(big.Int).SetUint64(prime[3-i]))
	}
	v := new(big.Int).Lsh(big.NewInt(1), n)
	v.Mod(v, p)
	var w Words
	for i := range w {
		w[i] = new(big.Int).Rsh(v, uint(64*i)).Uint64()
	}
	for l := range Lanes {
		put(&e, l, &w)
	}
	return e
}

// put sets a lane to a number, as it is.
func put(e *Elem, lane int, w *Words) {
	e[0][lane] = w[0] & limbMask
	e[1][lane] = (w[0]>>52 | w[1]<<12) & limbMask
	e[2][lane] = (w[1]>>40 | w[2]<<24) & limbMask
	e[3][lane] = (w[2]>>28 | w[3]<<36) & limbMask
	e[4][lane] = w[3] >> 16
}

// take gives a lane's number, mod p.
func take(e *Elem, lane int) Words {
	l0, l1, l2, l3, l4 := e[0][lane], e[1][lane], e[2][lane], e[3][lane], e[4][lane]
	over := l4 >> 48 // of 2^256; the number is less than 2p
	w := Words{l0 | l1<<52, l1>>12 | l2<<40, l2>>24 | l3<<28, l3>>36 | l4<<16}
	var d Words
	var borrow uint64
	for i := range w {
		d[i], borrow = bits.Sub64(w[i], prime[i], borrow)
	}
	_, borrow = bits.Sub64(over, 0, borrow)
	keep := -borrow // all ones where it was less than p
	for i := range w {
		w[i] = w[i]&keep | d[i]&^keep
	}
	return w
}

// enter and leave change between numbers and Montgomery's form.
func enter(e *Elem) { mul(e, e, &squared) }

func leave(dst, e *Elem) {
	unit := Elem{0: {1, 1, 1, 1, 1, 1, 1, 1}}
	mul(dst, e, &unit)
}

// invert sets each lane of z to 1/a, and to 0 where a is 0: a^(p-2).
func invert(z, a *Elem) {
	var x1, x2, x4, x8, x15, x30, x32, t Elem
	run := func(dst, from *Elem, n int, by *Elem) {
		square(&t, from, n)
		mul(dst, &t, by)
	}
	x1 = *a
	run(&x2, &x1, 1, &x1)
	run(&x4, &x2, 2, &x2)
	run(&x8, &x4, 4, &x4)
	run(&x15, &x4, 2, &x2) // 6 ones
	run(&x15, &x15, 1, &x1)
	run(&x15, &x8, 7, &x15)
	run(&x30, &x15, 15, &x15)
	run(&x32, &x30, 2, &x2)
	run(z, &x30, 1, &x1) // 31 ones, and a zero
	run(z, z, 33, &x32)
	for range 3 {
		run(z, z, 32, &x32)
	}
	run(z, z, 64, &x32)
	run(z, z, 30, &x30)
	run(z, z, 2, &x1)
}
