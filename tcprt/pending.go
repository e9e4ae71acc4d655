package tcprt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unsafe"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Pending is a request under way: what is known of it so far. What has not been yet
// is 0, and End the time that it was asked for.
type Pending struct {
	Record
}

// Age is how long ago the request began.
func (p *Pending) Age() time.Duration { return span(p.T0, p.End) }

// Pending gives f all requests that are not answered, or whose answer is not
// acknowledged; f must not keep the pointer.
func (c *Collector) Pending(f func(*Pending)) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	var p Pending
	return c.list(0, func(k *bpf.TcprtRecord, raw []byte) {
		c.take(&p.Record, k)
		c.hints.add(&p.Record, raw)
		p.End = now
		f(&p)
	})
}

// Settle gives f the requests that were over so long ago and whose connection has
// been silent since: without it they are told of at the next request on their
// connection, or at its end. What an answer goes on with after that counts for
// nothing. They are in no totals of Services.
func (c *Collector) Settle(idle time.Duration, f func(*Record)) error {
	var r Record
	return c.list(max(1, idle), func(k *bpf.TcprtRecord, raw []byte) {
		c.take(&r, k)
		c.hints.add(&r, raw)
		f(&r)
	})
}

// list runs the iterator.
func (c *Collector) list(settle time.Duration, f func(*bpf.TcprtRecord, []byte)) error {
	c.scan.Lock()
	defer c.scan.Unlock()
	if err := c.set("settle", uint64(settle)); err != nil {
		return err
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("list requests: %w", os.ErrClosed)
	}
	it, err := c.lister.attach(c.coll)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	defer it.Close()
	size := recordSize
	if c.hints.tell != nil {
		size = wholeSize
	}
	words := make([]uint64, 256*size/8) // as each is aligned
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 256*size)
	return c.lister.each(it, func(r io.ReadCloser) error { return c.records(r, raw, size, f) })
}

// records gives f those of an iterator, of that size each, and closes it.
func (c *Collector) records(r io.ReadCloser, raw []byte, size int, f func(*bpf.TcprtRecord, []byte)) error {
	defer r.Close()
	for {
		n, err := io.ReadAtLeast(r, raw, size)
		for at := 0; at+size <= n; at += size {
			f((*bpf.TcprtRecord)(ptr(raw[at:])), raw[at:at+size])
		}
		switch rest := n % size; {
		case rest > 0 && err == nil: // the kernel gives whole ones
			return fmt.Errorf("list requests: %d bytes too many", rest)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("list requests: %w", err)
		}
	}
}
