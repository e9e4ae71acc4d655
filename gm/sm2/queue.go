package sm2

import (
	"runtime"
	"sync"
)

// queue brings calls of several goroutines together, so that what is done side by side
// has enough to do. There is no goroutine of its own and no timer. Who comes while a
// processor is free does the work of all who have come by then; who comes as the most-th
// does it at once; and who finishes hands what came meanwhile to the first of those who
// wait. One caller who is alone goes straight through, and waits for nobody.
type queue[T any] struct {
	run  func([]*T) // does up to most jobs
	fail func(*T)   // has a job fail, in whose doing run panicked
	most int        // up to lanes

	mu      sync.Mutex // guards all below
	waiting []*call[T]
	working int // callers who do the work, or are about to
	procs   int // how many may
	gather  int // those who are about to: they wait too, but for nobody to wake them
	crowd   int // more than 0 where it is likely that others come at the same time
	calls   uint32
}

type call[T any] struct {
	job   T
	told  bool      // to lead; the queue's lock guards this and the next
	taken bool      // by someone who does it
	wake  chan bool // true: do the work of those who wait; false: the job is done
}

// newCall has room for both that it may be woken by.
func newCall[T any]() *call[T] { return &call[T]{wake: make(chan bool, 2)} }

// probe is how often a caller looks whether others are about to come, where none did.
const probe = 64

// patience is how many calls without company it takes to expect none.
const patience = 8

// do has a job done.
func (q *queue[T]) do(c *call[T]) {
	q.mu.Lock()
	c.told, c.taken = false, false
	q.waiting = append(q.waiting, c)
	if q.calls%(1<<10) == 0 {
		q.procs = runtime.GOMAXPROCS(0)
	}
	q.calls++
	switch {
	case len(q.waiting) >= q.most:
	case q.working >= q.procs:
		q.mu.Unlock()
		if lead := <-c.wake; !lead {
			return
		}
		q.mu.Lock()
	case q.crowd > 0 || q.calls%probe == 0:
		// Those who are ready to run come first. Where there are none, that takes no time.
		q.working++
		q.gather++
		q.mu.Unlock()
		runtime.Gosched()
		q.mu.Lock()
		q.working--
		q.gather--
	}
	if c.taken { // by who came after it, as the last of a batch or before it woke
		q.pass()
		<-c.wake
		return
	}
	q.lead(c)
}

// lead does the jobs that wait, of which c is one: no more than most, as whoever makes
// it so many leads. The lock is held and let go.
func (q *queue[T]) lead(c *call[T]) {
	n := min(len(q.waiting), q.most)
	if n > 1 {
		q.crowd = patience
	} else if q.crowd > 0 {
		q.crowd--
	}
	var batch [lanes]*call[T]
	var jobs [lanes]*T
	for i, w := range q.waiting[:n] {
		batch[i], jobs[i] = w, &w.job
		w.taken = true
	}
	q.waiting = append(q.waiting[:0], q.waiting[n:]...)
	q.working++
	q.mu.Unlock()
	whole := false
	defer func() {
		if !whole { // a panic, which goes on in this caller alone
			for _, j := range jobs[:n] {
				q.fail(j)
			}
		}
		q.mu.Lock()
		q.working--
		q.pass()
		for _, b := range batch[:n] {
			if b != c {
				b.wake <- false
			}
		}
	}()
	q.run(jobs[:n])
	whole = true
}

// pass lets the lock go, and has the first of those who wait lead, if a processor is free
// and nobody is about to. It is told so while the lock is held: before it can be told that
// its job is done.
func (q *queue[T]) pass() {
	if q.working < q.procs && q.gather == 0 && len(q.waiting) > 0 && !q.waiting[0].told {
		q.waiting[0].told = true
		q.waiting[0].wake <- true
	}
	q.mu.Unlock()
}
