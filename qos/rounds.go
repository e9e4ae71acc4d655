package qos

import "time"

// roundEvery is how long a look at all groups takes.
const roundEvery = time.Second

// rounds goes over groups a few in each Step, so that each has its turn about
// once a second and no Step has to look at all of them.
type rounds struct {
	at   int     // the next one
	owed float64 // groups whose turn has come
	soon []*group
	done bool // the last next ended a round
}

// hurry gives a group a turn with the next Step.
func (r *rounds) hurry(g *group) { r.soon = append(r.soon, g) }

// forget drops a group that goes away.
func (r *rounds) forget(g *group) {
	for i, s := range r.soon {
		if s == g {
			r.soon[i] = nil
		}
	}
}

// next calls do for the groups of all whose turn it is.
func (r *rounds) next(all []*group, dt time.Duration, do func(*group)) {
	for _, g := range r.soon {
		if g != nil {
			do(g)
		}
	}
	r.soon = r.soon[:0]
	r.done = false
	if len(all) == 0 {
		r.done = true
		return
	}
	r.owed += float64(len(all)) * min(1, max(0, dt.Seconds()/roundEvery.Seconds()))
	for ; r.owed >= 1; r.owed-- {
		if r.at >= len(all) {
			r.at, r.done = 0, true
		}
		do(all[r.at])
		r.at++
	}
}
