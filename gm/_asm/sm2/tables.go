package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

func tables() {
	choose("pickAffine", "[2][5][8]uint64", 2, false, "A table's entries have a lane for each of the lanes.")
	choose("pickPoint", "[3][5][8]uint64", 3, false, "A table's entries have a lane for each of the lanes.")
	choose("pickSame", "[2][5][8]uint64", 2, true, "All lanes take from the same lane of the table.")
}

// choose writes a kernel that reads the whole of a table, so that what it takes shows
// neither in the time nor in what is in the cache.
func choose(name, kind string, elems int, same bool, doc string) {
	lane := ""
	if same {
		lane = " lane int,"
	}
	TEXT(name, NOSPLIT, "func(dst, table *"+kind+","+lane+" n int, index *[8]uint64, negative uint8)")
	Pragma("noescape")
	Doc(name+" takes to each lane of dst the index-th of a table's n entries, or its negative where",
		"negative has the lane's bit.", doc)
	dst, table, n, index := pointer("dst"), pointer("table"), pointer("n"), pointer("index")
	if same {
		at := pointer("lane")
		LEAQ(Mem{Base: table, Index: at, Scale: 8}, table)
	}
	r, r8 := GP32(), GP8()
	Load(Param("negative"), r8)
	MOVBLZX(r8, r)
	KMOVB(r, K2)
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
		from := Mem{Base: table, Disp: row * i}
		if same {
			VPBROADCASTQ(from, K1, o)
		} else {
			VMOVDQU64(from, K1, o)
		}
	}
	ADDQ(U32(size*elems), table)
	DECQ(n)
	JNZ(LabelRef(name + "Next"))
	for i, o := range out {
		VMOVDQU64(o, Mem{Base: dst, Disp: row * i})
	}
	// y's negative.
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
