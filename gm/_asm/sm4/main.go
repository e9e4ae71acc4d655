// Command sm4 writes SM4's kernels for amd64.
//
// A word of the state is held by P, the first affine map of the S-box, byte by byte:
// what goes into the inversion is then a plain sum. All that comes after the inversion,
// the second affine map, the rotations by bits within L, and P again, are three linear
// maps of a byte, which the instruction for the inversion takes as its matrix. What is
// left of L are rotations by bytes. The constants of both maps are in the round keys:
// a word lacks L's sum of them every other time that it is made, and the 32 rounds end
// where it does not.
//
// Words are in the order of memory, so that a rotation of SM4 to the left is one to the
// right here, and no byte is swapped.
package main

import (
	"fmt"
	"math/bits"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
	"github.com/anole-os/anole/gm/_asm/field"
)

const block = 16

// times is a rotation's matrix by how many bytes the argument is turned: l of the data's
// L, k of the keys'.
var (
	l0 = field.One.Plus(field.Shl(2))
	l1 = field.Shl(2).Plus(field.Shr(6)) // turned by one byte, and by two
	l3 = field.One.Plus(field.Shr(6))
	k1 = field.Shl(5)
	k2 = field.Shr(3).Plus(field.Shl(7))
	k3 = field.Shr(1)
)

func folded(l field.Matrix) uint64 { return field.P.Times(l).Times(field.Q).Qword() }

// lacking are what words lack that rounds make: every other four of them.
func lacking(sum byte) func(i int) byte {
	return func(i int) byte {
		if i/4%2 == 1 {
			return sum
		}
		return 0
	}
}

func turned(q byte, by ...int) (sum byte) {
	for _, n := range by {
		sum ^= bits.RotateLeft8(q, n)
	}
	return sum
}

var (
	// Of four equal bytes L makes four equal ones.
	data = lacking(field.P.Map(turned(field.OutQ, 0, 2, 2, 2, 0)))
	keys = lacking(field.P.Map(turned(field.OutQ, 0, 5, 7)))
)

// around is what goes into round i without being asked for.
func around(lacks func(int) byte, i int) byte { return lacks(i+1) ^ lacks(i+2) ^ lacks(i+3) }

func repeated(b byte) uint32 { return uint32(b) * 0x01010101 }

