package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// xts makes the tweaks beside the blocks, four to a register and four registers at a time,
// each sixteen powers of x from the next. It does so in the order of IEEE 1619; that of
// GB/T 17964 has the bits of each byte the other way round, which is a linear map of it.
func xts(into, out, maps Mem) {
	feedback := emit.Lanes("feedback", 0x87, 0)
	// Lane i is turned by i bits at first.
	left := emit.Qwords("tweakLeft", 0, 0, 1, 1, 2, 2, 3, 3)
	right := emit.Qwords("tweakRight", 64, 64, 63, 63, 62, 62, 61, 61)

	TEXT("xtsAVX512", 0, "func(rk *[32]uint32, dst, src *byte, n int, tweak *[16]byte, order uint64)")
	Pragma("noescape")
	Doc("xtsAVX512 is blocksAVX512 with a tweak added to each block before and after, the first",
		"of which tweak has, in IEEE's order; then it has the one after the last. Order is the",
		"matrix that brings tweaks to the order of theirs. It takes VPCLMULQDQ as well.")
	k := newKernel(into, out, maps)
	k.sets = 1
	next := emit.Zmm[24:28]
	tweak := Load(Param("tweak"), GP64())
	frame := emit.Room(5 * 256)
	order := Z28
	VPBROADCASTQ(NewParamAddr("order", 40), order)

	// The first four registers: by x to the lane's number, then by x^4 from one to the next.
	t, carry, high := next[0], Z0, Z1
	VBROADCASTI32X4(Mem{Base: tweak}, t)
	VMOVDQU64(right, high)
	VPSRLVQ(high, t, carry)
	VMOVDQU64(left, high)
	VPSLLVQ(high, t, t)
	carried(t, carry, high, feedback)
	for i := range 3 {
		VMOVDQA64(next[i], next[i+1])
		times(4, next[i+1], carry, high, feedback)
	}
	k.each(func(groups int, label string) {
		k.load(groups, func(i int, r VecPhysical) {
			w := k.work(0)
			VGF2P8AFFINEQB(U8(0), order, next[i%4], w[0])
			VMOVDQU64(w[0], Mem{Base: frame, Disp: 64 * i})
			VPXORD(w[0], r, r)
			times(16, next[i%4], w[1], w[2], feedback)
		})
		k.rounds(groups, label)
		k.finish(groups)
		k.store(groups, frame)
	}, func() {
		VMOVDQU32(next[0].(interface{ AsX() Register }).AsX(), Mem{Base: tweak})
		VPXORD(Z0, Z0, Z0)
		for i := range 5 * 256 / 64 {
			VMOVDQU64(Z0, Mem{Base: frame, Disp: 64 * i})
		}
	})
}

// times multiplies tweaks by x^n.
func times(n int, t, carry, high VecPhysical, feedback Mem) {
	VPSRLQ(U8(64-n), t, carry)
	VPSLLQ(U8(n), t, t)
	carried(t, carry, high, feedback)
}

// carried adds what was turned out of the halves of tweaks: the lower one's to the upper,
// the upper one's, times x^7 + x^2 + x + 1, to the lower.
func carried(t, carry, high VecPhysical, feedback Mem) {
	VPCLMULQDQ(U8(0x01), feedback, carry, high)
	VPSLLDQ(U8(8), carry, carry)
	VPTERNLOGQ(U8(emit.Xor3), carry, high, t)
}
