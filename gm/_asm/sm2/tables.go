package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

func tables() {
	choose("pickAffine", "[2][5][8]uint64", 2)
	choose("pickPoint", "[3][5][8]uint64", 3)
	window()
}

// window writes a kernel for a table that all lanes share: 32 numbers of each limb, of
// which every lane takes one by a permutation of four registers.
func window() {
	TEXT("pickWindow", NOSPLIT, "func(dst *[2][5][8]uint64, table *[10][32]uint64, index *[8]uint64, negative uint8)")
	Pragma("noescape")
	Doc("pickWindow takes to each lane of dst the index-th of a window's 32 entries, or its negative",
		"where negative has the lane's bit. All of the table is read.")
	dst, table, index := pointer("dst"), pointer("table"), pointer("index")
	negatives()
	begin()
	want, bit := Z28, Z27
	VMOVDQU64(Mem{Base: index}, want)
	VPSLLQ(U8(59), want, bit)
	VPMOVQ2M(bit, K1) // of the upper half
	out := emit.Zmm[:limbs*2]
	for i, o := range out {
		part := func(n int) Mem { return Mem{Base: table, Disp: 256*i + row*n} }
		low, high, last := Z20, Z21, Z22
		VMOVDQU64(part(0), low)
		VMOVDQU64(part(2), high)
		VMOVDQA64(want, o)
		VPERMI2Q(part(1), low, o)
		VMOVDQA64(want, last)
		VPERMI2Q(part(3), high, last)
		VMOVDQA64(last, K1, o)
	}
	leaveNegated(dst, out)
}

// negatives has the lanes that are to be negated in K2.
func negatives() {
	r, r8 := GP32(), GP8()
	Load(Param("negative"), r8)
	MOVBLZX(r8, r)
	KMOVB(r, K2)
}

// leaveNegated stores what was taken, with y's negative in the lanes of K2.
func leaveNegated(dst Register, out []VecPhysical) {
	for i, o := range out {
		VMOVDQU64(o, Mem{Base: dst, Disp: row * i})
	}
	c, t, u := emit.Zmm[16:21], Z21, Z22
	for i := range limbs {
		VPBROADCASTQ(multiples[2].Offset(8*i), c[i])
		VPSUBQ(out[limbs*y+i], c[i], c[i])
	}
	settle(c, t, u)
	for i := range limbs {
		VMOVDQU64(c[i], K2, at(dst, y).limb(i))
	}
	emit.Leave(len(emit.Zmm))
}

// choose writes a kernel that reads the whole of a table, so that what it takes shows
// neither in the time nor in what is in the cache. A table's entries have a lane for each
// of the lanes.
func choose(name, kind string, elems int) {
	TEXT(name, NOSPLIT, "func(dst, table *"+kind+", n int, index *[8]uint64, negative uint8)")
	Pragma("noescape")
	Doc(name+" takes to each lane of dst the index-th of a table's n entries, or its negative where",
		"negative has the lane's bit. A table's entries have a lane for each of the lanes.")
	dst, table, n, index := pointer("dst"), pointer("table"), pointer("n"), pointer("index")
	negatives()
	begin()
	want, count, one := Z28, Z27, Z26
	VMOVDQU64(Mem{Base: index}, want)
	zero(count)
	VPTERNLOGQ(U8(0xff), one, one, one)
	out := emit.Zmm[:limbs*elems]
	zero(out...)
	Label(name + "Next")
	VPCMPEQQ(count, want, K1)
	VPSUBQ(one, count, count) // minus -1
	for i, o := range out {
		VMOVDQU64(Mem{Base: table, Disp: row * i}, K1, o)
	}
	ADDQ(U32(size*elems), table)
	DECQ(n)
	JNZ(LabelRef(name + "Next"))
	leaveNegated(dst, out)
}
