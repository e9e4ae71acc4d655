package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

const (
	streams = 80
	line    = 64
)

// many is CBC's encrypting side for up to 80 messages: what waits in one of them is done
// for the others meanwhile. From block to block words stay under P.
//
// Of each message four blocks at a time come to one place and go from there: a line of the
// cache, which is then asked for once. Messages that are a power of two apart, as pages
// are, would drive each other out of it.
func many(into, out, maps Mem) {
	TEXT("cbcManyAVX512", 0, "func(rk *[32]uint32, dst, src *[80]*byte, n int, last *[80][16]byte, groups int)")
	Pragma("noescape")
	Doc("cbcManyAVX512 encrypts n blocks, 1 or more, of each of so many groups of 16 messages by",
		"CBC; last has the blocks before them, and then their last. It takes AVX512F, BW and GFNI.")
	k := newKernel(into, out, maps)
	last, groups := Load(Param("last"), GP64()), Load(Param("groups"), GP64())
	lines := emit.Room(streams * line)
	for g := 1; g < 5; g++ {
		CMPQ(groups, U32(g))
		JE(LabelRef(fmt.Sprintf("many%d", g)))
	}
	for g := 5; g >= 1; g-- {
		Label(fmt.Sprintf("many%d", g))
		k.chains(g, last, lines)
		emit.Leave(29)
	}
}

// chains is for one number of groups.
func (k *kernel) chains(groups int, last, lines Register) {
	w := emit.Zmm[20:28]
	again, next := fmt.Sprintf("again%d", groups), fmt.Sprintf("next%d", groups)
	for g := range groups {
		for i, r := range k.group(g) {
			VMOVDQU32(Mem{Base: last, Disp: 64 * (4*g + i)}, r)
			VGF2P8AFFINEQB_BCST(U8(0), k.into, r, r)
		}
		emit.Turn(k.group(g), w)
		// Of the block before, the last word comes first.
		s := k.group(g)
		for i := range 2 {
			VMOVDQA32(s[i], w[0])
			VMOVDQA32(s[3-i], s[i])
			VMOVDQA32(w[0], s[3-i])
		}
	}
	at, left, step, bits, p := GP64(), GP64(), GP64(), GP32(), GP64()
	XORQ(at, at)
	Label(again)
	// Up to four blocks.
	MOVQ(k.n, left)
	MOVL(U32(0xff), bits)
	CMPQ(left, U32(4))
	JGE(LabelRef(fmt.Sprintf("full%d", groups)))
	// Two bits for each block.
	NEGQ(left)
	LEAQ(Mem{Base: left, Index: left, Scale: 1, Disp: 8}, p)
	NEGQ(left)
	SHRXL(p.As32(), bits, bits)
	JMP(LabelRef(fmt.Sprintf("some%d", groups)))
	Label(fmt.Sprintf("full%d", groups))
	MOVQ(U32(4), left)
	Label(fmt.Sprintf("some%d", groups))
	KMOVB(bits, K1)
	SUBQ(left, k.n)
	for i := range 16 * groups {
		MOVQ(Mem{Base: k.src, Disp: 8 * i}, p)
		VMOVDQU64_Z(Mem{Base: p, Index: at, Scale: 1}, K1, w[i%4])
		VMOVDQA64(w[i%4], Mem{Base: lines, Disp: line * i})
	}
	MOVQ(lines, step)
	Label(next)
	for g := range groups {
		s := k.group(g)
		for i, r := range w[:4] {
			for l := range 4 {
				from := Mem{Base: step, Disp: line * (16*g + 4*i + l)}
				if l == 0 {
					VMOVDQU32(from, r.(interface{ AsX() Register }).AsX())
					continue
				}
				VINSERTI32X4(U8(l), from, r, r)
			}
			VGF2P8AFFINEQB_BCST(U8(0), k.into, r, r)
		}
		emit.Turn(w[:4], w[4:])
		for i, r := range w[:4] {
			VPXORD(s[3-i], r, r)
		}
		for i, r := range w[:4] {
			VMOVDQA32(r, s[i])
		}
	}
	k.rounds(groups, fmt.Sprintf("manyRounds%d", groups))
	for g := range groups {
		s := k.group(g)
		for i, r := range w[:4] {
			VGF2P8AFFINEQB_BCST(U8(0), k.out, s[3-i], r)
		}
		emit.Turn(w[:4], w[4:])
		for i, r := range w[:4] {
			VMOVDQU32(r, Mem{Base: last, Disp: line * (4*g + i)})
			for l := range 4 {
				VEXTRACTI32X4(U8(l), r, Mem{Base: step, Disp: line * (16*g + 4*i + l)})
			}
		}
	}
	ADDQ(U32(block), step)
	DECQ(left)
	JNZ(LabelRef(next))
	for i := range 16 * groups {
		MOVQ(Mem{Base: k.dst, Disp: 8 * i}, p)
		VMOVDQA64(Mem{Base: lines, Disp: line * i}, w[i%4])
		VMOVDQU64(w[i%4], K1, Mem{Base: p, Index: at, Scale: 1})
	}
	ADDQ(U32(4*block), at)
	CMPQ(k.n, U32(0))
	JNE(LabelRef(again))
}
