package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// GHASH is worked out as POLYVAL (RFC 8452, appendix A), whose products need no bit
// turned: blocks are taken with their bytes the other way round, the key by x. A
// product is one of Montgomery's, a·b/x^128.

var reducer Mem // x^127+x^126+x^121, of which the upper half of the polynomial is

// reduce brings a product of 256 bits, lo and hi, to hi. It takes t.
func reduce(lo, hi, poly, t VecPhysical) {
	for range 2 {
		VPCLMULQDQ(U8(0x00), poly, lo, t)
		VPSHUFD(U8(0x4e), lo, lo)
		VPXOR(t, lo, lo)
	}
	VPXOR(lo, hi, hi)
}

func powers() {
	reducer = emit.Qwords("reducer", 0xc2<<56, 0)
	TEXT("powersAVX512", NOSPLIT, "func(h *[16]byte, table *[256]byte)")
	Pragma("noescape")
	Doc("powersAVX512 makes the first 16 powers of h for ghashAVX512, the highest first. It", "takes PCLMULQDQ.")
	h, table := Load(Param("h"), GP64()), Load(Param("table"), GP64())
	one, power, poly, lo, hi, mid, t := X0, X1, X2, X3, X4, X5, X6
	VMOVDQU(reducer, poly)
	VMOVDQU(Mem{Base: h}, one)
	VMOVDQU(one, power)
	for i := 15; i >= 0; i-- {
		VMOVDQU(power, Mem{Base: table, Disp: 16 * i})
		if i == 0 {
			break
		}
		VPCLMULQDQ(U8(0x00), one, power, lo)
		VPCLMULQDQ(U8(0x11), one, power, hi)
		VPCLMULQDQ(U8(0x01), one, power, mid)
		VPCLMULQDQ(U8(0x10), one, power, t)
		VPXOR(t, mid, mid)
		VPSLLDQ(U8(8), mid, t)
		VPXOR(t, lo, lo)
		VPSRLDQ(U8(8), mid, t)
		VPXOR(t, hi, hi)
		reduce(lo, hi, poly, t)
		VMOVDQU(hi, power)
	}
	for _, r := range []VecPhysical{X0, X1, X3, X4, X5, X6} {
		VPXOR(r, r, r)
	}
	RET()
}

func ghash() {
	turned := emit.Qwords("blockTurned", 0x08090a0b0c0d0e0f, 0x0001020304050607)
	TEXT("ghashAVX512", NOSPLIT, "func(table *[256]byte, state *[16]byte, src *byte, n int)")
	Pragma("noescape")
	Doc("ghashAVX512 takes n blocks, a multiple of 16 and not 0, into the state. It takes", "AVX512F, BW and VPCLMULQDQ.")
	table, state, src, n := Load(Param("table"), GP64()), Load(Param("state"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	sum, poly, swap := Z0, X14, Z20
	VMOVDQU(reducer, poly)
	VBROADCASTI32X4(turned, swap)
	for i := range 4 {
		VMOVDQU32(Mem{Base: table, Disp: 64 * i}, emit.Zmm[16+i])
	}
	VMOVDQU(Mem{Base: state}, X0)
	VPSHUFB(swap, sum, sum)
	Label("again")
	data := []VecPhysical{Z1, Z2, Z3, Z4}
	for i, d := range data {
		VMOVDQU32(Mem{Base: src, Disp: 64 * i}, d)
		VPSHUFB(swap, d, d)
	}
	VPXORD(sum, Z1, Z1)
	lo, hi, mid, mid2 := Z5, Z6, Z7, Z8
	for i, d := range data {
		if i == 0 {
			VPCLMULQDQ(U8(0x00), emit.Zmm[16], d, lo)
			VPCLMULQDQ(U8(0x11), emit.Zmm[16], d, hi)
			VPCLMULQDQ(U8(0x01), emit.Zmm[16], d, mid)
			VPCLMULQDQ(U8(0x10), emit.Zmm[16], d, mid2)
			continue
		}
		t := emit.Zmm[9:13]
		VPCLMULQDQ(U8(0x00), emit.Zmm[16+i], d, t[0])
		VPXORD(t[0], lo, lo)
		VPCLMULQDQ(U8(0x11), emit.Zmm[16+i], d, t[1])
		VPXORD(t[1], hi, hi)
		VPCLMULQDQ(U8(0x01), emit.Zmm[16+i], d, t[2])
		VPCLMULQDQ(U8(0x10), emit.Zmm[16+i], d, t[3])
		VPTERNLOGD(U8(emit.Xor3), t[2], t[3], mid)
	}
	VPXORD(mid2, mid, mid)
	VPSLLDQ(U8(8), mid, Z9)
	VPXORD(Z9, lo, lo)
	VPSRLDQ(U8(8), mid, Z9)
	VPXORD(Z9, hi, hi)
	for _, r := range []struct{ z, y, x VecPhysical }{{Z5, Y5, X5}, {Z6, Y6, X6}} {
		VEXTRACTI64X4(U8(1), r.z, Y9)
		VPXOR(Y9, r.y, r.y)
		VEXTRACTI128(U8(1), r.y, X9)
		VPXOR(X9, r.x, r.x)
	}
	reduce(X5, X6, poly, X9)
	VMOVDQA(X6, X0)
	ADDQ(U32(16*block), src)
	SUBQ(U32(16), n)
	JNZ(LabelRef("again"))
	VPSHUFB(X20, X0, X0)
	VMOVDQU(X0, Mem{Base: state})
	for i := range 20 {
		VPXORD(emit.Zmm[i], emit.Zmm[i], emit.Zmm[i])
	}
	VZEROUPPER()
	RET()
}
