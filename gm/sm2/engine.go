package sm2

import "github.com/anole-os/anole/gm/internal/impl"

// So many signatures are checked, and made, side by side. Those that are made go in
// eights too, but share an inversion.
const (
	lane  = 8
	lanes = 2 * lane
)

// eng is arithmetic on the curve that is faster than gmsm's.
type eng interface {
	// base is the x coordinate of k G.
	base(k *words) words
	baseMany(out, k []words) // lane or lanes of them
	onCurve(x, y *words) bool
	table(x, y *words) table
	// once is table's check for a key that has no table.
	once(x, y *words, c *claim) answer
	many(jobs *[lane]job) [lane]answer
}

// table is of a key.
type table interface{ check(c *claim) answer }

// job is a claim of any key.
type job struct {
	x, y words
	claim
}

// engine is nil where there is gmsm's alone.
var engine, level = impl.Choose(engines)

// Implementation names the one that is taken.
func Implementation() string { return level.String() }

// baseMult is the x coordinate of k G.
func baseMult(k *words) words { return baseMultBy(engine, k) }

func baseMultBy(e eng, k *words) words {
	if e != nil {
		return e.base(k)
	}
	var b [32]byte
	putBytes(b[:], k)
	x, _ := Curve().ScalarBaseMult(b[:]) //nolint:staticcheck // in constant time, by gmsm's assembly
	clear(b[:])
	return wordsOf(x.FillBytes(b[:]))
}
