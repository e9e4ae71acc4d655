package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
)

// took is what an operation, done some times, took.
type took struct{ cpu, wall time.Duration }

// subject is one who is measured.
type subject struct {
	name string  // of a peer; "" of ours
	work float64 // of one operation: bytes, or signatures
	// run does an operation n times, after some for practice, and gives the end of what it
	// computed, which for the same n is the same of all who are compared; "" where there is
	// nothing to compare.
	run func(n int) (took, string, error)
	n   int // operations in a sample; found by calibrate where 0
}

// versus is a peer, and what is expected.
type versus struct {
	id, target string // of the result
	peer       *subject
}

// match is a measurement of ours against peers.
type match struct {
	what, unit string
	ours       *subject
	peers      []versus
	// rateID and rateTarget are of a result without a peer, if there is one.
	rateID, rateTarget string
}

// units are what a second's work is divided by.
var units = map[string]float64{"GB/s": 1e9, "MB/s": 1e6, "k/s": 1e3}

// play measures a match.
func (b *bencher) play(ctx context.Context, m match) ([]benchfmt.Result, error) {
	all := []*subject{m.ours}
	for _, v := range m.peers {
		all = append(all, v.peer)
	}
	if err := same(all); err != nil {
		return nil, err
	}
	for _, s := range all {
		if err := s.calibrate(b.Sample); err != nil {
			return nil, err
		}
	}
	rates, err := b.rounds(ctx, all)
	if err != nil {
		return nil, err
	}
	for _, of := range rates {
		for i := range of {
			of[i] /= units[m.unit]
		}
	}
	var out []benchfmt.Result
	for i, v := range m.peers {
		out = append(out, benchfmt.Pairs(v.id, m.what, m.unit, v.peer.name, v.target, rates[0], rates[i+1]))
	}
	if m.rateID != "" {
		out = append(out, benchfmt.Single(m.rateID, m.what, m.unit, m.rateTarget, rates[0]))
	}
	return out, nil
}

// same has all do a little, and fails where they do not compute the same.
func same(all []*subject) error {
	first := ""
	for _, s := range all {
		if s.n > 0 {
			continue // a program, whose run is not short
		}
		_, end, err := s.run(3)
		switch {
		case err != nil:
			return err
		case first == "":
			first = end
		case end != "" && end != first:
			return fmt.Errorf("compare with %s: it computes …%s, and ours …%s", s.name, end, first)
		}
	}
	return nil
}

// calibrate finds how many operations take the time of a sample.
func (s *subject) calibrate(sample time.Duration) error {
	if s.n > 0 {
		return nil
	}
	for n := 1; ; n *= 2 {
		t, _, err := s.run(n)
		if err != nil {
			return err
		}
		if t.cpu >= sample/4 || n >= 1<<30 {
			s.n = 1 + int(float64(n)*float64(sample)/float64(max(1, t.cpu)))
			return nil
		}
	}
}

// rounds lets all take turns, in each round in another order, and gives the work that
// each did for a second of CPU. A round in which something else ran is done again.
func (b *bencher) rounds(ctx context.Context, all []*subject) ([][]float64, error) {
	rates := make([][]float64, len(all))
	for tries := 0; len(rates[0]) < b.Rounds; tries++ {
		if tries == 3*b.Rounds {
			return nil, &NotJudgedError{Why: fmt.Sprintf("something else ran in %d of %d rounds", tries-len(rates[0]), tries)}
		}
		if err := b.quiet(ctx); err != nil {
			return nil, err
		}
		round, alone, err := turns(all, tries)
		if err != nil {
			return nil, err
		}
		if !alone && !b.Short {
			continue
		}
		for i, rate := range round {
			rates[i] = append(rates[i], rate)
		}
	}
	return rates, nil
}

// disturbance is the share of a round's time that others may have.
const disturbance = 0.1

// turns is a round, and says whether nothing else ran.
func turns(all []*subject, first int) (rates []float64, alone bool, err error) {
	rates = make([]float64, len(all))
	w, err := watch()
	if err != nil {
		return nil, false, err
	}
	defer w.close()
	var sum took
	for i := range all {
		at := (first + i) % len(all)
		s := all[at]
		t, _, err := s.run(s.n)
		if err != nil {
			return nil, false, err
		}
		if t.cpu <= 0 {
			return nil, false, fmt.Errorf("measure %s: it took no time", s.name)
		}
		rates[at] = float64(s.n) * s.work / t.cpu.Seconds()
		sum.cpu += t.cpu
		sum.wall += t.wall
	}
	busy, total, wall, err := w.since()
	if err != nil {
		return nil, false, err
	}
	// One core at most was busy with this.
	others := float64(busy-wall) / float64(max(1, total))
	waited := 1 - float64(sum.cpu)/float64(max(1, sum.wall))
	return rates, others <= disturbance && waited <= disturbance, nil
}

// Patience with a busy node, at first and at last.
const (
	patient   = 2 * time.Minute
	impatient = 5 * time.Second
)

// quiet waits until hardly anything else runs on the node. Where that does not come, it
// waits for half as long the next time, so that a node that stays busy is soon left.
func (b *bencher) quiet(ctx context.Context) error {
	if b.Short {
		return nil
	}
	var share float64
	for end := time.Now().Add(b.patience); time.Now().Before(end); {
		w, err := watch()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			w.close()
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
		busy, total, _, err := w.since()
		w.close()
		if err != nil {
			return err
		}
		if share = float64(busy) / float64(max(1, total)); share <= disturbance {
			b.patience = patient
			return nil
		}
	}
	b.patience = max(b.patience/2, impatient)
	return &NotJudgedError{Why: fmt.Sprintf("the node is %.0f %% busy with something else", 100*share)}
}
