package lanes

import (
	"math/bits"
	"sync"
)

// order is the curve's, n.
var order = Words{0x53bbf40939d54123, 0x7203df6b21c6052b, 0xffffffffffffffff, 0xfffffffeffffffff}

// generator is the curve's G.
var (
	generatorX = Words{0x715a4589334c74c7, 0x8fe30bbff2660be1, 0x5f9904466a39c994, 0x32c4ae2c1f198119}
	generatorY = Words{0x02df32e52139f0a0, 0xd0a9877cc62a4740, 0x59bdcee36b692153, 0xbc3736a2f4f6779c}
)

var generator = sync.OnceValue(func() *Table { return newTable(&generatorX, &generatorY, fine) })

// odd gives k or n - k, whichever is odd, and 0xff where it is the second.
func odd(k *Words) (o Words, negative uint8) {
	even := k[0]&1 - 1
	var b uint64
	for i := range o {
		o[i], b = bits.Sub64(order[i], k[i], b)
	}
	for i := range o {
		o[i] = o[i]&even | k[i]&^even
	}
	return o, uint8(even)
}

// scratch is a sum's room. It has no pointers, so that it is aligned as its size is.
type scratch struct {
	sum, turned Point
	pick        Affine
	far         Point
	index       [Lanes]uint64
	_           [Lanes]uint64
}

var rooms = sync.Pool{New: func() any { return new(scratch) }}

// put away wipes what a scalar could be told from.
func (s *scratch) free() {
	*s = scratch{}
	rooms.Put(s)
}

// add adds k times the table's base to the sum, split over its lanes. A sum that is not
// begun has no z.
func (s *scratch) add(t *Table, k *Words, begun bool) {
	o, flip := odd(k)
	entries := t.entries
	for round := range t.comb {
		n := t.comb.entries(round)
		negative := t.comb.digits(&o, round, &s.index)
		pickAffine(&s.pick, &entries[0], n, &s.index, negative^flip)
		entries = entries[n:]
		if !begun {
			s.sum[x], s.sum[y], s.sum[z] = s.pick[x], s.pick[y], one
			begun = true
			continue
		}
		addAffine(&s.sum, &s.pick)
	}
}

var halves = [3][Lanes]uint64{{4, 5, 6, 7, 0, 1, 2, 3}, {2, 3, 0, 1, 6, 7, 4, 5}, {1, 0, 3, 2, 5, 4, 7, 6}}

// fold brings the lanes' sum to all lanes, but for what the additions cannot: z is 0 then.
func (s *scratch) fold() {
	for i := range halves {
		permute(&s.turned, &s.sum, &halves[i])
		add(&s.sum, &s.turned)
	}
}

// BaseMult gives the x coordinate of k times G, k from 1 to n-1.
func BaseMult(k *Words) Words {
	s := rooms.Get().(*scratch)
	defer s.free()
	s.add(generator(), k, false)
	s.fold()
	i := &s.far[z]
	invert(i, &s.sum[z])
	return take(s.affine(i), 0)
}

// affine gives the sums' x, of what their z are inverted, in its place.
func (s *scratch) affine(inverse *Elem) *Elem {
	square(inverse, inverse, 1)
	mul(inverse, inverse, &s.sum[x])
	leave(inverse, inverse)
	return inverse
}

// BaseMultMany gives the x coordinates of multiples of G, as BaseMult does: of 8 or of 16,
// which have an inversion together.
func BaseMultMany(out, k []Words) {
	var groups [2]*scratch
	n := len(k) / Lanes
	if n < 1 || n > len(groups) || len(k)%Lanes != 0 || len(out) < len(k) {
		panic("lanes: neither 8 nor 16 scalars, or no room")
	}
	for g := range groups[:n] {
		groups[g] = rooms.Get().(*scratch)
	}
	addEach(groups[:n], k, false)
	first, last := groups[0], groups[n-1]
	inverse, product := &last.far[x], &last.far[y]
	*product = first.sum[z]
	if n == 2 {
		mul(product, product, &last.sum[z])
	}
	invert(inverse, product)
	for g := n - 1; g >= 0; g-- {
		own := &groups[g].far[z]
		*own = *inverse
		if n == 2 {
			mul(own, own, &groups[1-g].sum[z])
		}
		groups[g].affine(own)
		for l := range Lanes {
			out[g*Lanes+l] = take(own, l)
		}
	}
	for _, s := range groups[:n] {
		s.free()
	}
}

// addEach adds k[l] times G to the sum in lane l, for one or two groups of lanes, which
// share what they read of the table.
func addEach(groups []*scratch, k []Words, begun bool) {
	var o [2 * Lanes]Words
	var flip [2]uint8
	for i := range k {
		var n uint8
		o[i], n = odd(&k[i])
		flip[i/Lanes] |= n & (1 << (i % Lanes))
	}
	all := windows()
	for i := range all {
		for g, s := range groups {
			var negative uint8
			for l := range Lanes {
				at, n := digit(&o[g*Lanes+l], i*windowBits, windowBits)
				s.index[l] = at
				negative |= n << l
			}
			pickWindow(&s.pick, &all[i], &s.index, negative^flip[g])
			if !begun {
				s.sum[x], s.sum[y], s.sum[z] = s.pick[x], s.pick[y], one
				continue
			}
			addAffine(&s.sum, &s.pick)
		}
		begun = true
	}
	o = [2 * Lanes]Words{}
}

// Windows of G for scalars that do not share one sum: the odd multiples in each.
const (
	windowBits  = 6
	windowCount = (256 + windowBits - 1) / windowBits
)

// window has 32 numbers of each limb of x and of y, which pickWindow takes: 110 KB of all.
type window = [10][1 << (windowBits - 1)]uint64

var windows = sync.OnceValue(func() *[windowCount]window {
	const rounds = (windowCount + Lanes - 1) / Lanes
	c := make(comb, rounds)
	for i := range c {
		c[i].width, c[i].first = windowBits, i*Lanes*windowBits
	}
	t := newTable(&generatorX, &generatorY, c)
	out := new([windowCount]window)
	for i := range out {
		for e, entry := range t.entries[i/Lanes*c.entries(0):][:c.entries(0)] {
			for coordinate, elem := range entry {
				for limb := range elem {
					out[i][coordinate*len(elem)+limb][e] = elem[limb][i%Lanes]
				}
			}
		}
	}
	return out
})
