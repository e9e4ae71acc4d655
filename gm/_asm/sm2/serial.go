package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// order is a constant that VPERMQ takes: where each of the lanes comes from. Of two
// sources the second's lanes are 8 to 15.
func order(lanes ...int) Mem { return eight("order", lanes) }

// factors are of the lanes.
func factors(f ...int) Mem { return eight("factors", f) }

var eights = map[string]Mem{}

func eight(name string, v []int) Mem {
	q := make([]uint64, 8)
	for i, n := range v {
		q[i] = uint64(n)
		if n < 0 {
			name += fmt.Sprintf("_m%d", -n)
			continue
		}
		name += fmt.Sprintf("_%d", n)
	}
	if _, ok := eights[name]; !ok {
		eights[name] = emit.Qwords(name, q...)
	}
	return eights[name]
}

// only is a mask of one lane.
func only(lane int, k Register) {
	r := GP32()
	MOVL(U32(1<<lane), r)
	KMOVB(r, k)
}

// permuted gives lanes of an element in another order.
func permuted(r *pool, o Mem, from []Op) []VecPhysical {
	to, idx := r.take(limbs), r.take(1)
	VMOVDQU64(o, idx[0])
	for i := range to {
		VPERMQ(from[i], idx[0], to[i])
	}
	r.give(idx...)
	return to
}

// chosen gives lanes of two elements; those of one are lost.
func chosen(r *pool, o Mem, one []VecPhysical, two []Op) []VecPhysical {
	to := r.take(limbs)
	VMOVDQU64(o, to[0])
	for _, v := range to[1:] {
		VMOVDQA64(to[0], v)
	}
	for i := range to {
		VPERMI2Q(two[i], one[i], to[i])
	}
	return to
}

// scaled adds the lanes of an element, in another order, each so many times.
func scaled(r *pool, c []VecPhysical, o, f Mem, from []Op) {
	idx, t := r.take(1), r.take(1)
	VMOVDQU64(o, idx[0])
	for i := range c {
		VPERMQ(from[i], idx[0], t[0])
		VPMULLQ(f, t[0], t[0])
		VPADDQ(t[0], c[i], c[i])
	}
	r.give(idx...)
	r.give(t...)
}

// Lanes of a point that is across the lanes; d is z². Between doublings lanes 1 and 2 have
// x - d and x + d.
const (
	laneY = 0
	laneX = 3
	laneD = 4
	laneZ = 5
)

// serial doubles one point many times, in the least time from one to the next. With d kept
// beside z, three products follow each other; what does not depend on each other is in
// different lanes of one:
//
//	g = y y     t = (x-d)(x+d)   y z
//	b = x g     gg = g g         g d    tt = t t
//	t w, of w = 9 (4b - 3tt)
//
// and then x is 9tt - 8b, y is t w - 8gg, z is 2 y z and d is 4 g d.
func serial() {
	own := kernel("doubleOne", "func(p *[5][8]uint64, n int)", 4,
		"doubleOne doubles a point n times, 1 or more, that is across lanes: y in lane 0, x in 3, z²",
		"in 4, z in 5. It is then there again, with x - z² and x + z² in lanes 1 and 2.")
	p, n := pointer("p"), pointer("n")
	begin()
	state, ts, ggs, yzs := own(0), own(1), own(2), own(3)
	only(laneY, K1)
	r := newPool()
	// x - d and x + d.
	s := at(p, 0).load(r)
	store(state, s)
	c := r.take(limbs)
	only(laneX-2, K2)
	only(laneX-1, K3)
	for i := range c {
		VPBROADCASTQ(multiples[2].Offset(8*i), c[i])
	}
	scaled(r, c, order(0, laneX, laneX), factors(0, 1, 1), state.ops())
	scaled(r, c, order(0, laneD, laneD), factors(0, -1, 1), state.ops())
	u := r.take(2)
	settle(c, u[0], u[1])
	for i := range c {
		VMOVDQA64(c[i], K2, s[i])
		VMOVDQA64(c[i], K3, s[i])
	}
	r.give(c...)
	r.give(u...)

	Label("serialAgain")
	store(state, s)
	a := permuted(r, order(laneY, 1, laneY), ops(s))
	b := permuted(r, order(laneY, 2, laneZ), ops(s))
	r.give(s...)
	first := multiply(r, ops(a), b) // g, t, yz
	a = chosen(r, order(8+laneX, 0, 0, 1), first, state.ops())
	b = chosen(r, order(0, 0, 8+laneD, 1), first, state.ops())
	store(ts, permuted(r, order(1), ops(first)))
	store(yzs, first)
	r = newPool()
	r.remove(append(append([]VecPhysical{}, a...), b...)...)
	second := multiply(r, ops(a), b) // b, gg, gd, tt
	c = r.take(limbs)
	for i := range c {
		VPBROADCASTQ(multiples[48].Offset(8*i), c[i])
	}
	scaled(r, c, order(laneZ, laneZ, laneZ, laneZ, laneZ, 2), factors(0, 0, 0, 0, 0, 2), yzs.ops())
	scaled(r, c, order(0, 3, 3, 3), factors(36, 9, 9, 9), ops(second))
	scaled(r, c, order(3, 0, 0, 0), factors(-27, -8, -8, -8), ops(second))
	scaled(r, c, order(0, 2, 2, 2, 2), factors(0, -4, 4, 0, 4), ops(second))
	g := permuted(r, order(1), ops(second))
	store(ggs, g)
	r.give(g...)
	r.give(second...)
	u = r.take(2)
	settle(c, u[0], u[1])
	r.give(u...)
	store(state, c)
	third := multiply(r, ts.ops(), c)
	t := r.take(2)
	for i := range third {
		VPSLLQ(U8(3), ggs.limb(i), t[0])
		VPSUBQ(t[0], third[i], third[i])
		VPADDQ_BCST(multiples[48].Offset(8*i), third[i], third[i])
	}
	settle(third, t[0], t[1])
	for i := range s {
		VMOVDQU64(state.limb(i), s[i])
		VMOVDQA64(third[i], K1, s[i])
	}
	DECQ(n)
	JNZ(LabelRef("serialAgain"))
	store(at(p, 0), s)
	emit.Leave(len(emit.Zmm))
}
