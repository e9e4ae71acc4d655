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

// lanes is a register by its lengths.
type lanes struct{ x, y, z VecPhysical }

// reduce brings a product of 256 bits, lo and hi, to hi. It takes t. xor is the one that
// the registers have.
func reduce(lo, hi, t VecPhysical, xor func(...Op)) {
	for range 2 {
		VPCLMULQDQ(U8(0x00), reducer, lo, t)
		VPSHUFD(U8(0x4e), lo, lo)
		xor(t, lo, lo)
	}
	xor(lo, hi, hi)
}

// shorter and longer are how registers up to the 15th, and all, are added up.
func shorter(o ...Op) { VPXOR(o[0], o[1], o[2]) }
func longer(o ...Op)  { VPXORD(o...) }

// sum adds up the products of all lanes, lo, hi and mid between them, to hi.x. It takes t.
func sum(lo, hi, t lanes, mid VecPhysical) {
	VPSLLDQ(U8(8), mid, t.z)
	VPXORD(t.z, lo.z, lo.z)
	VPSRLDQ(U8(8), mid, t.z)
	VPXORD(t.z, hi.z, hi.z)
	for _, r := range []lanes{lo, hi} {
		VEXTRACTI64X4(U8(1), r.z, t.y)
		VPXORD(t.y, r.y, r.y)
		VEXTRACTI32X4(U8(1), r.y, t.x)
		VPXORD(t.x, r.x, r.x)
	}
	reduce(lo.x, hi.x, t.x, longer)
}

func powers() {
	reducer = emit.Qwords("reducer", 0xc2<<56, 0)
	TEXT("powersCLMUL", NOSPLIT, "func(h *[16]byte, table *byte, n int)")
	Pragma("noescape")
	Doc("powersCLMUL makes the first n powers of h, the highest first. It takes AVX and PCLMULQDQ.")
	h, table, n := Load(Param("h"), GP64()), Load(Param("table"), GP64()), Load(Param("n"), GP64())
	one, power, lo, hi, mid, t := X0, X1, X3, X4, X5, X6
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
	reduce(lo, hi, t, shorter)
	VMOVDQU(hi, power)
	JMP(LabelRef("next"))
	Label("over")
	for _, r := range []VecPhysical{X0, X1, X3, X4, X5, X6} {
		VPXOR(r, r, r)
	}
	RET()
}

// aim takes as many of n blocks as there are powers, at most; power points at as many
// powers, which end at end.
func aim(n, left, power, end Register, most int) {
	MOVQ(n, left)
	CMPQ(left, U32(most))
	JLE(LabelRef("few"))
	MOVQ(U32(most), left)
	Label("few")
	SUBQ(left, n)
	MOVQ(left, power)
	SHLQ(U8(4), power)
	NEGQ(power)
	ADDQ(end, power)
}

// products adds the four products of halves of d and a factor: the lower ones', the upper
// ones', and those across.
func products(factor Op, d VecPhysical, sums, t [4]VecPhysical, xor func(...Op)) {
	for i, halves := range []uint8{0x00, 0x11, 0x01, 0x10} {
		VPCLMULQDQ(U8(halves), factor, d, t[i])
		xor(t[i], sums[i], sums[i])
	}
}

// few is how many powers the kernel for 128 bits has.
const few = 8

// narrow is GHASH block by block, by the powers for one reduction of eight.
func narrow(turned Mem) {
	TEXT("ghashCLMUL", NOSPLIT, "func(table *byte, state *[16]byte, src *byte, n int)")
	Pragma("noescape")
	Doc("ghashCLMUL takes n blocks, 1 or more, into the state, by 8 powers. It takes AVX and PCLMULQDQ.")
	table, state, src, n := Load(Param("table"), GP64()), Load(Param("state"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	state0, swap, d, h, lo, hi, mid, t := X0, X7, X1, X2, X3, X4, X5, X6
	VMOVDQU(turned, swap)
	VMOVDQU(Mem{Base: state}, state0)
	VPSHUFB(swap, state0, state0)
	power, left, end := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: table, Disp: 16 * few}, end)
	Label("again")
	aim(n, left, power, end, few)
	for _, r := range []VecPhysical{lo, hi, mid} {
		VPXOR(r, r, r)
	}
	Label("more")
	VMOVDQU(Mem{Base: src}, d)
	VPSHUFB(swap, d, d)
	VPXOR(state0, d, d)
	VPXOR(state0, state0, state0)
	VMOVDQU(Mem{Base: power}, h)
	products(h, d, [4]VecPhysical{lo, hi, mid, mid}, [4]VecPhysical{t, t, t, t}, shorter)
	ADDQ(U32(block), src)
	ADDQ(U32(block), power)
	DECQ(left)
	JNZ(LabelRef("more"))
	VPSLLDQ(U8(8), mid, t)
	VPXOR(t, lo, lo)
	VPSRLDQ(U8(8), mid, t)
	VPXOR(t, hi, hi)
	reduce(lo, hi, t, shorter)
	VMOVDQA(hi, state0)
	CMPQ(n, U32(0))
	JNE(LabelRef("again"))
	VPSHUFB(swap, state0, state0)
	VMOVDQU(state0, Mem{Base: state})
	for _, r := range []VecPhysical{state0, d, h, lo, hi, mid, t} {
		VPXOR(r, r, r)
	}
	RET()
}

