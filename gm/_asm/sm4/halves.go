package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
	"github.com/anole-os/anole/gm/_asm/field"
)

// half is the kernel for 256 bits: sixteen blocks in two groups of four registers.
type half struct {
	rk, dst, src, n Register
	into, out       Mem
	mats            [3]VecPhysical
}

func fourfold(name string, q uint64) Mem { return emit.Qwords(name, q, q, q, q) }

var sets = [][]VecPhysical{{Y0, Y1, Y2, Y3}, {Y4, Y5, Y6, Y7}}

// halves writes the kernels for those who have GFNI without AVX-512.
func halves() {
	into, out := fourfold("intoField256", field.P.Qword()), fourfold("outOfField256", field.P.Inverse().Qword())
	maps := emit.Qwords("dataMaps256", folded(l0), folded(l1), folded(l3))
	begin := func() *half {
		h := &half{
			rk: Load(Param("rk"), GP64()), dst: Load(Param("dst"), GP64()), src: Load(Param("src"), GP64()), n: Load(Param("n"), GP64()),
			into: into, out: out, mats: [3]VecPhysical{Y12, Y13, Y14},
		}
		for i, m := range h.mats {
			VPBROADCASTQ(maps.Offset(8*i), m)
		}
		return h
	}
	TEXT("blocksGFNI", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int)")
	Pragma("noescape")
	Doc("blocksGFNI encrypts n blocks, a multiple of 16 and not 0, or decrypts them with the keys", "in the opposite order. It takes AVX2 and GFNI.")
	h := begin()
	h.each(func() {
		for g, s := range sets {
			for i, r := range s {
				VMOVDQU(Mem{Base: h.src, Disp: 32 * (4*g + i)}, r)
				VGF2P8AFFINEQB(U8(0), into, r, r)
			}
			emit.Turn(s, []VecPhysical{Y8, Y9, Y10, Y11})
		}
	}, nil)

	var lanes []uint32
	for lane := range uint32(2) {
		for i := range uint32(4) {
			lanes = append(lanes, 2*i+lane)
		}
	}
	order := emit.Dwords("counterOrder256", lanes)
	swap := emit.Qwords("wordsSwapped256", 0x0405060700010203, 0x0c0d0e0f08090a0b, 0x0405060700010203, 0x0c0d0e0f08090a0b)
	TEXT("ctrGFNI", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int, iv *[16]byte)")
	Pragma("noescape")
	Doc("ctrGFNI adds the key stream to n blocks, a multiple of 16 and not 0: the blocks that begin", "with iv, the last 32 bits of which count up and must not wrap. iv stays. It takes AVX2 and GFNI.")
	h = begin()
	iv, count := Load(Param("iv"), GP64()), GP32()
	MOVL(Mem{Base: iv, Disp: 12}, count)
	BSWAPL(count)
	h.each(func() {
		for _, s := range sets {
			for i := range 3 {
				VPBROADCASTD(Mem{Base: iv, Disp: 4 * i}, s[i])
			}
			VMOVD(count, X8)
			VPBROADCASTD(X8, s[3])
			VPADDD(order, s[3], s[3])
			VPSHUFB(swap, s[3], s[3])
			ADDL(U32(8), count)
			for _, r := range s {
				VGF2P8AFFINEQB(U8(0), into, r, r)
			}
		}
	}, h.src)
}

// each has the 32 rounds done for sixteen blocks after sixteen, which load has in the
// registers; what add points to is added, if it is not nil.
func (h *half) each(load func(), add Register) {
	Label("next")
	load()
	at, left := GP64(), GP64()
	MOVQ(h.rk, at)
	MOVQ(U32(8), left)
	Label("rounds")
	for i := range 4 {
		VPBROADCASTD(Mem{Base: at, Disp: 4 * i}, Y15)
		for _, s := range sets {
			h.round(s, i, Y15, Y8, Y9, Y10)
		}
	}
	ADDQ(U32(16), at)
	DECQ(left)
	JNZ(LabelRef("rounds"))
	for g, s := range sets {
		for _, r := range s {
			VGF2P8AFFINEQB(U8(0), h.out, r, r)
		}
		emit.Turn([]VecPhysical{s[3], s[2], s[1], s[0]}, []VecPhysical{Y8, Y9, Y10, Y11})
		for i := range s {
			if add != nil {
				VPXOR(Mem{Base: add, Disp: 32 * (4*g + i)}, s[3-i], s[3-i])
			}
			VMOVDQU(s[3-i], Mem{Base: h.dst, Disp: 32 * (4*g + i)})
		}
	}
	ADDQ(U32(16*block), h.src)
	ADDQ(U32(16*block), h.dst)
	SUBQ(U32(16), h.n)
	JNZ(LabelRef("next"))
	for _, r := range []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y15} {
		VPXOR(r, r, r)
	}
	VZEROUPPER()
	RET()
}

func (h *half) round(s []VecPhysical, i int, key, a, b, c VecPhysical) {
	x0, x1, x2, x3 := s[i%4], s[(i+1)%4], s[(i+2)%4], s[(i+3)%4]
	VPXOR(key, x1, a)
	VPXOR(x2, a, a)
	VPXOR(x3, a, a)
	VGF2P8AFFINEINVQB(U8(0), h.mats[1], a, b)
	VPSHUFB(rotation(1), b, c)
	VPSHUFB(rotation(2), b, b)
	VPXOR(c, x0, x0)
	VGF2P8AFFINEINVQB(U8(0), h.mats[0], a, c)
	VGF2P8AFFINEINVQB(U8(0), h.mats[2], a, a)
	VPSHUFB(rotation(3), a, a)
	VPXOR(b, x0, x0)
	VPXOR(c, x0, x0)
	VPXOR(a, x0, x0)
}
