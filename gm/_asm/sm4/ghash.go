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
	TEXT("powersAVX512", NOSPLIT, "func(h *[16]byte, table *byte, n int)")
	Pragma("noescape")
	Doc("powersAVX512 makes the first n powers of h, the highest first. It takes PCLMULQDQ.")
	h, table, n := Load(Param("h"), GP64()), Load(Param("table"), GP64()), Load(Param("n"), GP64())
	one, power, poly, lo, hi, mid, t := X0, X1, X2, X3, X4, X5, X6
	VMOVDQU(reducer, poly)
	VMOVDQU(Mem{Base: h}, one)
	VMOVDQU(one, power)
	at := GP64()
	MOVQ(n, at)
	SHLQ(U8(4), at)
	Label("next")
	SUBQ(U32(16), at)
	VMOVDQU(power, Mem{Base: table, Index: at, Scale: 1})
	JZ(LabelRef("over"))
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
	JMP(LabelRef("next"))
	Label("over")
	for _, r := range []VecPhysical{X0, X1, X3, X4, X5, X6} {
		VPXOR(r, r, r)
	}
	RET()
}

func ghash() {
	turned := emit.Qwords("blockTurned", 0x08090a0b0c0d0e0f, 0x0001020304050607)
	TEXT("ghashAVX512", NOSPLIT, "func(table *byte, state *[16]byte, src *byte, n int)")
	Pragma("noescape")
	Doc("ghashAVX512 takes n blocks, a multiple of 16 and not 0, into the state, by the first", "16 powers. It takes AVX512F, BW and VPCLMULQDQ.")
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

// gcm adds the key stream to 80 blocks while the 80 before them, which are encrypted, are
// hashed: the one waits for what the other does not use.
func gcm(into, out, maps, order Mem) {
	turned := uint64(0x08090a0b0c0d0e0f)
	swap := emit.Qwords("blocksTurned", turned, 0x0001020304050607, turned, 0x0001020304050607, turned, 0x0001020304050607, turned, 0x0001020304050607)
	words := emit.Qwords("countersTurned", 0x0405060700010203, 0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b,
		0x0405060700010203, 0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b)
	TEXT("gcmAVX512", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int, iv *[16]byte, table *byte, state *[16]byte)")
	Pragma("noescape")
	Doc("gcmAVX512 is ctrAVX512 for n blocks, a multiple of 80, and takes the 80 blocks before", "dst, and those that it writes but for the last 80, into the state of GHASH. table has",
		"80 powers. It takes AVX512F, BW, VL, GFNI and VPCLMULQDQ.")
	k := newKernel(into, out, maps)
	k.sets = 1
	iv, table, state := Load(Param("iv"), GP64()), Load(Param("table"), GP64()), Load(Param("state"), GP64())
	count := GP32()
	MOVL(Mem{Base: iv, Disp: 12}, count)
	BSWAPL(count)
	lo, hi, mid, d, t := Z24, Z25, Z26, Z27, Z28
	hashed, power := GP64(), GP64()
	k.between = func(round int) {
		step := map[int]int{0: 0, 2: 1, 3: 2, 5: 3, 7: 4}
		i, ok := step[round]
		if !ok {
			return
		}
		factor := Mem{Base: power, Disp: 64 * i}
		VMOVDQU32(Mem{Base: hashed, Disp: 64 * i}, d)
		VPSHUFB(swap, d, d)
		VPCLMULQDQ(U8(0x00), factor, d, t)
		VPXORD(t, lo, lo)
		VPCLMULQDQ(U8(0x11), factor, d, t)
		VPXORD(t, hi, hi)
		VPCLMULQDQ(U8(0x01), factor, d, t)
		VPXORD(t, mid, mid)
		VPCLMULQDQ(U8(0x10), factor, d, d)
		VPXORD(d, mid, mid)
		if i == 4 {
			ADDQ(U32(5*64), hashed)
			ADDQ(U32(5*64), power)
		}
	}
	const groups = 5
	Label("again")
	LEAQ(Mem{Base: k.dst, Disp: -16 * block * groups}, hashed)
	MOVQ(table, power)
	VMOVDQU32(Mem{Base: state}, X20)
	VPSHUFB(swap, Z20, d)
	VPCLMULQDQ(U8(0x00), Mem{Base: table}, d, lo)
	VPCLMULQDQ(U8(0x11), Mem{Base: table}, d, hi)
	VPCLMULQDQ(U8(0x01), Mem{Base: table}, d, mid)
	VPCLMULQDQ(U8(0x10), Mem{Base: table}, d, d)
	VPXORD(d, mid, mid)
	for g := range groups {
		s := k.group(g)
		for i := range 3 {
			VPBROADCASTD(Mem{Base: iv, Disp: 4 * i}, s[i])
		}
		VPBROADCASTD(count, s[3])
		VPADDD(order, s[3], s[3])
		VPSHUFB(words, s[3], s[3])
		ADDL(U32(16), count)
		for _, r := range s {
			VGF2P8AFFINEQB_BCST(U8(0), k.into, r, r)
		}
	}
	k.rounds(groups, "rounds")
	VPSLLDQ(U8(8), mid, d)
	VPXORD(d, lo, lo)
	VPSRLDQ(U8(8), mid, d)
	VPXORD(d, hi, hi)
	for _, r := range []struct{ z, y, x VecPhysical }{{Z24, Y24, X24}, {Z25, Y25, X25}} {
		VEXTRACTI64X4(U8(1), r.z, Y27)
		VPXORD(Y27, r.y, r.y)
		VEXTRACTI32X4(U8(1), r.y, X27)
		VPXORD(X27, r.x, r.x)
	}
	for range 2 {
		VPCLMULQDQ(U8(0x00), reducer, X24, X27)
		VPSHUFD(U8(0x4e), X24, X24)
		VPXORD(X27, X24, X24)
	}
	VPXORD(X24, X25, X25)
	VPSHUFB(swap, X25, X25)
	VMOVDQU32(X25, Mem{Base: state})
	k.finish(groups)
	for g := range groups {
		s := k.group(g)
		for i := range s {
			VPXORD(Mem{Base: k.src, Disp: 64 * (4*g + i)}, s[3-i], s[3-i])
			VMOVDQU32(s[3-i], Mem{Base: k.dst, Disp: 64 * (4*g + i)})
		}
	}
	ADDQ(U32(16*block*groups), k.src)
	ADDQ(U32(16*block*groups), k.dst)
	SUBQ(U32(16*groups), k.n)
	JNZ(LabelRef("again"))
	for i := range 29 {
		VPXORD(emit.Zmm[i], emit.Zmm[i], emit.Zmm[i])
	}
	VZEROUPPER()
	RET()
}
