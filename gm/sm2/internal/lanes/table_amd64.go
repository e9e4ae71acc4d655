package lanes

// A comb cuts a scalar of 256 bits into windows, eight to a round, a lane each, and has
// a table of each window: the odd multiples of the base there. As digits are odd, of both
// signs, there is none that is 0: who adds them up never adds infinity.
type comb []struct {
	width int // of a round's windows, in bits
	first int // bit of the first window
}

// fine is of bases that are worth a larger table, 82 KB; coarse is of others, 41 KB.
var (
	fine   = combOf(6, 6, 5, 5, 5, 5)
	coarse = combOf(4, 4, 4, 4, 4, 4, 4, 4)
)

func combOf(widths ...int) (c comb) {
	c = make(comb, len(widths))
	at := 0
	for i, w := range widths {
		c[i].width, c[i].first = w, at
		at += Lanes * w
	}
	if at != 256 {
		panic("a comb of other than 256 bits")
	}
	return c
}

// entries of a round's windows.
func (c comb) entries(round int) int { return 1 << (c[round].width - 1) }

// digit is a window's of an odd scalar: the index of its magnitude in the table, and
// whether it is negative.
func digit(k *Words, first, width int) (index uint64, negative uint8) {
	at, shift := first/64, uint(first%64)
	v := k[at] >> shift
	if at < 3 {
		v |= k[at+1] << (63 - shift) << 1
	}
	// An odd number's window and the bit above it, which stands for the sign.
	v = (v | 1) & (2<<width - 1)
	if first+width >= 256 {
		v |= 1 << width
	}
	sign := v>>width - 1 // all ones for negative
	d := v - 1<<width
	d = (d ^ sign) - sign
	return d >> 1, uint8(sign & 1)
}

// digits are those of a round.
func (c comb) digits(k *Words, round int, index *[Lanes]uint64) (negative uint8) {
	for l := range Lanes {
		i, n := digit(k, c[round].first+l*c[round].width, c[round].width)
		index[l] = i
		negative |= n << l
	}
	return negative
}

// Table is of a base, for a comb.
type Table struct {
	comb    comb
	entries []Affine // of the rounds, one after the other
}

// NewTable makes a base's table: about 40 µs. Coordinates are less than p, and the
// point is on the curve.
func NewTable(px, py *Words) *Table { return newTable(px, py, coarse) }

func newTable(px, py *Words, c comb) *Table {
	n := 0
	for i := range c {
		n += c.entries(i)
	}
	points := make([]Point, n)
	walk := newWalker(px, py)
	at := 0
	for round, w := range c {
		all := points[at : at+c.entries(round)]
		at += len(all)
		for l := range Lanes {
			walk.to(w.first + l*w.width)
			walk.write(&all[0], l)
		}
		multiples(all)
	}
	t := &Table{c, make([]Affine, n)}
	flatten(t.entries, points)
	return t
}

// flatten makes points affine, with one inversion for all: Montgomery's way. None may
// be at infinity.
func flatten(dst []Affine, points []Point) {
	products := make([]Elem, len(points)) // of z up to there
	products[0] = points[0][z]
	for i := 1; i < len(points); i++ {
		mul(&products[i], &products[i-1], &points[i][z])
	}
	var inverse, own, two Elem
	invert(&inverse, &products[len(points)-1])
	for i := len(points) - 1; i >= 0; i-- {
		own = inverse
		if i > 0 {
			mul(&own, &inverse, &products[i-1])
			mul(&inverse, &inverse, &points[i][z])
		}
		square(&two, &own, 1)
		mul(&dst[i][x], &points[i][x], &two)
		mul(&two, &two, &own)
		mul(&dst[i][y], &points[i][y], &two)
	}
}

// walker is a point across the lanes that is doubled.
type walker struct {
	p    Elem
	done int
}

// Lanes of a walker's x, y, z² and z.
const (
	laneY = 0
	laneX = 3
	laneD = 4
	laneZ = 5
)

func newWalker(px, py *Words) *walker {
	w := &walker{}
	put(&w.p, laneX, px)
	put(&w.p, laneY, py)
	enter(&w.p)
	for i := range w.p {
		w.p[i][laneD], w.p[i][laneZ] = one[i][0], one[i][0]
	}
	return w
}

// to doubles until it is 2^n times the base.
func (w *walker) to(n int) {
	if n > w.done {
		doubleOne(&w.p, n-w.done)
		w.done = n
	}
}

// write puts the point into a lane.
func (w *walker) write(p *Point, lane int) {
	for i := range w.p {
		p[x][i][lane], p[y][i][lane], p[z][i][lane] = w.p[i][laneX], w.p[i][laneY], w.p[i][laneZ]
	}
}
