// Package emit is what the generators share.
package emit

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Xor3 is a truth table of VPTERNLOG.
const Xor3 = 0x96

// Zmm are the registers of 512 bits.
var Zmm = []VecPhysical{
	Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
	Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31,
}

// Qwords puts constants of 64 bits into the object.
func Qwords(name string, q ...uint64) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range q {
		DATA(8*i, U64(v))
	}
	return m
}

// Lanes is a constant of 128 bits, once for each lane of a Zmm.
func Lanes(name string, low, high uint64) Mem {
	return Qwords(name, low, high, low, high, low, high, low, high)
}

// Dwords puts constants of 32 bits into the object.
func Dwords(name string, d []uint32) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i, v := range d {
		DATA(4*i, U32(v))
	}
	return m
}

// Turn transposes the 4 by 4 words in each lane of 128 bits of r. It takes four of t.
func Turn(r, t []VecPhysical) {
	VPUNPCKLDQ(r[1], r[0], t[0])
	VPUNPCKHDQ(r[1], r[0], t[1])
	VPUNPCKLDQ(r[3], r[2], t[2])
	VPUNPCKHDQ(r[3], r[2], t[3])
	VPUNPCKLQDQ(t[2], t[0], r[0])
	VPUNPCKHQDQ(t[2], t[0], r[1])
	VPUNPCKLQDQ(t[3], t[1], r[2])
	VPUNPCKHQDQ(t[3], t[1], r[3])
}

// Room is a place of so many bytes on the stack, at a line of the cache: registers of 512
// bits are stored and loaded there at once.
func Room(bytes int) Register {
	const line = 64
	local, at := AllocLocal(bytes+line), GP64()
	LEAQ(local.Offset(line-1), at)
	ANDQ(I32(-line), at)
	return at
}

// Leave returns with the first n registers empty: nothing of keys or data stays there.
func Leave(n int) {
	for _, r := range Zmm[:n] {
		VPXORD(r, r, r)
	}
	VZEROUPPER()
	RET()
}
