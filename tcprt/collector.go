package tcprt

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Options of a Collector. The zero value takes every connection of the node, and
// gives a record of every request.
type Options struct {
	// Tier wanted. Where Auto cannot have Full, Collector.Short tells why.
	Tier Tier
	// Ports are the servers' ports that count: local ones of servers, remote ones
	// of clients. All when empty.
	Ports []uint16
	// Roles that count. Both when empty.
	Roles []Role
	// Networks that the other side's address must be in one of. All when empty.
	Networks []netip.Prefix
	// NetNS are the inodes of the network namespaces that count. All when empty.
	NetNS []uint32
	// Cgroups are the ids of the groups in the cgroup2 hierarchy that count, those
	// below them not. All when empty.
	Cgroups []uint64
	// Emit chooses the requests that there are records of. EmitAll when 0.
	Emit Emit
	// Sample is one of how many requests of a connection EmitSample takes, a power of
	// two. 256 when 0.
	Sample uint32
	// Stamp is one of how many connections TxStamp has the times of writes of, a power
	// of two. All when 0.
	Stamp uint32
	// Hints, when there is one, is given the first bytes of each request that there is
	// a record of, 256 at most, and of its answer, 64 at most, to set the record's Hint
	// and to add flags; package l7 has one. Either may be missing. It must not keep
	// them: they are the programs' own data, and are nowhere else. There is one call
	// at a time.
	Hints func(r *Record, request, answer []byte)
	// Room is for how many records of each CPU the kernel keeps room until they are
	// drained, in 4 MiB at least and 16 at most; what comes on top is counted and
	// dropped. 8192 when 0.
	Room int
	// Root is put before /proc and /sys, "/" when empty.
	Root string

	lister string // the program that lists connections, if not the best that there is
}

// Emit is for which requests there is a record. All are counted in any case, see
// Collector.Services.
type Emit uint32

// What there are records of. They can be joined.
const (
	EmitAll    = Emit(bpf.TcprtShapeEMIT_ALL)
	EmitSlow   = Emit(bpf.TcprtShapeEMIT_SLOW)   // not faster than the service's limit, see SetLimit
	EmitFailed = Emit(bpf.TcprtShapeEMIT_FAILED) // aborted, or with segments sent again
	EmitSample = Emit(bpf.TcprtShapeEMIT_SAMPLE) // one of so many
	EmitNone   = Emit(1 << 31)
)

// Collector is a running measurement. Nothing is pinned: its programs leave the
// kernel with the process, however that ends. Drain, Run and Services are each for
// one goroutine at a time; all else is safe for concurrent use.
type Collector struct {
	coll   *ebpf.Collection
	reader *ringbuf.Reader
	raw    ringbuf.Record
	record Record
	tick   time.Duration // a jiffy
	short  error
	slots  slots
	scan   sync.Mutex // guards the variable settle
	hints  hints
	lister lister

	mu     sync.Mutex // guards what follows
	links  map[string]link.Link
	tier   Tier
	best   Tier // that Open gave
	closed bool
}

// Open loads and attaches the programs; the caller must Close. The error wraps a
// *feature.UnsupportedError when the kernel or the process's privileges do not
// allow it.
func Open(o Options) (*Collector, error) {
	if o.Tier == SockDiag {
		return nil, errTier
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain("raise the memlock limit", err)
	}
	if o.Tier != Auto {
		return open(&o, o.Tier)
	}
	c, short := open(&o, Full)
	if short == nil {
		return c, nil
	}
	c, err := open(&o, Lite)
	if err != nil {
		return nil, err
	}
	c.short = short
	return c, nil
}

// programs of each tier, in the order that they are attached in: the beginning and
// end of connections first, so that the role of each that is seen is known.
var programs = map[Tier][]string{
	Lite: {"state", "synack", "segment"},
	Full: {"state", "synack", "reads", "segment"},
	// stamp is attached to the root of the cgroup2 hierarchy.
	TxStamp: {"state", "synack", "reads", "segment"},
}

func open(o *Options, t Tier) (*Collector, error) {
	spec, err := bpf.LoadTcprt()
	if err != nil {
		return nil, fmt.Errorf("read bpf object: %w", err)
	}
	if t < Full {
		delete(spec.Programs, "reads")
	}
	if t < TxStamp {
		delete(spec.Programs, "stamp")
	}
	if spec.Maps["records"].MaxEntries, err = o.ringSize(); err != nil {
		return nil, err
	}
	if o.Hints == nil {
		delete(spec.Programs, "head_in")
		delete(spec.Programs, "head_out")
		spec.Maps["heads"].MaxEntries = 1
	} else if err := spec.Variables["l7"].Set(uint32(1)); err != nil {
		return nil, fmt.Errorf("have heads read: %w", err)
	}
	if err := o.constants(spec); err != nil {
		return nil, err
	}
	c := &Collector{links: map[string]link.Link{}, tier: t, best: t}
	var res unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &res); err != nil {
		return nil, fmt.Errorf("ask for the clock's tick: %w", err)
	}
	c.tick = time.Duration(res.Nano())
	c.hints.tell = o.Hints
	c.lister = newLister(spec, o)
	if c.coll, err = ebpf.NewCollection(spec); err != nil {
		return nil, t.explain("load bpf programs", err)
	}
	if err := c.start(o); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ringSize is the bytes of the ring of records, a power of two. It is resident memory,
// and mapped twice.
func (o *Options) ringSize() (uint32, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return 0, fmt.Errorf("count possible cpus: %w", err)
	}
	each, room := recordSize+8, o.Room // with the ring's own head
	if o.Hints != nil {
		each = wholeSize + 8
	}
	if room <= 0 {
		room = 8192
	}
	size := uint32(4 << 20)
	for size < 16<<20 && uint64(size) < uint64(min(room, 1<<20))*uint64(cpus)*uint64(each) {
		size *= 2
	}
	return size, nil
}

