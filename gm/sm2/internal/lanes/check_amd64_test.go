package lanes

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/emmansun/gmsm/sm2"
)

// job is of a random key and scalars, with the v that is right and what it must be told
// of it: for infinity there is none.
func job(r *rand.Rand) (j Job, finite bool) {
	k := scalars(r, 9)
	c := sm2.P256()
	d, s, t := number(k[r.IntN(9)]), number(k[r.IntN(9)]), number(k[r.IntN(9)])
	px, py := c.ScalarBaseMult(d.Bytes()) //nolint:staticcheck // a point by its number
	j.X, j.Y, j.S, j.T = words(px), words(py), words(s), words(t)
	sum := new(big.Int).Mul(t, d)
	sum.Mod(sum.Add(sum, s), number(order))
	if sum.Sign() == 0 {
		return j, false
	}
	v := baseX(words(sum))
	j.V = words(v.Mod(v, number(order)))
	return j, true
}

func TestCheck(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	unsure := 0
	for range 1500 {
		j, finite := job(r)
		wrong := j
		wrong.V[r.IntN(4)] ^= 1 << r.IntN(64)
		if wrong.V[3] >= order[3] {
			wrong.V[3] = 0
		}
		table := NewTable(&j.X, &j.Y)
		for name, check := range map[string]func(*Job) (bool, bool){
			"by a table": func(j *Job) (bool, bool) { return Check(table, &j.S, &j.T, &j.V) },
			"without":    CheckOnce,
			"one of eight": func(j *Job) (bool, bool) {
				jobs := [Lanes]Job{}
				for l := range jobs {
					jobs[l] = *j
				}
				ok, sure := CheckMany(&jobs)
				if ok != 0 && ok != 255 || sure != 0 && sure != 255 {
					t.Fatalf("%+v: eight of the same: %b of them right, %b sure", j, ok, sure)
				}
				return ok != 0, sure != 0
			},
		} {
			ok, sure := check(&j)
			if !sure {
				unsure++
				continue
			}
			if !ok || !finite {
				t.Fatalf("%s: %+v: refused; it has a sum: %v", name, j, finite)
			}
			if ok, sure := check(&wrong); ok || !sure {
				t.Fatalf("%s: %+v: x is not that: %v, %v", name, wrong, ok, sure)
			}
		}
	}
	if unsure > 1500 {
		t.Errorf("unsure of %d", unsure)
	}
	t.Log("unsure of", unsure)
}

func TestCheckMany(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 100 {
		var jobs [Lanes]Job
		want := uint8(0)
		for l := range jobs {
			for {
				var finite bool
				if jobs[l], finite = job(r); finite {
					if _, sure := CheckOnce(&jobs[l]); sure {
						break
					}
				}
			}
			if r.IntN(2) == 0 {
				jobs[l].V[0] ^= 1
			} else {
				want |= 1 << l
			}
		}
		if ok, sure := CheckMany(&jobs); ok&sure != want&sure {
			t.Fatalf("%08b are right, want %08b (sure of %08b)", ok, want, sure)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	r := rand.New(rand.NewPCG(9, 10))
	var jobs [Lanes]Job
	for l := range jobs {
		jobs[l], _ = job(r)
	}
	b.Run("table", func(b *testing.B) {
		t := NewTable(&jobs[0].X, &jobs[0].Y)
		for b.Loop() {
			Check(t, &jobs[0].S, &jobs[0].T, &jobs[0].V)
		}
	})
	b.Run("once", func(b *testing.B) {
		for b.Loop() {
			CheckOnce(&jobs[0])
		}
	})
	b.Run("many", func(b *testing.B) {
		for b.Loop() {
			CheckMany(&jobs)
		}
	})
}