func swapped(b [4]byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// ck are the keys' round constants, GB/T 32907-2016, 7.3, in memory's order.
func ck(i int) (b [4]byte) {
	for j := range b {
		b[j] = byte((4*i + j) * 7)
	}
	return b
}

func expandKey() {
	var constants, out []uint32
	for i := range 32 {
		c := ck(i)
		for j := range c {
			c[j] = field.P.Map(c[j]) ^ field.InP ^ around(keys, i)
		}
		constants = append(constants, swapped(c))
		out = append(out, repeated(keys(i+4)^field.InP^around(data, i)))
	}
	cks := emit.Dwords("keyConstants", constants)
	ends := emit.Dwords("keyEnds", out)
	fk := emit.Dwords("systemParameter", []uint32{0xc6bab1a3, 0x5033aa56, 0x97917d67, 0xdc2270b2})
	maps := emit.Qwords("keyMaps", field.P.Qword(), field.P.Qword(), folded(field.One), folded(field.One), folded(k1), folded(k1), folded(k2), folded(k2), folded(k3), folded(k3))
	for _, d := range dialects {
		TEXT("expandKey"+d.name, NOSPLIT, "func(key *byte, enc *[32]uint32)")
		Pragma("noescape")
		Doc("expandKey" + d.name + " makes the round keys of the kernels with GFNI. It takes " + d.takes + ".")
		key, enc := Load(Param("key"), GP64()), Load(Param("enc"), GP64())
		p, m0, m1, m2, m3 := X10, X11, X12, X13, X14
		for i, m := range []VecPhysical{p, m0, m1, m2, m3} {
			VMOVDQU(maps.Offset(16*i), m)
		}
		s := []VecPhysical{X0, X1, X2, X3}
		t, a, b, u := X4, X5, X6, X7
		VMOVDQU(Mem{Base: key}, s[0])
		VPXOR(fk, s[0], s[0])
		VGF2P8AFFINEQB(U8(0), p, s[0], s[0])
		for i := 3; i >= 0; i-- {
			VPSHUFD(U8(i), s[0], s[i])
		}
		for i := range 32 {
			x0, x1, x2, x3 := s[i%4], s[(i+1)%4], s[(i+2)%4], s[(i+3)%4]
			d.spread(cks.Offset(4*i), x3, t)
			d.add(x1, x2, t)
			VGF2P8AFFINEINVQB(U8(0), m0, t, a)
			VPXOR(a, x0, x0)
			VGF2P8AFFINEINVQB(U8(0), m1, t, a)
			d.turn(1, a, a)
			VGF2P8AFFINEINVQB(U8(0), m2, t, b)
			d.turn(2, b, b)
			d.add(a, b, x0)
			VGF2P8AFFINEINVQB(U8(0), m3, t, a)
			d.turn(3, a, a)
			VPXOR(a, x0, x0)
			d.spread(ends.Offset(4*i), x0, u)
			VMOVD(u, Mem{Base: enc, Disp: 4 * i})
		}
		for _, r := range []VecPhysical{X0, X1, X2, X3, X4, X5, X6, X7} {
			VPXOR(r, r, r)
		}
		RET()
	}
}

// kernel is the part of the AVX-512 functions that they share.
type kernel struct {
	mats         [3]VecPhysical
	rk, dst, src Register
	n            Register
	into, out    Mem
	sets         int             // of four registers to work with, from Z20 on
	between      func(round int) // what else is done in the loop over eight rounds
}

// work are registers for what a group does.
func (k *kernel) work(g int) []VecPhysical { return emit.Zmm[20+4*(g%k.sets):] }

// spare are six registers where there is one group.
func (k *kernel) spare() []VecPhysical {
	return append(append([]VecPhysical{}, k.work(0)[:4]...), emit.Zmm[4:6]...)
}

func (k *kernel) group(g int) []VecPhysical { return emit.Zmm[4*g : 4*g+4] }

// load takes the blocks of all groups, to which add adds something, if it is not nil.
func (k *kernel) load(groups int, add func(i int, r VecPhysical)) {
	for g := range groups {
		s := k.group(g)
		for i, r := range s {
			VMOVDQU32(Mem{Base: k.src, Disp: 64 * (4*g + i)}, r)
			if add != nil {
				add(4*g+i, r)
			}
			VGF2P8AFFINEQB_BCST(U8(0), k.into, r, r)
		}
		emit.Turn(s, k.work(g))
	}
}

// count takes counters in place of blocks; last gives a group's last words, which are
// those that count.
func (k *kernel) count(groups int, iv Register, last func(r VecPhysical)) {
	for g := range groups {
		s := k.group(g)
		for i := range 3 {
			VPBROADCASTD(Mem{Base: iv, Disp: 4 * i}, s[i])
		}
		last(s[3])
		for _, r := range s {
			VGF2P8AFFINEQB_BCST(U8(0), k.into, r, r)
		}
	}
}

// store gives the blocks of all groups, to which what add points to is added, if it is
// not nil.
func (k *kernel) store(groups int, add Register) {
	for g := range groups {
		s := k.group(g)
		for i := range s {
			if add != nil {
				VPXORD(Mem{Base: add, Disp: 64 * (4*g + i)}, s[3-i], s[3-i])
			}
			VMOVDQU32(s[3-i], Mem{Base: k.dst, Disp: 64 * (4*g + i)})
		}
	}
}

// rounds has all groups go through the 32 rounds, eight of them in a loop.
func (k *kernel) rounds(groups int, label string) {
	if groups == 1 {
		s := k.group(0)
		chain(evex, k.rk, s, k.mats[:], k.spare())
		return
	}
	at, left := GP64(), GP64()
	MOVQ(k.rk, at)
	MOVQ(U32(4), left)
	Label(label)
	for i := range 8 {
		for g := range groups {
			s, t := k.group(g), k.work(g)
			x0, x1, x2, x3 := s[i%4], s[(i+1)%4], s[(i+2)%4], s[(i+3)%4]
			VPXORD_BCST(Mem{Base: at, Disp: 4 * i}, x1, t[0])
			VPTERNLOGD(U8(emit.Xor3), x2, x3, t[0]) // x3 is the newest
			VGF2P8AFFINEINVQB(U8(0), k.mats[0], t[0], t[1])
			VGF2P8AFFINEINVQB(U8(0), k.mats[1], t[0], t[2])
			VGF2P8AFFINEINVQB(U8(0), k.mats[2], t[0], t[0])
			VPRORD(U8(8), t[2], t[3])
			VPTERNLOGD(U8(emit.Xor3), t[1], t[3], x0)
			VPRORD(U8(16), t[2], t[2])
			VPRORD(U8(24), t[0], t[0])
			VPTERNLOGD(U8(emit.Xor3), t[2], t[0], x0)
		}
		if k.between != nil {
			k.between(i)
		}
	}
	ADDQ(U32(32), at)
	DECQ(left)
	JNZ(LabelRef(label))
}

// chain is the 32 rounds where they wait for each other: what counts is how long a round
// takes. What a round needs of the words before the newest one is summed up early, and
// the new word's parts go into the next round before they are summed up themselves.
func chain(by dialect, rk Register, s, mats, t []VecPhysical) {
	in, a, b, c, d, early := t[0], t[1], t[2], t[3], t[4], t[5]
	by.spread(Mem{Base: rk}, s[1], in)
	by.add(s[2], s[3], in)
	for i := range 32 {
		word := s[i%4] // which the round changes, and which is the newest for the next one
		if i < 31 {
			by.spread(Mem{Base: rk, Disp: 4 * (i + 1)}, s[(i+2)%4], early)
			by.add(s[(i+3)%4], word, early)
		}
		VGF2P8AFFINEINVQB(U8(0), mats[0], in, a)
		VGF2P8AFFINEINVQB(U8(0), mats[1], in, b)
		VGF2P8AFFINEINVQB(U8(0), mats[2], in, c)
		by.turn(1, b, d)
		by.turn(2, b, b)
		by.turn(3, c, c)
		by.add(d, b, c)
		if i < 31 {
			by.move(early, in)
			by.add(a, c, in)
		}
		by.add(a, c, word)
	}
}

// finish gives the blocks back: the words are the last four, the last one first.
func (k *kernel) finish(groups int) {
	for g := range groups {
		s := k.group(g)
		for _, r := range s {
			VGF2P8AFFINEQB_BCST(U8(0), k.out, r, r)
		}
		emit.Turn([]VecPhysical{s[3], s[2], s[1], s[0]}, k.work(g))
	}
}

func newKernel(into, out, maps Mem) *kernel {
	k := &kernel{
		rk: Load(Param("rk"), GP64()), dst: Load(Param("dst"), GP64()), src: Load(Param("src"), GP64()), n: Load(Param("n"), GP64()),
		mats: [3]VecPhysical{Z29, Z30, Z31}, into: into, out: out, sets: 2,
	}
	for i, m := range k.mats {
		VPBROADCASTQ(maps.Offset(8*i), m)
	}
	return k
}

// each emits body for as many groups at once as is best: five, but so that neither one nor
// two are left in the end, which take nearly as long as three do. A page is in fours.
func (k *kernel) each(body func(groups int, label string), last ...func()) {
	Label("next")
	for _, n := range []int{16, 12, 8} {
		CMPQ(k.n, U32(16*n))
		JEQ(LabelRef("groups4"))
	}
	for _, c := range [][2]int{{8, 5}, {7, 4}, {6, 3}, {5, 5}, {4, 4}, {3, 3}, {2, 2}, {1, 1}} {
		CMPQ(k.n, U32(16*c[0]))
		JGE(LabelRef(fmt.Sprintf("groups%d", c[1])))
	}
	for _, f := range last {
		f()
	}
	emit.Leave(29)
	for groups := 5; groups >= 1; groups-- {
		Label(fmt.Sprintf("groups%d", groups))
		body(groups, fmt.Sprintf("rounds%d", groups))
		ADDQ(U32(16*block*groups), k.src)
		ADDQ(U32(16*block*groups), k.dst)
		SUBQ(U32(16*groups), k.n)
		JMP(LabelRef("next"))
	}
}

// tail is for what is left over of a message in the end, and the block that masks its tag.
func tail(into, out, maps, order, next, swap Mem) {
	TEXT("tailAVX512", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int, end *[256]byte, iv *[16]byte, last uint32)")
	Pragma("noescape")
	Doc("tailAVX512 is ctrAVX512 for n groups of 16 blocks, 0 to 4, and one more, which is at end,", "but that the counter of the last block is last.")
	k := newKernel(into, out, maps)
	end, iv, first, odd := Load(Param("end"), GP64()), Load(Param("iv"), GP64()), GP32(), GP32()
	MOVL(Mem{Base: iv, Disp: 12}, first)
	BSWAPL(first)
	VPBROADCASTD(first, Z28)
	VPADDD(order, Z28, Z28)
	MOVL(U32(0x8000), odd) // where the last block's word is
	KMOVW(odd, K1)
	Load(Param("last"), odd)
	for direct := 4; direct >= 0; direct-- {
		if direct > 0 {
			CMPQ(k.n, U32(direct))
			JL(LabelRef(fmt.Sprintf("less%d", direct)))
		}
		counted := 0
		k.count(direct+1, iv, func(r VecPhysical) {
			if counted++; counted == direct+1 {
				VPBROADCASTD(odd, K1, Z28)
			}
			VPSHUFB(swap, Z28, r)
			VPADDD_BCST(next, Z28, Z28)
		})
		k.rounds(direct+1, fmt.Sprintf("rounds%d", direct+1))
		k.finish(direct + 1)
		k.store(direct, k.src)
		for i, s := 0, k.group(direct); i < 4; i++ {
			VPXORD(Mem{Base: end, Disp: 64 * i}, s[3-i], s[3-i])
			VMOVDQU32(s[3-i], Mem{Base: end, Disp: 64 * i})
		}
		emit.Leave(29)
		if direct > 0 {
			Label(fmt.Sprintf("less%d", direct))
		}
	}
}

func main() {
	expandKey()
	maps := emit.Qwords("dataMaps", folded(l0), folded(l1), folded(l3))
	into, out := emit.Qwords("intoField", field.P.Qword()), emit.Qwords("outOfField", field.P.Inverse().Qword())

	TEXT("blocksAVX512", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int)")
	Pragma("noescape")
	Doc("blocksAVX512 encrypts n blocks, a multiple of 16, or decrypts them with the keys in", "the opposite order. It takes AVX512F, BW and GFNI.")
	k := newKernel(into, out, maps)
	k.each(func(groups int, label string) {
		k.load(groups, nil)
		k.rounds(groups, label)
		k.finish(groups)
		k.store(groups, nil)
	})

	var lanes []uint32
	for lane := range uint32(4) {
		for i := range uint32(4) {
			lanes = append(lanes, 4*i+lane)
		}
	}
	order := emit.Dwords("counterOrder", lanes)
	next := emit.Dwords("counterNext", []uint32{16})
	swap := emit.Lanes("wordsSwapped", 0x0405060700010203, 0x0c0d0e0f08090a0b)
	TEXT("ctrAVX512", NOSPLIT, "func(rk *[32]uint32, dst, src *byte, n int, iv *[16]byte)")
	Pragma("noescape")
	Doc("ctrAVX512 adds the key stream to n blocks, a multiple of 16: the blocks that begin", "with iv, the last 32 bits of which count up and must not wrap. iv stays.")
	k = newKernel(into, out, maps)
	iv := Load(Param("iv"), GP64())
	first := GP32()
	MOVL(Mem{Base: iv, Disp: 12}, first)
	BSWAPL(first)
	VPBROADCASTD(first, Z28)
	VPADDD(order, Z28, Z28)
	k.each(func(groups int, label string) {
		k.count(groups, iv, func(r VecPhysical) {
			VPSHUFB(swap, Z28, r)
			VPADDD_BCST(next, Z28, Z28)
		})
		k.rounds(groups, label)
		k.finish(groups)
		k.store(groups, k.src)
	})
	tail(into, out, maps, order, next, swap)
	xts(into, out, maps)
	serial()
	halves()
	many(into, out, maps)
	powers()
	turned := emit.Lanes("blocksTurned", 0x08090a0b0c0d0e0f, 0x0001020304050607)
	narrow(turned)
	ghash(turned)
	gcm(into, out, maps, order, swap, turned)
	Generate()
}
