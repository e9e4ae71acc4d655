package load

import (
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// dispatchRun bounds the arrivals taken up in one go, so that a generator
// behind its schedule still reads replies.
const dispatchRun = 256

// dispatch takes up all arrivals that are due.
func (l *loop) dispatch() {
	for range dispatchRun {
		now := l.now()
		if l.next.at > now {
			return
		}
		p := l.next
		if p.counted {
			l.rec.requests++
			record(l.rec.lateness, now-p.at)
		}
		if n := len(l.idle); n > 0 {
			c := l.idle[n-1]
			l.idle = l.idle[:n-1]
			l.send(c, p)
		} else {
			l.queue.push(p)
			if p.counted {
				l.rec.waited++
			}
		}
		l.advance()
	}
}

// advance draws the next arrival and finds the end of the schedule.
func (l *loop) advance() {
	l.last = l.next.at
	at, segment, ok := l.sched.Next()
	full := l.o.Count > 0 && l.issued >= l.o.Count
	if !ok || full || int64(at) >= l.end {
		l.next.at = noArrival
		if full || l.end == noArrival {
			l.end = min(l.end, max(l.from, l.last))
		}
		return
	}
	l.next = pending{at: int64(at), segment: segment, counted: int64(at) >= l.from}
	if l.next.counted {
		l.issued++
	}
}

// send puts p on a connection that is neither idle nor busy any more.
func (l *loop) send(c *conn, p pending) {
	c.state, c.req = connBusy, p
	c.resp.reset()
	l.busy++
	if err := c.send(l.epoll, l.req.stamped(l.mono+l.now())); err != nil {
		l.fail(c, ErrClosed)
	}
}

// ready gives a free connection its next work.
func (l *loop) ready(c *conn) {
	if p, ok := l.queue.pop(); ok {
		l.send(c, p)
		return
	}
	c.state = connIdle
	l.idle = append(l.idle, c)
}

// handle acts on the events of one connection.
func (l *loop) handle(c *conn, events uint32) {
	if c.state == connConnecting {
		if err := c.finishConnect(l.epoll); err != nil {
			l.refused(c, err)
			return
		}
		l.ready(c)
		return
	}
	if events&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		if err := c.flush(l.epoll); err != nil {
			l.fail(c, ErrClosed)
			return
		}
	}
	if events&^unix.EPOLLOUT != 0 {
		l.read(c)
	}
}

func (l *loop) read(c *conn) {
	n, err := retryInterrupted(func() (int, error) { return unix.Read(c.fd, l.buf) })
	switch {
	case errors.Is(err, unix.EAGAIN):
	case c.state == connIdle:
		if n > 0 {
			l.rec.connErrors++ // bytes that nobody asked for
		}
		l.idle = slices.DeleteFunc(l.idle, func(o *conn) bool { return o == c })
		l.drop(c, l.now()+reconnectAfter)
	case err != nil || (n <= 0 && c.resp.eof() != nil):
		l.fail(c, ErrClosed)
	case n == 0:
		l.complete(c)
	default:
		l.take(c, l.buf[:n])
	}
}

// take feeds a piece of the response.
func (l *loop) take(c *conn, b []byte) {
	n, done, err := c.resp.feed(b)
	if err == nil && done && n < len(b) {
		err = errSurplus
	}
	switch {
	case err != nil:
		l.fail(c, ErrProtocol)
	case done:
		l.complete(c)
	}
}

// complete ends a request whose response is whole.
func (l *loop) complete(c *conn) {
	now := l.now()
	l.busy--
	if c.resp.status/100 == 2 {
		l.rec.done(c.req, now)
	} else {
		l.rec.failed(c.req, now, ErrStatus)
	}
	if c.resp.close || len(c.out) > 0 {
		l.drop(c, now)
		l.connect(c, now)
		return
	}
	l.ready(c)
}

// fail ends a request and the connection it was on.
func (l *loop) fail(c *conn, kind string) {
	now := l.now()
	l.busy--
	l.rec.failed(c.req, now, kind)
	l.drop(c, now+reconnectAfter)
}

// drop closes a connection until retryAt.
func (l *loop) drop(c *conn, retryAt int64) {
	c.shut()
	c.retryAt = retryAt
}

func (l *loop) refused(c *conn, err error) {
	l.connErr = err
	l.rec.connErrors++
	l.drop(c, l.now()+reconnectAfter)
}

func (l *loop) connect(c *conn, now int64) {
	if c.state == connClosed && c.retryAt <= now {
		if err := c.open(l.epoll, l.to.addr); err != nil {
			l.refused(c, err)
		}
	}
}

func (l *loop) reconnect(now int64) {
	for _, c := range l.conns {
		l.connect(c, now)
	}
}
