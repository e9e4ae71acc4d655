package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// dialect is how what GFNI does not do is said: with AVX-512 a sum of three and a rotation
// are one instruction, and a constant is spread as it is read.
type dialect struct {
	name, takes string
	wide        bool // AVX-512
}

var (
	evex     = dialect{"AVX512", "AVX512VL and GFNI", true}
	vex      = dialect{"GFNI", "AVX2 and GFNI", false}
	dialects = []dialect{evex, vex}
)

// add adds a and b to a register.
func (d dialect) add(a, b, to VecPhysical) {
	if d.wide {
		VPTERNLOGD(U8(emit.Xor3), a, b, to)
		return
	}
	VPXOR(a, to, to)
	VPXOR(b, to, to)
}

// spread adds a word in memory to each of x's; to is not x.
func (d dialect) spread(m Mem, x, to VecPhysical) {
	if d.wide {
		VPXORD_BCST(m, x, to)
		return
	}
	VPBROADCASTD(m, to)
	VPXOR(x, to, to)
}

func (d dialect) move(from, to VecPhysical) {
	if d.wide {
		VMOVDQA32(from, to)
		return
	}
	VMOVDQA(from, to)
}

// turn turns each word right by n bytes.
func (d dialect) turn(n int, x, to VecPhysical) {
	if d.wide {
		VPRORD(U8(8*n), x, to)
		return
	}
	VPSHUFB(rotation(n), x, to)
}

var rotations = map[int]Mem{}

// rotation is the constant by which VPSHUFB turns words right by n bytes, for 256 bits.
func rotation(n int) Mem {
	if m, ok := rotations[n]; ok {
		return m
	}
	var q [4]uint64
	for i := range 32 {
		word, b := i%16/4, (i+n)%4
		q[i/8] |= uint64(4*word+b) << (8 * (i % 8))
	}
	rotations[n] = emit.Qwords([]string{"", "turnedByOne", "turnedByTwo", "turnedByThree"}[n], q[:]...)
	return rotations[n]
}
