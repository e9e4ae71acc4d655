package sm2

import (
	"github.com/anole-os/anole/gm/internal/impl"
	vector "github.com/anole-os/anole/gm/sm2/internal/lanes"
)

var engines = map[impl.Level]eng{impl.Generic: nil, impl.AVX512: ifma{}}

// ifma is arithmetic in eight vector.
type ifma struct{}

func (ifma) base(k *words) words      { return vector.BaseMult(k) }
func (ifma) baseMany(out, k []words)  { vector.BaseMultMany(out, k) }
func (ifma) onCurve(x, y *words) bool { return vector.OnCurve(x, y) }
func (ifma) table(x, y *words) table  { return (*comb)(vector.NewTable(x, y)) }

func (ifma) once(x, y *words, c *claim) (a answer) {
	a.ok, a.sure = vector.CheckOnce(&vector.Job{X: *x, Y: *y, S: c.s, T: c.t, V: c.v})
	return a
}

func (ifma) many(jobs *[lane]job) (out [lane]answer) {
	var all [lane]vector.Job
	for i, j := range jobs {
		all[i] = vector.Job{X: j.x, Y: j.y, S: j.s, T: j.t, V: j.v}
	}
	ok, sure := vector.CheckMany(&all)
	for i := range out {
		out[i] = answer{ok>>i&1 == 1, sure>>i&1 == 1}
	}
	return out
}

type comb vector.Table

func (t *comb) check(c *claim) (a answer) {
	a.ok, a.sure = vector.Check((*vector.Table)(t), &c.s, &c.t, &c.v)
	return a
}
