package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// eight is for half of the sixteen messages, with what AVX2 has. The sixteen words of the
// schedule are in memory.
func eight() {
	TEXT("blocks8AVX2", 0, "func(state *[8][16]uint32, messages *[16]*byte, n int, half int)")
	Pragma("noescape")
	Doc("blocks8AVX2 takes n blocks, 1 or more, of each of the first 8 of 16 messages, half being 0,", "or the last, half being 1, into their states. It takes AVX2.")
	state, messages, n, half := Load(Param("state"), GP64()), Load(Param("messages"), GP64()), Load(Param("n"), GP64()), Load(Param("half"), GP64())
	SHLQ(U8(5), half)
	ADDQ(half, state)
	LEAQ(Mem{Base: messages, Index: half, Scale: 2}, messages)
	offset := GP64()
	XORQ(offset, offset)
	w := AllocLocal(16 * 32)
	word := func(j int) Mem { return w.Offset(32 * (j % 16)) }
	s := []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7}
	for i, r := range s {
		VMOVDQU(Mem{Base: state, Disp: 64 * i}, r)
	}
	Label("eightBlock")
	for m := range 2 {
		load8(messages, offset, word, 8*m)
	}
	for j := range 64 {
		if j >= 12 {
			expand8(word, j+4)
		}
		s = round8(j, s, word)
	}
	for i, r := range s {
		VPXOR(Mem{Base: state, Disp: 64 * i}, r, r)
		VMOVDQU(r, Mem{Base: state, Disp: 64 * i})
	}
	ADDQ(U32(64), offset)
	DECQ(n)
	JNZ(LabelRef("eightBlock"))
	VZEROUPPER()
	RET()
}

// load8 takes eight words of each message, from the first of them on.
func load8(messages, offset Register, word func(int) Mem, first int) {
	r := []VecPhysical{Y8, Y9, Y10, Y11}
	t := []VecPhysical{Y12, Y13, Y14, Y15}
	// Four words of four messages at a time, in both halves of the registers: the lower
	// have words 0 to 3, the upper 4 to 7.
	for m := range 2 {
		p := GP64()
		for i := range r {
			MOVQ(Mem{Base: messages, Disp: 8 * (4*m + i)}, p)
			VMOVDQU(Mem{Base: p, Index: offset, Scale: 1, Disp: 4 * first}, r[i])
		}
		emit.Turn(r, t)
		VBROADCASTI128(swapped, t[0])
		for i, v := range r {
			VPSHUFB(t[0], v, v)
			VEXTRACTI128(U8(0), v, word(first+i).Offset(16*m))
			VEXTRACTI128(U8(1), v, word(first+4+i).Offset(16*m))
		}
	}
}

// turn8 turns each word of x left.
func turn8(n int, x, to, t VecPhysical) {
	VPSLLD(U8(n), x, t)
	VPSRLD(U8(32-n), x, to)
	VPOR(t, to, to)
}

// expand8 makes word j of the schedule.
func expand8(word func(int) Mem, j int) {
	x, y, t := Y8, Y9, Y10
	VMOVDQU(word(j-3), x)
	turn8(15, x, x, t)
	VPXOR(word(j-16), x, x)
	VPXOR(word(j-9), x, x)
	turn8(15, x, y, t)
	VPXOR(x, y, y)
	turn8(23, x, x, t)
	VPXOR(x, y, y)
	VMOVDQU(word(j-13), x)
	turn8(7, x, x, t)
	VPXOR(x, y, y)
	VPXOR(word(j-6), y, y)
	VMOVDQU(y, word(j))
}

func round8(j int, s []VecPhysical, word func(int) Mem) []VecPhysical {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	a12, ss1, x, y, t := Y8, Y9, Y10, Y11, Y12
	turn8(12, a, a12, t)
	VPBROADCASTD(turned.Offset(4*j), ss1)
	VPADDD(a12, ss1, ss1)
	VPADDD(e, ss1, ss1)
	turn8(7, ss1, ss1, t)
	VPXOR(ss1, a12, a12)
	VMOVDQU(word(j), x)
	VPADDD(x, h, h)
	VPXOR(word(j+4), x, x)
	VPADDD(x, d, d)
	VPADDD(ss1, h, h)
	VPADDD(a12, d, d)
	if j < 16 {
		VPXOR(a, b, x)
		VPXOR(c, x, x)
		VPXOR(e, f, y)
		VPXOR(g, y, y)
	} else {
		VPOR(a, b, x)
		VPAND(c, x, x)
		VPAND(a, b, t)
		VPOR(t, x, x)
		VPAND(e, f, y)
		VPANDN(g, e, t)
		VPOR(t, y, y)
	}
	VPADDD(x, d, d)
	VPADDD(y, h, h)
	turn8(9, h, x, t)
	turn8(17, h, y, t)
	VPXOR(x, h, h)
	VPXOR(y, h, h)
	turn8(9, b, b, t)
	turn8(19, f, f, t)
	return []VecPhysical{d, a, b, c, h, e, f, g}
}
