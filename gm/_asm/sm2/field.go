package main

import (
	"math/big"
	"slices"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"

	"github.com/anole-os/anole/gm/_asm/emit"
)

// An element is five limbs of 52 bits, the least first, each in its own register or 64
// bytes of memory, for eight elements side by side: a lane each. All are in Montgomery's
// form, to the radix of 2^260.
const (
	limbs = 5
	bits  = 52
	row   = 64
	size  = limbs * row
)

// p is the field's prime, GB/T 32918.5.
var p, _ = new(big.Int).SetString("fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff", 16)

// slot is where an element is.
type slot struct{ mem Mem }

func (s slot) limb(i int) Mem { return s.mem.Offset(row * i) }

// at is the i-th element behind a pointer.
func at(r Register, i int) slot { return slot{Mem{Base: r, Disp: size * i}} }

// Registers that hold the same in all of the kernels.
var (
	mask   = Z31 // 52 ones
	inner  = Z30 // 2^44 - 2^12
	outer  = Z29 // 2^48 - 2^16
	shared = emit.Zmm[:29]
)

var (
	constants Mem
	multiples = map[int]Mem{} // of p, limb by limb
)

// pool has the registers that are free.
type pool struct{ free []VecPhysical }

func newPool() *pool { return &pool{append([]VecPhysical{}, shared...)} }

func (p *pool) take(n int) []VecPhysical {
	r := p.free[:n:n]
	p.free = p.free[n:]
	return r
}

func (p *pool) give(r ...VecPhysical) { p.free = append(p.free, r...) }

// load brings an element to registers.
func (s slot) load(p *pool) []VecPhysical {
	r := p.take(limbs)
	for i := range r {
		VMOVDQU64(s.limb(i), r[i])
	}
	return r
}

// ops are its limbs in memory.
func (s slot) ops() (o []Op) {
	for i := range limbs {
		o = append(o, s.limb(i))
	}
	return o
}

// ops are registers as operands.
func ops(r []VecPhysical) (o []Op) {
	for _, v := range r {
		o = append(o, v)
	}
	return o
}

// data puts the constants into the object.
func data() {
	constants = emit.Qwords("fieldConstants", 1<<bits-1, 1<<44-1<<12, 1<<48-1<<16)
	for _, k := range []int{2, 4, 12, 48} {
		v := new(big.Int).Mul(p, big.NewInt(int64(k)))
		var q []uint64
		for i := range limbs {
			l := new(big.Int).Rsh(v, uint(bits*i))
			if i < limbs-1 {
				l.And(l, big.NewInt(1<<bits-1))
			}
			q = append(q, l.Uint64())
		}
		multiples[k] = emit.Qwords(map[int]string{2: "twoP", 4: "fourP", 12: "twelveP", 48: "fortyEightP"}[k], q...)
	}
}

func begin() {
	VPBROADCASTQ(constants, mask)
	VPBROADCASTQ(constants.Offset(8), inner)
	VPBROADCASTQ(constants.Offset(16), outer)
}

func zero(r ...VecPhysical) {
	for _, v := range r {
		VPXORQ(v, v, v)
	}
}

// product is one under way: what is known of places 0 to 8, what of places 1 to 9, and
// what is to be taken from the next two places. It has registers for as long as it needs
// them.
type product struct {
	*pool
	lo, hi     [2*limbs - 1]VecPhysical
	less, then VecPhysical
	m, t       VecPhysical
}

func newProduct(p *pool) *product {
	r := p.take(4)
	zero(r[:2]...)
	return &product{pool: p, less: r[0], then: r[1], m: r[2], t: r[3]}
}

// place has registers for place i.
func (p *product) place(i int) (lo, hi VecPhysical) {
	if p.lo[i] == nil {
		r := p.take(2)
		zero(r...)
		p.lo[i], p.hi[i] = r[0], r[1]
	}
	return p.lo[i], p.hi[i]
}

// multiply gives a·b, less than 1.25 p where both are less than 2 p. a may still be in
// memory. Registers of a and b are given back.
func multiply(r *pool, a []Op, b []VecPhysical) []VecPhysical {
	p := newProduct(r)
	for i := range limbs {
		x, ok := a[i].(VecPhysical)
		if !ok {
			x = r.take(1)[0]
			VMOVDQU64(a[i], x)
		}
		for j := range limbs {
			lo, hi := p.place(i + j)
			VPMADD52LUQ(b[j], x, lo)
			VPMADD52HUQ(b[j], x, hi)
		}
		r.give(x)
		if i == limbs-1 {
			r.give(b...)
		}
		p.clear(i)
	}
	return p.finish()
}

// mul stores a·b. dst may be a or b.
func mul(dst, a, b slot) {
	r := newPool()
	store(dst, multiply(r, a.ops(), b.load(r)))
}

// square stores a·a.
func square(dst, a slot) {
	r := newPool()
	store(dst, squared(r, a.load(r)))
}