// constants puts the options that never change into the programs.
func (o *Options) constants(spec *ebpf.CollectionSpec) error {
	now, err := monotonic()
	if err != nil {
		return err
	}
	var roles, filter uint32
	for _, r := range o.Roles {
		roles |= 1 << r
	}
	if roles == 0 {
		roles = 1<<Server | 1<<Client
	}
	for bit, n := range []int{len(o.Networks), len(o.NetNS), len(o.Cgroups)} {
		if n > 0 {
			filter |= 1 << bit
		}
	}
	for name, value := range map[string]any{"roles": roles, "filter": filter, "since": uint64(now)} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set the programs' %s: %w", name, err)
		}
	}
	return nil
}

func (c *Collector) start(o *Options) error {
	if err := c.fill(o); err != nil {
		return err
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
	if err := c.slots.open(c.coll); err != nil {
		return err
	}
	emit := o.Emit
	if emit == 0 {
		emit = EmitAll
	}
	if err := c.SetEmit(emit, o.Sample); err != nil {
		return err
	}
	if c.reader, err = ringbuf.NewReader(c.coll.Maps["records"]); err != nil {
		return explain("open the ring of records", err)
	}
	for _, name := range programs[c.tier] {
		if err := c.attach(name); err != nil {
			return err
		}
	}
	if c.tier == TxStamp {
		if err := c.stamp(o); err != nil {
			return err
		}
	}
	if o.Hints != nil {
		return c.readHeads(o)
	}
	return nil
}

func (c *Collector) attach(name string) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: c.coll.Programs[name]})
	if err != nil {
		return explain("attach to "+c.coll.Programs[name].String(), err)
	}
	c.links[name] = l
	return nil
}

// fill puts the filters into their maps.
func (c *Collector) fill(o *Options) error {
	ports := o.Ports
	if len(ports) == 0 {
		ports = []uint16{0} // the kernel's side takes it for all
	}
	for _, p := range ports {
		if err := c.coll.Maps["ports"].Put(p, uint8(1)); err != nil {
			return fmt.Errorf("choose port %d: %w", p, err)
		}
	}
	for _, n := range o.NetNS {
		if err := c.coll.Maps["namespaces"].Put(n, uint8(1)); err != nil {
			return fmt.Errorf("choose network namespace %d: %w", n, err)
		}
	}
	for _, id := range o.Cgroups {
		if err := c.coll.Maps["cgroups"].Put(id, uint8(1)); err != nil {
			return fmt.Errorf("choose cgroup %d: %w", id, err)
		}
	}
	for _, n := range o.Networks {
		if !n.IsValid() {
			return fmt.Errorf("choose network %v: it is none", n)
		}
		if err := c.coll.Maps["networks"].Put(networkKey(n), uint8(1)); err != nil {
			return fmt.Errorf("choose network %v: %w", n, err)
		}
	}
	return nil
}

// networkKey is a network's key in the kernel's trie.
func networkKey(n netip.Prefix) [20]byte {
	var key [20]byte
	bits := n.Bits()
	if n.Addr().Is4() {
		bits += 96
	}
	a := n.Masked().Addr().As16()
	*(*uint32)(ptr(key[:])) = uint32(bits)
	copy(key[4:], a[:])
	return key
}

// monotonic is the clock that all times are of.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return time.Duration(now.Nano()), nil
}

// ClockOffset is what to add to a record's times to get Unix time.
func ClockOffset() (time.Duration, error) {
	mono, err := monotonic()
	return time.Duration(time.Now().UnixNano()) - mono, err
}

// Tier is the one that it has now.
func (c *Collector) Tier() Tier {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tier
}

// Short is why Auto has no more than Lite: nil where it has, or where no more was
// asked for.
func (c *Collector) Short() error { return c.short }

// SetTier goes down to Lite, or up again to what Open gave. Connections that have
// times of their writes keep them.
func (c *Collector) SetTier(t Tier) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return fmt.Errorf("change to tier %v: %w", t, os.ErrClosed)
	case t == c.tier:
		return nil
	case t == Lite:
		l := c.links["reads"]
		delete(c.links, "reads")
		c.tier = t
		if l == nil {
			return nil
		}
		return l.Close()
	case t == c.best && c.tier == Lite:
		c.tier = t
		return c.attach("reads")
	}
	return fmt.Errorf("change to tier %v: the programs of it were not loaded", t)
}

// SetEmit chooses the requests that there are records of from now on, and of how
// many EmitSample takes one: a power of two, 256 when 0.
func (c *Collector) SetEmit(e Emit, sample uint32) error {
	if sample == 0 {
		sample = 256
	}
	if sample&(sample-1) != 0 {
		return fmt.Errorf("sample one of %d requests: it is no power of two", sample)
	}
	if err := c.set("sample_mask", sample-1); err != nil {
		return err
	}
	return c.set("emit", uint32(e))
}

// SetSkip leaves out all but one of n connections that are made from now on, n a
// power of two; 1 takes all again.
func (c *Collector) SetSkip(n uint32) error {
	if n == 0 || n&(n-1) != 0 {
		return fmt.Errorf("take one of %d connections: it is no power of two", n)
	}
	return c.set("skip_mask", n-1)
}

func (c *Collector) set(name string, v any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return fmt.Errorf("set the programs' %s: %w", name, os.ErrClosed)
	}
	if err := c.coll.Variables[name].Set(v); err != nil {
		return fmt.Errorf("set the programs' %s: %w", name, err)
	}
	return nil
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
