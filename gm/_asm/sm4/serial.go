package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
	"github.com/anole-os/anole/gm/_asm/field"
)

// serial is CBC's encrypting side, where each block waits for the one before it. From
// block to block words stay under P.
func serial() {
	maps := emit.Qwords("serialMaps", field.P.Qword(), field.P.Qword(), field.P.Inverse().Qword(), field.P.Inverse().Qword(),
		folded(l0), folded(l0), folded(l1), folded(l1), folded(l3), folded(l3))
	for _, d := range dialects {
		d.cbc(maps)
	}
}

func (d dialect) cbc(maps Mem) {
	TEXT("cbc"+d.name, NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int, iv *[16]byte)")
	Pragma("noescape")
	Doc("cbc" + d.name + " encrypts n blocks, 1 or more, by CBC. iv stays. It takes " + d.takes + ".")
	rk, dst, src, n, iv := Load(Param("rk"), GP64()), Load(Param("dst"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64()), Load(Param("iv"), GP64())
	p, back, m0, m1, m3 := X15, X14, X13, X12, X11
	for i, m := range []VecPhysical{p, back, m0, m1, m3} {
		VMOVDQU(maps.Offset(16*i), m)
	}
	x := []VecPhysical{X0, X1, X2, X3}
	// The words of the block before, in their places.
	VMOVDQU(Mem{Base: iv}, X4)
	VGF2P8AFFINEQB(U8(0), p, X4, X4)
	for i := range x {
		VPSHUFD(U8(i*0x55), X4, x[3-i])
	}
	Label("block")
	VMOVDQU(Mem{Base: src}, X4)
	VGF2P8AFFINEQB(U8(0), p, X4, X4)
	// The last word comes first: of the block before they are the other way round.
	VPSHUFD(U8(0x00), X4, X5)
	VPSHUFD(U8(0x55), X4, X6)
	VPSHUFD(U8(0xaa), X4, X7)
	VPSHUFD(U8(0xff), X4, X8)
	VPXOR(x[3], X5, X5)
	VPXOR(x[2], X6, X6)
	VPXOR(x[1], X7, X7)
	VPXOR(x[0], X8, X8)
	s := []VecPhysical{X5, X6, X7, X8}
	chain(d, rk, s, []VecPhysical{m0, m1, m3}, []VecPhysical{X0, X1, X2, X3, X4, X9})
	// s is X32 to X35.
	for i := range x {
		VMOVDQA(s[i], x[i])
	}
	VPUNPCKLDQ(x[2], x[3], X4)
	VPUNPCKLDQ(x[0], x[1], X9)
	VPUNPCKLQDQ(X9, X4, X4)
	VGF2P8AFFINEQB(U8(0), back, X4, X4)
	VMOVDQU(X4, Mem{Base: dst})
	ADDQ(U32(block), src)
	ADDQ(U32(block), dst)
	DECQ(n)
	JNZ(LabelRef("block"))
	for _, r := range []VecPhysical{X0, X1, X2, X3, X4, X5, X6, X7, X8, X9} {
		VPXOR(r, r, r)
	}
	RET()
}
