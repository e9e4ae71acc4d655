package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// x, y and z of a point in Jacobian coordinates, (x/z², y/z³).
const (
	x = iota
	y
	z
)

func points() {
	mixed()
	whole()
	double()
	serial()
	turn()
}

// turn brings lanes to other places.
func turn() {
	kernel("permute", "func(dst, src *[3][5][8]uint64, order *[8]uint64)", 0, "permute takes lane i of dst from lane order[i] of src.")
	dst, src, order := pointer("dst"), pointer("src"), pointer("order")
	VMOVDQU64(Mem{Base: order}, Z1)
	for i := range 3 * limbs {
		VPERMQ(Mem{Base: src, Disp: row * i}, Z1, Z0)
		VMOVDQU64(Z0, Mem{Base: dst, Disp: row * i})
	}
	emit.Leave(1)
}

// mixed adds an affine point: 8 products and 3 squares (Cohen, Miyaji, Ono 1998).
func mixed() {
	own := kernel("addAffine", "func(p *[3][5][8]uint64, q *[2][5][8]uint64)", 9,
		"addAffine adds q to p in each lane. Where they are the same point, or each other's",
		"negative, or p is at infinity, z is 0, and stays so.")
	p, q := pointer("p"), pointer("q")
	begin()
	zz, u, zzz, s, h, r, hh, hhh, v := own(0), own(1), own(2), own(3), own(4), own(5), own(6), own(7), own(8)
	square(zz, at(p, z))
	mul(u, at(q, x), zz)
	mul(zzz, at(p, z), zz)
	mul(s, at(q, y), zzz)
	sum(h, term{1, u}, term{-1, at(p, x)})
	sum(r, term{1, s}, term{-1, at(p, y)})
	square(hh, h)
	mul(at(p, z), at(p, z), h)
	mul(hhh, hh, h)
	mul(v, at(p, x), hh)
	square(zz, r)
	finish(p, r, zz, hhh, v, at(p, y), u, s)
	emit.Leave(len(emit.Zmm))
}

// finish makes x and y of a sum: r² - h³ - 2v, and r (v - x) - s h³, of which rr is r²
// and s1 is the first point's.
func finish(p Register, r, rr, hhh, v, s1, t0, t1 slot) {
	sum(at(p, x), term{1, rr}, term{-1, hhh}, term{-2, v})
	// v - x without waiting for x.
	sum(t0, term{1, v}, term{2, v}, term{1, hhh}, term{-1, rr})
	mul(t1, s1, hhh)
	mul(t0, t0, r)
	sum(at(p, y), term{1, t0}, term{-1, t1})
}

// whole adds a point in Jacobian coordinates: 12 products and 4 squares.
func whole() {
	own := kernel("add", "func(p, q *[3][5][8]uint64)", 12, "add adds q to p in each lane, as addAffine does.")
	p, q := pointer("p"), pointer("q")
	begin()
	z1, z2, u1, u2, s1, s2, h, r, hh, hhh, v, t := own(0), own(1), own(2), own(3), own(4), own(5), own(6), own(7), own(8), own(9), own(10), own(11)
	square(z1, at(p, z))
	square(z2, at(q, z))
	mul(u1, at(p, x), z2)
	mul(u2, at(q, x), z1)
	mul(s1, at(p, y), at(q, z))
	mul(s2, at(q, y), at(p, z))
	mul(s1, s1, z2)
	mul(s2, s2, z1)
	mul(t, at(p, z), at(q, z))
	sum(h, term{1, u2}, term{-1, u1})
	sum(r, term{1, s2}, term{-1, s1})
	square(hh, h)
	mul(at(p, z), t, h)
	mul(hhh, hh, h)
	mul(v, u1, hh)
	square(t, r)
	finish(p, r, t, hhh, v, s1, u2, s2)
	emit.Leave(len(emit.Zmm))
}

// double doubles: with d = z², g = y², b = x g, t = (x-d)(x+d), of which the textbook's
// alpha is 3t, x is 9t² - 8b, y is 3t (12b - 9t²) - 8g², and z is 2yz.
func double() {
	own := kernel("double", "func(p *[3][5][8]uint64, n int)", 7, "double doubles p n times, 1 or more, in each lane. Infinity stays what it is.")
	p, n := pointer("p"), pointer("n")
	begin()
	d, g, b, t, w, gg, tt := own(0), own(1), own(2), own(3), own(4), own(5), own(6)
	Label("doubleAgain")
	square(d, at(p, z))
	square(g, at(p, y))
	mul(at(p, z), at(p, y), at(p, z))
	sum(t, term{1, at(p, x)}, term{-1, d})
	sum(w, term{1, at(p, x)}, term{1, d})
	mul(b, at(p, x), g)
	mul(t, t, w)
	square(gg, g)
	sum(at(p, z), term{1, at(p, z)}, term{1, at(p, z)})
	square(tt, t)
	sum(at(p, x), term{1, tt}, term{8, tt}, term{-8, b})
	steep(w, b, tt)
	mul(w, w, t)
	sum(at(p, y), term{1, w}, term{-8, gg})
	DECQ(n)
	JNZ(LabelRef("doubleAgain"))
	emit.Leave(len(emit.Zmm))
}

// steep stores 9 (4b - 3tt).
func steep(dst, b, tt slot) {
	c, t, u := shared[0:5], shared[5], shared[6]
	steeper(c, t, u, func(i int, r VecPhysical) { VMOVDQU64(b.limb(i), r) }, func(i int, r VecPhysical) { VMOVDQU64(tt.limb(i), r) })
	settle(c, t, u)
	store(dst, c)
}

// steeper makes 9 (4b - 3tt) + 48p, limb by limb.
func steeper(c []VecPhysical, t, u VecPhysical, b, tt func(i int, r VecPhysical)) {
	for i := range limbs {
		b(i, c[i])
		tt(i, t)
		VPSLLQ(U8(2), c[i], c[i])
		VPADDQ(t, t, u)
		VPADDQ(t, u, u)
		VPSUBQ(u, c[i], c[i])
		VPSLLQ(U8(3), c[i], u)
		VPADDQ(u, c[i], c[i])
		VPADDQ_BCST(multiples[48].Offset(8*i), c[i], c[i])
	}
}
