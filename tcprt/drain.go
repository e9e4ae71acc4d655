package tcprt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Drain gives f all records that come within d; f must not keep the pointer.
// Records wait in the kernel meanwhile, so that nobody is woken for each. Where they
// come faster than f takes them it returns all the same, once it has taken as many
// after d as the kernel keeps.
func (c *Collector) Drain(d time.Duration, f func(*Record)) error {
	end := time.Now().Add(d)
	c.reader.SetDeadline(end)
	for n, late := 1, 0; ; n++ {
		if n%256 == 0 && time.Now().After(end) {
			if late += 256; late*recordSize > c.reader.BufferSize() {
				return nil
			}
		}
		err := c.reader.ReadInto(&c.raw)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read records: %w", err)
		case len(c.raw.RawSample) < recordSize:
			return fmt.Errorf("read records: one of %d bytes, want %d", len(c.raw.RawSample), recordSize)
		}
		c.take(&c.record, (*bpf.TcprtRecord)(ptr(c.raw.RawSample)))
		c.hints.add(&c.record, c.raw.RawSample)
		f(&c.record)
	}
}

// Run drains until ctx ends, and what is left then.
func (c *Collector) Run(ctx context.Context, f func(*Record)) error {
	const every = 50 * time.Millisecond
	for ctx.Err() == nil {
		if err := c.Drain(every, f); err != nil {
			return err
		}
	}
	return c.Drain(0, f)
}

// Stats counts.
type Stats struct {
	Records uint64 // that the kernel told of
	Dropped uint64 // for which there was no room until they were read
	// Missed is how often the kernel left the programs out, as they were running on
	// the same CPU already: a segment that came in unseen. It is found by what came
	// next.
	Missed uint64
	// SYNACKs are those sent again, of connections that are none yet, and Strays the
	// segments sent again of connections that never were, and do not count.
	SYNACKs, Strays uint64
	// Unopened is how often the kernel had no room to keep a connection's state. It is
	// tried again at the next segment, and the connection counts from there.
	Unopened uint64
}

// Stats asks the kernel.
func (c *Collector) Stats() (Stats, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return Stats{}, fmt.Errorf("read totals: %w", os.ErrClosed)
	}
	var each []bpf.TcprtTotal
	if err := c.coll.Maps["totals"].Lookup(uint32(0), &each); err != nil {
		return Stats{}, fmt.Errorf("read totals: %w", err)
	}
	var s Stats
	for i := range each {
		s.Records += each[i].Records
		s.Dropped += each[i].Dropped
		s.SYNACKs += each[i].Synacks
		s.Strays += each[i].Strays
		s.Unopened += each[i].Unopened
	}
	for name, p := range c.coll.Programs {
		st, err := p.Stats()
		if err != nil {
			return s, fmt.Errorf("read what program %s missed: %w", name, err)
		}
		s.Missed += st.RecursionMisses
	}
	return s, nil
}

// Measure has the kernel take the time of all BPF programs of the node until it is
// closed, which costs more than these do.
func Measure() (io.Closer, error) {
	c, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, explain("take the time of bpf programs", err)
	}
	return c, nil
}

// Runtime is what the programs took, as far as it was measured.
func (c *Collector) Runtime() (d time.Duration, err error) {
	runs, err := c.Runs()
	for _, r := range runs {
		d += r.Time
	}
	return d, err
}

// Run is what a program of the Collector did while somebody measured.
type Run struct {
	Program string
	Count   uint64
	Time    time.Duration
}

// Runs asks the kernel.
func (c *Collector) Runs() (out []Run, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("read the time of bpf programs: %w", os.ErrClosed)
	}
	for name, p := range c.coll.Programs {
		if name == c.lister.program {
			continue
		}
		s, err := p.Stats()
		if err != nil {
			return nil, fmt.Errorf("read the time of bpf program %s: %w", name, err)
		}
		out = append(out, Run{name, s.RunCount, s.Runtime})
	}
	return out, nil
}
