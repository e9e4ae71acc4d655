// Command sm3 writes SM3's kernels for amd64.
//
// Sixteen messages are hashed side by side, a word of each in a register of 512 bits.
// The sixteen words of the schedule that are alive and the eight of the state are all in
// registers.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

const (
	majority = 0xe8 // truth tables of VPTERNLOG
	choice   = 0xca
)

// constants are the rounds'.
func constants() (t []uint32) {
	for j := range 64 {
		t = append(t, constant(j))
	}
	return t
}

// load takes a block of each of the messages from the one that is first bytes on: word i of all of them comes to w[i].
func load(w, t []VecPhysical, at Register, first int, offset Register, swap Mem) {
	p := GP64()
	for i := range 16 {
		MOVQ(Mem{Base: at, Disp: first + 8*i}, p)
		VMOVDQU32(Mem{Base: p, Index: offset, Scale: 1}, w[i])
	}
	// Four by four words in the lanes, then four by four lanes.
	for i := 0; i < 16; i += 4 {
		emit.Turn(w[i:i+4], t)
	}
	// Now lane l of w[4m+j] has word 4l+j of the messages 4m to 4m+3.
	for j := range 4 {
		a, b, c, d := w[j], w[4+j], w[8+j], w[12+j]
		VSHUFI32X4(U8(0x44), b, a, t[0]) // lanes 0 and 1 of a, of b
		VSHUFI32X4(U8(0xee), b, a, t[1])
		VSHUFI32X4(U8(0x44), d, c, t[2])
		VSHUFI32X4(U8(0xee), d, c, t[3])
		VSHUFI32X4(U8(0x88), t[2], t[0], a)
		VSHUFI32X4(U8(0xdd), t[2], t[0], b)
		VSHUFI32X4(U8(0x88), t[3], t[1], c)
		VSHUFI32X4(U8(0xdd), t[3], t[1], d)
	}
	VBROADCASTI32X4(swap, t[0])
	for i := range 16 {
		VPSHUFB(t[0], w[i], w[i])
	}
}

// expand makes word j of the schedule, 16 or later, in place of that of 16 before.
func expand(w, t []VecPhysical, j int) {
	at := func(i int) VecPhysical { return w[i%16] }
	x := at(j)
	VPROLD(U8(15), at(j-3), t[0])
	VPTERNLOGD(U8(emit.Xor3), t[0], at(j-9), x)
	VPROLD(U8(15), x, t[0])
	VPROLD(U8(23), x, t[1])
	VPTERNLOGD(U8(emit.Xor3), t[0], t[1], x)
	VPROLD(U8(7), at(j-13), t[0])
	VPTERNLOGD(U8(emit.Xor3), t[0], at(j-6), x)
}

// swapped turns words from the message's order of bytes; turned has the rounds' constants.
var swapped, turned Mem

func main() {
	swapped = emit.Qwords("wordsSwapped", 0x0405060700010203, 0x0c0d0e0f08090a0b)
	turned = emit.Dwords("roundConstants", constants())
	TEXT("blocks16AVX512", NOSPLIT, "func(state *[8][16]uint32, messages *[16]*byte, n int)")
	Pragma("noescape")
	Doc("blocks16AVX512 takes n blocks, 1 or more, of each of 16 messages into 16 states. It", "takes AVX512F, BW and DQ.")
	state, messages, n := Load(Param("state"), GP64()), Load(Param("messages"), GP64()), Load(Param("n"), GP64())
	offset := GP64()
	XORQ(offset, offset)
	s, w, t := append([]VecPhysical{}, emit.Zmm[:8]...), emit.Zmm[8:24], emit.Zmm[24:32]
	for i, r := range s {
		VMOVDQU32(Mem{Base: state, Disp: 64 * i}, r)
	}
	Label("block")
	load(w, t, messages, 0, offset, swapped)
	for j := range 64 {
		if j >= 12 {
			expand(w, t, j+4)
		}
		s = wideRound(j, s, t, func(j int, to VecPhysical) { VMOVDQA32(w[j%16], to) }, func(j int, to VecPhysical) { VPXORD(w[j%16], to, to) })
	}
	for i, r := range s { // 64 rounds bring each register back to its place
		VPXORD(Mem{Base: state, Disp: 64 * i}, r, r)
		VMOVDQU32(r, Mem{Base: state, Disp: 64 * i})
	}
	ADDQ(U32(64), offset)
	DECQ(n)
	JNZ(LabelRef("block"))
	emit.Leave(len(emit.Zmm))
	double()
	eight()
	ones()
	Generate()
}
