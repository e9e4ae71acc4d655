package qos

import "time"

// rounds goes over groups a few in each Step, so that each has its turn once in
// a while and no Step has to look at all of them. Groups that are new have their
// first turns at once and then each second.
type rounds struct {
	every time.Duration // of a round; 0 is youngEvery
	at    int           // the next one
	owed  float64       // groups whose turn has come
	young []young
	aged  time.Duration // since the young ones had their turn
	done  bool          // the last next ended a round
}

// young is a group that is new, or of a new class: a runtime fills its cgroup a
// moment after it made it.
type young struct {
	g     *group
	turns int // still to have
}

const (
	youngEvery = time.Second
	youngTurns = 6
)

// hurry gives a group its first turn with the next Step.
func (r *rounds) hurry(g *group) {
	r.forget(g)
	r.young = append(r.young, young{g, youngTurns})
}

// forget drops a group that goes away.
func (r *rounds) forget(g *group) {
	for i := range r.young {
		if r.young[i].g == g {
			r.young[i].turns = 0
		}
	}
}

// next calls do for the groups of all whose turn it is.
func (r *rounds) next(all []*group, dt time.Duration, do func(*group)) {
	dt = min(max(dt, 0), youngEvery)
	r.grow(dt, do)
	r.done = false
	if len(all) == 0 {
		r.done = true
		return
	}
	every := r.every
	if every == 0 {
		every = youngEvery
	}
	r.owed += float64(len(all)) * dt.Seconds() / every.Seconds()
	for ; r.owed >= 1; r.owed-- {
		if r.at >= len(all) {
			r.at, r.done = 0, true
		}
		do(all[r.at])
		r.at++
	}
}

// grow gives the young ones their turns.
func (r *rounds) grow(dt time.Duration, do func(*group)) {
	due := false
	if r.aged += dt; r.aged >= youngEvery {
		r.aged, due = 0, true
	}
	left := r.young[:0]
	for _, y := range r.young {
		if y.turns > 0 && (due || y.turns == youngTurns) {
			do(y.g)
			y.turns--
		}
		if y.turns > 0 {
			left = append(left, y)
		}
	}
	clear(r.young[len(left):])
	r.young = left
}

// memberRound is how often all groups are looked at for threads that came from
// outside, such as those of a command that is executed in a container.
const memberRound = 5 * time.Second
