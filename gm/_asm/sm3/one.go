package main

import (
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// one writes a kernel for one message. What bounds it is the way from one round's E to the
// next: E = P0(TT2), three steps, and TT2 = (H + W + GG) + SS1, of which SS1 takes E plus
// what is known before and a rotation. GG, which is G ^ (E & (F ^ G)), would come too late
// by a step: but P0 is a sum of three rotations, and so GG is made of them before E is.
//
// The schedule is made four words at a time, by vectors, beside the rounds.
func one(name string, rotate func(n int, x, to VecPhysical), xor3 func(a, b, to VecPhysical), doc string) {
	TEXT(name, 0, "func(state *[8]uint32, p *byte, n int)")
	Pragma("noescape")
	Doc(name+" takes n blocks, 1 or more, of a message into its state.", doc)
	// Of each word of the schedule, itself and its sum with the one four later.
	words, sums := AllocLocal(4*68), AllocLocal(4*64)
	swap := X15
	VMOVDQU(swapped, swap)
	s := []GPPhysical{EAX, EBX, ECX, EDX, ESI, EDI, R8L, R9L}
	at := Load(Param("p"), R15)
	state := func(r GPPhysical) { Load(Param("state"), r) }
	state(R10)
	for i, r := range s {
		MOVL(Mem{Base: R10, Disp: 4 * i}, r)
	}
	Label(name + "Block")
	x := []VecPhysical{X0, X1, X2, X3}
	for i, v := range x {
		VMOVDQU(Mem{Base: at, Disp: 16 * i}, v)
		VPSHUFB(swap, v, v)
		VMOVDQU(v, words.Offset(16*i))
	}
	// E's parts, which the first round has whole.
	parts := []GPPhysical{R10L, R11L}
	MOVL(s[4], parts[0])
	XORL(parts[1], parts[1])
	for j := range 64 {
		if j%4 == 0 {
			VPXOR(x[0], x[1], X4)
			VMOVDQU(X4, sums.Offset(4*j))
			if j <= 48 {
				schedule(x, rotate, xor3)
				VMOVDQU(x[0], words.Offset(4*(j+16)))
			}
			x = append(x[1:], x[0])
		}
		s = round(j, s, parts, words.Offset(4*j), sums.Offset(4*j))
	}
	// Each register is back in its place.
	Load(Param("state"), R10)
	for i, r := range s {
		XORL(Mem{Base: R10, Disp: 4 * i}, r)
		MOVL(r, Mem{Base: R10, Disp: 4 * i})
	}
	ADDQ(U32(64), at)
	DECQ(NewParamAddr("n", 16))
	JNZ(LabelRef(name + "Block"))
	VZEROUPPER()
	RET()
}

// round is round j. It gives the state's registers in their next order.
//
// Nothing of it has room to wait: with 25 operations for six units, each way from round to
// round is as long as any other. What is older is done first, and so the order in which
// they stand, which is the best of some thousands that were measured, is a tenth of the time.
func round(j int, s, parts []GPPhysical, w, sum Mem) []GPPhysical {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	p, p17, p9, t, v, y := parts[0], parts[1], R12L, R13L, R14L, EBP
	late := j >= 16
	ADDL(sum, d)
	if late {
		MOVL(f, y)
		XORL(g, y)
		ANDL(y, p)
		ANDL(y, p17)
	} else {
		XORL(f, p17)
	}
	XORL(g, p17)
	ADDL(w, h)
	XORL(p17, p) // GG
	RORXL(U8(32-12), a, t)
	LEAL(Mem{Base: t, Index: e, Scale: 1, Disp: int(int32(constant(j)))}, v)
	ADDL(p, h)
	MOVL(b, y)
	RORXL(U8(32-7), v, v) // SS1
	RORXL(U8(32-19), f, f)
	ADDL(v, h) // TT2
	RORXL(U8(32-17), h, p17)
	XORL(v, t) // SS2
	if late {
		MOVL(b, p)
		XORL(c, p)
	}
	RORXL(U8(32-9), b, b)
	RORXL(U8(32-9), h, p9)
	if late { // FF, of two parts that have no bit in common
		ANDL(c, y)
		ADDL(y, d)
		ANDL(a, p)
	} else {
		XORL(c, y)
		XORL(a, y)
	}
	XORL(p9, h)
	if late {
		ADDL(p, d)
	} else {
		ADDL(y, d)
	}
	MOVL(h, p)
	XORL(p17, h)
	ADDL(t, d) // TT1
	return []GPPhysical{d, a, b, c, h, e, f, g}
}

// schedule puts the next four words in place of the four of x[0].
func schedule(x []VecPhysical, rotate func(n int, x, to VecPhysical), xor3 func(a, b, to VecPhysical)) {
	a, b, c, d := X4, X5, X6, X7
	p1 := func(v VecPhysical) {
		rotate(15, v, X8)
		rotate(23, v, X9)
		xor3(X8, X9, v)
	}
	VPALIGNR(U8(12), x[1], x[2], a)
	VPSRLDQ(U8(4), x[3], b)
	VPALIGNR(U8(12), x[0], x[1], c)
	VPALIGNR(U8(8), x[2], x[3], d)
	rotate(15, b, b)
	xor3(a, b, x[0])
	p1(x[0])
	rotate(7, c, c)
	xor3(c, d, x[0])
	// The last of them wants the first.
	rotate(15, x[0], a)
	VPSLLDQ(U8(12), a, a)
	p1(a)
	VPXOR(a, x[0], x[0])
}

// ones writes the kernel with the rotations and sums that AVX512VL has, and with those of
// AVX.
func ones() {
	one("blocksAVX512", func(n int, x, to VecPhysical) { VPROLD(U8(n), x, to) },
		func(a, b, to VecPhysical) { VPTERNLOGD(U8(emit.Xor3), a, b, to) }, "It takes AVX512VL and BMI2.")
	one("blocksAVX2", func(n int, x, to VecPhysical) {
		VPSLLD(U8(n), x, X10)
		VPSRLD(U8(32-n), x, to)
		VPOR(X10, to, to)
	}, func(a, b, to VecPhysical) {
		VPXOR(a, to, to)
		VPXOR(b, to, to)
	}, "It takes AVX and BMI2.")
}

// constant is of a round, GB/T 32905-2016, 4.2, turned as 5.3.3 says.
func constant(j int) uint32 {
	c := uint32(0x79cc4519)
	if j >= 16 {
		c = 0x7a879d8a
	}
	return bits.RotateLeft32(c, j)
}