// squared gives x·x, as multiply does.
func squared(r *pool, x []VecPhysical) []VecPhysical {
	p := newProduct(r)
	for place := range 2*limbs - 1 {
		// What comes twice, once, then doubled.
		lo, hi := p.place(place)
		for i := range limbs {
			if j := place - i; i < j && j < limbs {
				VPMADD52LUQ(x[j], x[i], lo)
				VPMADD52HUQ(x[j], x[i], hi)
			}
		}
		if place > 0 && place < 2*limbs-2 {
			VPADDQ(lo, lo, lo)
			VPADDQ(hi, hi, hi)
		}
		if place%2 == 0 {
			VPMADD52LUQ(x[place/2], x[place/2], lo)
			VPMADD52HUQ(x[place/2], x[place/2], hi)
		}
		// What clearing place i adds is to places up to i + 5, of which i + 4 has been doubled.
		if place >= limbs-1 {
			p.clear(place - limbs + 1)
		}
	}
	r.give(x...)
	return p.finish()
}

// clear takes place i, which is complete, off by a multiple of the prime. As p + 1 is
// 2^256 - 2^224 - 2^96 + 2^64, the multiple that clears a limb is the limb itself; above
// it two products are added and two are taken.
func (p *product) clear(i int) {
	if i > 0 {
		p.gather(i)
		VPADDQ(p.t, p.lo[i], p.lo[i])
		VPSUBQ(p.less, p.lo[i], p.lo[i])
		zero(p.less)
		p.less, p.then = p.then, p.less
	}
	VPANDQ(mask, p.lo[i], p.m)
	VPSRAQ(U8(bits), p.lo[i], p.t)
	p.give(p.lo[i])
	VPMADD52LUQ(inner, p.m, p.less)
	VPMADD52HUQ(inner, p.m, p.then)
	VPMADD52LUQ(outer, p.m, p.lo[i+4])
	VPMADD52HUQ(outer, p.m, p.hi[i+4])
}

// gather brings what is known of place i together.
func (p *product) gather(i int) {
	VPADDQ(p.hi[i-1], p.lo[i], p.lo[i])
	p.give(p.hi[i-1])
}

// finish gives what is left: the product divided by 2^260, mod the prime.
func (p *product) finish() []VecPhysical {
	for i := limbs; i < 2*limbs-1; i++ {
		p.gather(i)
	}
	c := append(append([]VecPhysical{}, p.lo[limbs:]...), p.hi[2*limbs-2])
	VPADDQ(p.t, c[0], c[0])
	VPSUBQ(p.less, c[0], c[0])
	VPSUBQ(p.then, c[1], c[1])
	carry(c, p.t)
	p.give(p.less, p.then, p.m, p.t)
	return c
}

// carry leaves 52 bits in each limb but the highest.
func carry(c []VecPhysical, t VecPhysical) {
	for i := range limbs - 1 {
		VPSRAQ(U8(bits), c[i], t)
		VPANDQ(mask, c[i], c[i])
		VPADDQ(t, c[i+1], c[i+1])
	}
}

// settle makes limbs of any sign, of a sum from 0 to 100 p, to one of the same residue
// that is less than 1.001 p: what stands above 2^256 is counted and taken off as so many p.
func settle(c []VecPhysical, t, u VecPhysical) {
	VPSRAQ(U8(48), c[4], t)
	VPSLLQ(U8(48), t, u)
	VPSUBQ(u, c[4], c[4])
	VPSLLQ(U8(16), t, u)
	VPADDQ(u, c[4], c[4])
	VPADDQ(t, c[0], c[0])
	VPSLLQ(U8(12), t, u)
	VPSUBQ(u, c[1], c[1])
	VPSLLQ(U8(44), t, u)
	VPADDQ(u, c[1], c[1])
	carry(c, t)
}

// term is k times an element; k is a power of two.
type term struct {
	k int
	s slot
}

// sum stores the sum of terms, settled; with those of k below 0 so many of p are added
// that it is none.
func sum(dst slot, terms ...term) {
	c, t, u := shared[0:5], shared[5], shared[6]
	linear(c, t, terms...)
	settle(c, t, u)
	store(dst, c)
}

func store(dst slot, c []VecPhysical) {
	for i := range limbs {
		VMOVDQU64(c[i], dst.limb(i))
	}
}

// linear adds up terms, limb by limb, the first of which has k = 1 or -1.
func linear(c []VecPhysical, t VecPhysical, terms ...term) {
	worst := 0
	for _, x := range terms {
		if x.k < 0 {
			worst -= x.k
		}
	}
	for i := range limbs {
		first := terms
		if worst > 0 {
			VPBROADCASTQ(enough(2*worst).Offset(8*i), c[i])
		} else {
			VMOVDQU64(terms[0].s.limb(i), c[i])
			first = terms[1:]
		}
		for _, x := range first {
			k, op := x.k, VPADDQ
			if k < 0 {
				k, op = -k, VPSUBQ
			}
			if k == 1 {
				op(x.s.limb(i), c[i], c[i])
				continue
			}
			VPSLLQ(U8(log(k)), x.s.limb(i), t)
			op(t, c[i], c[i])
		}
	}
}

func enough(k int) Mem {
	for _, n := range []int{2, 4, 12, 48} {
		if n >= k {
			return multiples[n]
		}
	}
	panic("a sum of more than is foreseen")
}

func log(k int) (n int) {
	for ; 1<<n < k; n++ {
	}
	return n
}

// remove takes registers that are in use out of the pool.
func (p *pool) remove(used ...VecPhysical) {
	p.free = slices.DeleteFunc(p.free, func(v VecPhysical) bool { return slices.Contains(used, v) })
}
