package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// double is for twice sixteen messages: the rounds of the one half are done while those of
// the other wait for each other. The words of the schedule are in memory.
func double() {
	TEXT("blocks32AVX512", 0, "func(state *[2][8][16]uint32, messages *[32]*byte, n int)")
	Pragma("noescape")
	Doc("blocks32AVX512 takes n blocks, 1 or more, of each of 32 messages into two times 16 states.", "It takes AVX512F, BW and DQ.")
	state, messages, n := Load(Param("state"), GP64()), Load(Param("messages"), GP64()), Load(Param("n"), GP64())
	offset, words := GP64(), emit.Room(2*16*64)
	XORQ(offset, offset)
	Label("doubleBlock")
	for half := range 2 {
		w := emit.Zmm[:16]
		load(w, emit.Zmm[16:20], messages, 128*half, offset, swapped)
		for i, r := range w {
			VMOVDQA32(r, Mem{Base: words, Disp: 1024*half + 64*i})
		}
	}
	var halves [2]*schedules
	for half := range halves {
		h := &schedules{state: append([]VecPhysical{}, emit.Zmm[8*half:8*half+8]...), t: emit.Zmm[16+8*half : 24+8*half], words: words, at: 1024 * half}
		for i, r := range h.state {
			VMOVDQU32(Mem{Base: state, Disp: 512*half + 64*i}, r)
		}
		halves[half] = h
	}
	for j := range 64 {
		for _, h := range halves {
			if j >= 12 {
				h.expand(j + 4)
			}
			h.round(j)
		}
	}
	for half, h := range halves {
		for i, r := range h.state {
			VPXORD(Mem{Base: state, Disp: 512*half + 64*i}, r, r)
			VMOVDQU32(r, Mem{Base: state, Disp: 512*half + 64*i})
		}
	}
	ADDQ(U32(64), offset)
	DECQ(n)
	JNZ(LabelRef("doubleBlock"))
	emit.Leave(len(emit.Zmm))
}

// schedules is one half's.
type schedules struct {
	state, t []VecPhysical
	words    Register
	at       int
}

func (h *schedules) word(j int) Mem { return Mem{Base: h.words, Disp: h.at + 64*(j%16)} }

// expand makes word j, 16 or later, in place of that of 16 before.
func (h *schedules) expand(j int) {
	x, t, u := h.t[0], h.t[1], h.t[2]
	VPROLD(U8(15), h.word(j-3), t)
	VMOVDQA32(h.word(j-16), x)
	VPTERNLOGD(U8(emit.Xor3), h.word(j-9), t, x)
	VPROLD(U8(15), x, t)
	VPROLD(U8(23), x, u)
	VPTERNLOGD(U8(emit.Xor3), t, u, x)
	VPROLD(U8(7), h.word(j-13), t)
	VPTERNLOGD(U8(emit.Xor3), h.word(j-6), t, x)
	VMOVDQA32(x, h.word(j))
}

func (h *schedules) round(j int) {
	take := func(j int, to VecPhysical) { VMOVDQA32(h.word(j), to) }
	add := func(j int, to VecPhysical) { VPXORD(h.word(j), to, to) }
	if j >= 12 { // expand has just made it
		add = func(_ int, to VecPhysical) { VPXORD(h.t[0], to, to) }
	}
	h.state = wideRound(j, h.state, h.t, take, add)
}

// wideRound is round j. take gives a word, and add adds one. It takes registers t[2] to t[7].
func wideRound(j int, s, t []VecPhysical, take, add func(j int, to VecPhysical)) []VecPhysical {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	a12, ss1, ff, gg := t[2], t[3], t[4], t[5]
	// What is there before the newest A and E is summed up before they are asked for.
	VPROLD(U8(12), a, a12)
	VPADDD_BCST(turned.Offset(4*j), a12, ss1)
	VPADDD(e, ss1, ss1)
	VPROLD(U8(7), ss1, ss1)
	VPXORD(ss1, a12, a12)
	VMOVDQA32(a, ff)
	VMOVDQA32(e, gg)
	if j < 16 {
		VPTERNLOGD(U8(emit.Xor3), c, b, ff)
		VPTERNLOGD(U8(emit.Xor3), g, f, gg)
	} else {
		VPTERNLOGD(U8(majority), c, b, ff)
		VPTERNLOGD(U8(choice), g, f, gg)
	}
	take(j, t[6])
	VPADDD(t[6], h, h)
	add(j+4, t[6])
	VPADDD(t[6], d, d)
	VPADDD(ff, d, d)
	VPADDD(a12, d, d) // the new A
	VPADDD(gg, h, h)
	VPADDD(ss1, h, h)
	VPROLD(U8(9), h, t[6])
	VPROLD(U8(17), h, t[7])
	VPTERNLOGD(U8(emit.Xor3), t[6], t[7], h) // the new E
	VPROLD(U8(9), b, b)
	VPROLD(U8(19), f, f)
	return []VecPhysical{d, a, b, c, h, e, f, g}
}
