package lanes

import "math/bits"

// Check tells whether the x coordinate of s G + t P is v mod n, for P's table, s and t
// from 1 to n-1 and v less than n. It cannot tell, and sure is false, where the additions
// met what they cannot add, or the sum is infinity: nobody's chance, but who chooses P and
// the rest can have it so.
func Check(p *Table, s, t, v *Words) (ok, sure bool) {
	r := rooms.Get().(*scratch)
	defer r.free()
	r.add(generator(), s, false)
	r.add(p, t, true)
	r.fold()
	return r.isX(v)
}

// isX compares the sum's x, that is the same in all lanes, with v and v + n.
func (s *scratch) isX(v *Words) (ok, sure bool) {
	e := &s.far[x]
	put(e, 0, v)
	above := alike(v)
	put(e, 1, &above)
	got := s.agree(e)
	return got&3 != 0, s.finite(0)
}

// alike is v + n, or v where that is not less than p: the other x that is v mod n.
func alike(v *Words) Words {
	var sum Words
	var carry, borrow uint64
	for i := range v {
		sum[i], carry = bits.Add64(v[i], order[i], carry)
	}
	for i := range v {
		_, borrow = bits.Sub64(sum[i], prime[i], borrow)
	}
	if carry != 0 || borrow == 0 {
		return *v
	}
	return sum
}

// agree compares x of each lane with numbers, and tells the lanes where they are the same.
// The numbers are lost.
func (s *scratch) agree(e *Elem) (lanes uint8) {
	zz, own := &s.far[y], &s.far[z]
	square(zz, &s.sum[z], 1)
	enter(e)
	mul(e, e, zz)
	leave(e, e)
	leave(own, &s.sum[x])
	for l := range Lanes {
		if take(e, l) == take(own, l) {
			lanes |= 1 << l
		}
	}
	return lanes
}

// finite says whether a lane's sum has a z other than 0.
func (s *scratch) finite(lane int) bool {
	e := &s.far[y]
	leave(e, &s.sum[z])
	return take(e, lane) != Words{}
}

// Job is a signature to check: Q's coordinates, less than p and on the curve, and what
// Check takes.
type Job struct{ X, Y, S, T, V Words }

// chunk is what a lane has of a scalar where one point is multiplied without a table.
const (
	chunk  = 256 / Lanes
	nibble = 4 // bits of a digit
)

// CheckOnce does what Check does for a point that has no table, in the time that making
// one takes.
func CheckOnce(j *Job) (ok, sure bool) {
	r := rooms.Get().(*scratch)
	defer r.free()
	o, flip := odd(&j.T)
	var odds [1 << (nibble - 1)]Point
	walk := newWalker(&j.X, &j.Y)
	for l := range Lanes {
		walk.to(l * chunk)
		walk.write(&odds[0], l)
	}
	multiples(odds[:])
	for i := chunk/nibble - 1; i >= 0; i-- {
		var negative uint8
		for l := range Lanes {
			at, n := digit(&o, l*chunk+i*nibble, nibble)
			r.index[l] = at
			negative |= n << l
		}
		r.step(odds[:], negative^flip, i == chunk/nibble-1)
	}
	r.add(generator(), &j.S, true)
	r.fold()
	return r.isX(&j.V)
}

// multiples fills in a point's odd multiples, of which the first is there.
func multiples(odds []Point) {
	twice := odds[0]
	double(&twice, 1)
	for i := 1; i < len(odds); i++ {
		odds[i] = odds[i-1]
		add(&odds[i], &twice)
	}
}

// step multiplies the sum by what a digit is worth, and adds the digit's multiple.
func (s *scratch) step(odds []Point, negative uint8, first bool) {
	if first {
		pickPoint(&s.sum, &odds[0], len(odds), &s.index, negative)
		return
	}
	width := bits.Len(uint(len(odds)))
	double(&s.sum, width)
	pickPoint(&s.far, &odds[0], len(odds), &s.index, negative)
	add(&s.sum, &s.far)
}

// CheckMany checks eight signatures of any keys, one in each lane, and tells by a lane's
// bit which are good, and of which that is sure.
func CheckMany(jobs *[Lanes]Job) (ok, sure uint8) {
	r := rooms.Get().(*scratch)
	defer r.free()
	const width = 5
	var odds [1 << (width - 1)]Point
	var o [Lanes]Words
	var flip uint8
	for l := range jobs {
		var n uint8
		put(&odds[0][x], l, &jobs[l].X)
		put(&odds[0][y], l, &jobs[l].Y)
		o[l], n = odd(&jobs[l].T)
		flip |= n & (1 << l)
	}
	enter(&odds[0][x])
	enter(&odds[0][y])
	odds[0][z] = one
	multiples(odds[:])
	// The highest digit is of one bit more than the rest leave over: 51 of 5, and that.
	const last = 255 / width * width
	for at := last; at >= 0; at -= width {
		var negative uint8
		for l := range o {
			i, n := digit(&o[l], at, width)
			r.index[l] = i
			negative |= n << l
		}
		r.step(odds[:], negative^flip, at == last)
	}
	var s [Lanes]Words
	for l := range jobs {
		s[l] = jobs[l].S
	}
	addEach([]*scratch{r}, s[:], true)
	var v, above Elem
	for l := range jobs {
		put(&v, l, &jobs[l].V)
		a := alike(&jobs[l].V)
		put(&above, l, &a)
	}
	ok = r.agree(&v) | r.agree(&above)
	for l := range Lanes {
		if r.finite(l) {
			sure |= 1 << l
		}
	}
	return ok, sure
}
