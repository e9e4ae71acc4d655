package load

import "time"

// housekeep does, ten times a second, what needs no precision.
func (l *loop) housekeep(now int64) {
	l.reconnect(now)
	oldest := now - int64(l.o.Timeout)
	for _, c := range l.conns {
		if c.state == connBusy && c.req.at < oldest {
			l.fail(c, ErrTimeout)
		}
	}
	for l.queue.len() > 0 && l.queue.first().at < oldest {
		p, _ := l.queue.pop()
		l.rec.failed(p, now, ErrMissed)
	}
	l.rep.offer(func(v *view) { l.fill(v, now) })
}

// giveUp counts what the drain did not finish.
func (l *loop) giveUp(now int64) {
	for _, c := range l.conns {
		if c.state == connBusy {
			l.fail(c, ErrUnfinished)
		}
	}
	for p, ok := l.queue.pop(); ok; p, ok = l.queue.pop() {
		l.rec.failed(p, now, ErrMissed)
	}
	l.rep.offer(func(v *view) { l.fill(v, now) })
}

// stop ends the counted part now and forgets the requests in flight.
func (l *loop) stop(now int64) {
	l.stopped = true
	l.end = min(l.end, max(now, l.from))
	for _, c := range l.conns {
		if c.state == connBusy && c.req.counted {
			l.rec.requests--
		}
	}
	for p, ok := l.queue.pop(); ok; p, ok = l.queue.pop() {
		if p.counted {
			l.rec.requests--
		}
	}
}

func (l *loop) fill(v *view, now int64) {
	v.Progress = Progress{
		Elapsed: time.Duration(now), Warmup: now < l.from, Rate: l.o.Rate,
		Done: l.rec.totalDone, Errors: l.rec.totalErrors, Busy: l.busy, Waiting: l.queue.len(),
	}
	if l.o.Duration > 0 {
		v.Total = l.o.Warmup + l.o.Duration
	}
	for _, s := range l.o.Steps {
		if int64(s.At) <= now {
			v.Rate = s.Rate
		}
	}
	v.latencies, v.span = l.rec.recent.since(max(0, now-progressWindow), now, v.latencies[:0])
}

// queue is a FIFO of arrivals that reuses its memory.
type queue struct {
	items []pending
	head  int
}

func (q *queue) len() int       { return len(q.items) - q.head }
func (q *queue) first() pending { return q.items[q.head] }

func (q *queue) push(p pending) {
	if q.head > 1024 && q.head > len(q.items)/2 {
		q.items = q.items[:copy(q.items, q.items[q.head:])]
		q.head = 0
	}
	q.items = append(q.items, p)
}

func (q *queue) pop() (pending, bool) {
	if q.len() == 0 {
		q.items, q.head = q.items[:0], 0
		return pending{}, false
	}
	p := q.items[q.head]
	q.head++
	return p, true
}
