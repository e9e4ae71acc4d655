// Command sm2 writes SM2's kernels for amd64: arithmetic of the field and of the curve in
// eight lanes, by the instructions that multiply 52 bits (AVX512-IFMA).
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// kernel begins a function that has so many slots of its own.
func kernel(name, signature string, slots int, doc ...string) func(i int) slot {
	if slots == 0 {
		TEXT(name, NOSPLIT, signature)
	} else {
		TEXT(name, 0, signature)
	}
	Pragma("noescape")
	Doc(doc...)
	if slots == 0 {
		return nil
	}
	frame := emit.Room(size * slots)
	return func(i int) slot {
		if i >= slots {
			panic("a slot that is not there")
		}
		return at(frame, i)
	}
}

func field() {
	kernel("mul", "func(z, x, y *[5][8]uint64)", 0, "mul sets z to x·y in each lane.")
	z, x, y := Load(Param("z"), GP64()), Load(Param("x"), GP64()), Load(Param("y"), GP64())
	begin()
	mul(at(z, 0), at(x, 0), at(y, 0))
	emit.Leave(len(emit.Zmm))

	kernel("square", "func(z, x *[5][8]uint64, n int)", 0, "square sets z to x squared n times, 1 or more, in each lane.")
	z, x = Load(Param("z"), GP64()), Load(Param("x"), GP64())
	n := Load(Param("n"), GP64())
	begin()
	r := newPool()
	v := at(x, 0).load(r)
	Label("squareAgain")
	q := squared(r, v)
	for i := range v {
		VMOVDQA64(q[i], v[i])
	}
	DECQ(n)
	JNZ(LabelRef("squareAgain"))
	store(at(z, 0), v)
	emit.Leave(len(emit.Zmm))
}

// pointer loads a parameter.
func pointer(name string) Register { return Load(Param(name), GP64()) }

func main() {
	data()
	field()
	points()
	tables()
	Generate()
}
