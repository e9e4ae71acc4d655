package tcprt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/bpfx"
	"github.com/anole-os/anole/tcprt/bpf"
)

// Options of a Collector. The zero value takes every connection of the node.
type Options struct {
	// Ports are the servers' ports that count: local ones of servers, remote ones
	// of clients. All when empty.
	Ports []uint16
	// Roles that count. Both when empty.
	Roles []Role
	// Root is put before /proc, "/" when empty.
	Root string
}

// Collector is a running measurement. Nothing is pinned: its programs leave the
// kernel with the process, however that ends. Drain and Run are for one goroutine
// at a time; Stats and Close are safe for concurrent use.
type Collector struct {
	coll   *ebpf.Collection
	links  []link.Link
	reader *ringbuf.Reader
	raw    ringbuf.Record
	record Record
	torn   uint64

	mu     sync.Mutex // guards closed
	closed bool
}

// Stats counts.
type Stats struct {
	Records uint64 // that the kernel told of
	Dropped uint64 // for which there was no room until they were read
}

// Open loads and attaches the programs; the caller must Close. The error wraps a
// *feature.UnsupportedError when the kernel or the process's privileges do not
// allow it.
func Open(o Options) (*Collector, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain("raise the memlock limit", err)
	}
	spec, err := bpf.LoadTcprt()
	if err != nil {
		return nil, fmt.Errorf("read bpf object: %w", err)
	}
	if len(o.Roles) > 0 {
		var bits uint32
		for _, r := range o.Roles {
			bits |= 1 << r
		}
		if err := spec.Variables["roles"].Set(bits); err != nil {
			return nil, fmt.Errorf("choose roles: %w", err)
		}
	}
	now, err := monotonic()
	if err != nil {
		return nil, err
	}
	if err := spec.Variables["since"].Set(uint64(now)); err != nil {
		return nil, fmt.Errorf("tell the time: %w", err)
	}
	c := &Collector{}
	if c.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, explain("load bpf programs", err)
	}
	if err := c.start(&o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Collector) start(o *Options) error {
	ports := o.Ports
	if len(ports) == 0 {
		ports = []uint16{0} // the kernel's side takes it for all
	}
	for _, p := range ports {
		if err := c.coll.Maps["ports"].Put(p, uint8(1)); err != nil {
			return fmt.Errorf("choose port %d: %w", p, err)
		}
	}
	listening, err := listeners(o.Root)
	if err != nil {
		return err
	}
	for l := range listening {
		if err := c.coll.Maps["listeners"].Put(l.key(), uint8(1)); err != nil {
			return fmt.Errorf("note who listens on port %d: %w", l.port, err)
		}
	}
	if c.reader, err = ringbuf.NewReader(c.coll.Maps["records"]); err != nil {
		return explain("open the ring of records", err)
	}
	// The beginning and end of connections first, so that the role of each that
	// is seen is known.
	for _, name := range []string{"state", "segment"} {
		l, err := link.AttachTracing(link.TracingOptions{Program: c.coll.Programs[name]})
		if err != nil {
			return explain("attach to "+c.coll.Programs[name].String(), err)
		}
		c.links = append(c.links, l)
	}
	return nil
}

// monotonic is the clock that all times are of.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// Probe says whether the node can measure: nil, or why not.
func Probe() error {
	c, err := Open(Options{Ports: []uint16{1}})
	if err != nil {
		return err
	}
	return c.Close()
}

// Drain gives f all records that come within d; f must not keep the pointer.
// Records wait in the kernel meanwhile, so that nobody is woken for each.
func (c *Collector) Drain(d time.Duration, f func(*Record)) error {
	c.reader.SetDeadline(time.Now().Add(d))
	for {
		err := c.reader.ReadInto(&c.raw)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read records: %w", err)
		case !decode(c.raw.RawSample, &c.record):
			c.torn++
			return fmt.Errorf("read records: one of %d bytes, want %d", len(c.raw.RawSample), recordSize)
		}
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
	}
	return s, nil
}

// Close ends the measurement. What was not drained is lost.
func (c *Collector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	if c.reader != nil {
		errs = append(errs, c.reader.Close())
	}
	c.coll.Close()
	return errors.Join(errs...)
}

// explain says why the kernel does not take it.
func explain(doing string, err error) error {
	return bpfx.Explain("TCP request timing", "Linux 5.11 or later with BPF and BTF", doing, err)
}