// most is how many powers a table has.
const most = 80

func ghash(turned Mem) {
	TEXT("ghashAVX512", NOSPLIT, "func(table *byte, state *[16]byte, src *byte, n int)")
	Pragma("noescape")
	Doc("ghashAVX512 takes n blocks, a multiple of 4 and not 0, into the state, by 80 powers: up to", "80 of them with one reduction. It takes AVX512F, BW, VL and VPCLMULQDQ.")
	table, state, src, n := Load(Param("table"), GP64()), Load(Param("state"), GP64()), Load(Param("src"), GP64()), Load(Param("n"), GP64())
	state0, swap := Z0, Z20
	VMOVDQU32(turned, swap)
	VMOVDQU(Mem{Base: state}, X0)
	VPSHUFB(swap, state0, state0)
	power, left, end := GP64(), GP64(), GP64()
	LEAQ(Mem{Base: table, Disp: 16 * most}, end)
	lo, hi, mid, mid2 := Z5, Z6, Z7, Z8
	Label("again")
	aim(n, left, power, end, most)
	for _, r := range []VecPhysical{lo, hi, mid, mid2} {
		VPXORD(r, r, r)
	}
	Label("more")
	d := Z1
	VMOVDQU32(Mem{Base: src}, d)
	VPSHUFB(swap, d, d)
	VPXORD(state0, d, d)
	VPXORD(state0, state0, state0)
	VMOVDQU32(Mem{Base: power}, Z2)
	products(Z2, d, [4]VecPhysical{lo, hi, mid, mid2}, [4]VecPhysical{Z9, Z10, Z11, Z12}, longer)
	ADDQ(U32(4*block), src)
	ADDQ(U32(4*block), power)
	SUBQ(U32(4), left)
	JNZ(LabelRef("more"))
	VPXORD(mid2, mid, mid)
	sum(lanes{X5, Y5, Z5}, lanes{X6, Y6, Z6}, lanes{X9, Y9, Z9}, mid)
	VMOVDQA(X6, X0)
	CMPQ(n, U32(0))
	JNE(LabelRef("again"))
	VPSHUFB(X20, X0, X0)
	VMOVDQU(X0, Mem{Base: state})
	emit.Leave(13)
}

// gcm adds the key stream to 80 blocks while the 80 before them, which are encrypted, are
// hashed: the one waits for what the other does not use.
func gcm(into, out, maps, order, words, swap Mem) {
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
		products(factor, d, [4]VecPhysical{lo, hi, mid, mid}, [4]VecPhysical{t, t, t, d}, longer)
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
	k.count(groups, iv, func(r VecPhysical) {
		VPBROADCASTD(count, r)
		VPADDD(order, r, r)
		VPSHUFB(words, r, r)
		ADDL(U32(16), count)
	})
	k.rounds(groups, "rounds")
	sum(lanes{X24, Y24, Z24}, lanes{X25, Y25, Z25}, lanes{X27, Y27, Z27}, mid)
	VPSHUFB(swap, X25, X25)
	VMOVDQU32(X25, Mem{Base: state})
	k.finish(groups)
	k.store(groups, k.src)
	ADDQ(U32(16*block*groups), k.src)
	ADDQ(U32(16*block*groups), k.dst)
	SUBQ(U32(16*groups), k.n)
	JNZ(LabelRef("again"))
	emit.Leave(29)
}
