package sm2

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// However callers meet, each has its job done once, and nobody waits for ever.
func TestQueue(t *testing.T) {
	for _, procs := range []int{1, 2, 4} {
		for _, most := range []int{1, 2, 8, 16} {
			for _, callers := range []int{1, 2, 3, 9, 40} {
				was := runtime.GOMAXPROCS(procs)
				var batches, done atomic.Int64
				q := &queue[int]{most: most, run: func(jobs []*int) {
					batches.Add(1)
					if len(jobs) > most || len(jobs) == 0 {
						t.Errorf("%d jobs at once, of %d", len(jobs), most)
					}
					for _, j := range jobs {
						*j++
					}
					done.Add(int64(len(jobs)))
				}}
				const each = 800
				var wg sync.WaitGroup
				for g := range callers {
					wg.Go(func() {
						r := rand.New(rand.NewPCG(uint64(g), uint64(most)))
						c := newCall[int]()
						for i := range each {
							q.do(c)
							if c.job != i+1 {
								t.Errorf("done %d times, want %d", c.job, i+1)
								return
							}
							if r.IntN(20) == 0 {
								runtime.Gosched()
							}
						}
					})
				}
				wg.Wait()
				runtime.GOMAXPROCS(was)
				if done.Load() != int64(callers*each) || q.working != 0 || len(q.waiting) != 0 {
					t.Errorf("%d processors, %d callers: %d jobs done, %d working and %d waiting are left", procs, callers, done.Load(), q.working, len(q.waiting))
				}
				if callers == 1 && batches.Load() != each {
					t.Errorf("one caller: %d batches", batches.Load())
				}
			}
		}
	}
}

// A panic is the caller's in whose name the work was done. The others are told that it
// failed, and the queue goes on.
func TestQueuePanic(t *testing.T) {
	type job struct{ done, failed bool }
	var angry atomic.Bool
	q := &queue[job]{most: 4, fail: func(j *job) { j.failed = true }, run: func(jobs []*job) {
		if angry.Load() {
			panic("angry")
		}
		for _, j := range jobs {
			j.done = true
		}
	}}
	for round := range 40 {
		angry.Store(round%2 == 0)
		var wg sync.WaitGroup
		var panics, failed, done atomic.Int64
		const callers = 9
		for range callers {
			wg.Go(func() {
				c := newCall[job]()
				defer func() {
					if recover() != nil {
						panics.Add(1)
					}
				}()
				q.do(c)
				if c.job.failed {
					failed.Add(1)
				}
				if c.job.done {
					done.Add(1)
				}
			})
		}
		wg.Wait()
		if angry.Load() && (panics.Load() == 0 || panics.Load()+failed.Load() != callers) || !angry.Load() && done.Load() != callers {
			t.Fatalf("round %d: %d panics, %d told so, %d done", round, panics.Load(), failed.Load(), done.Load())
		}
	}
}
