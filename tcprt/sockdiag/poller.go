package sockdiag

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/tcprt"
)

// Options of a Poller. The zero value takes every connection.
type Options struct {
	Ports []uint16 // servers' ports that count; all when empty
	Root  string   // put before /proc, "/" when empty
}

// Poller adds up what connections do. It is for one goroutine at a time.
type Poller struct {
	o      Options
	spaces map[uint32]*netlink.Handle
	conns  map[key]*conn
	totals map[tcprt.Service]*tcprt.Totals
	gen    uint64
}

// key is a connection's name in the kernel.
type key struct {
	netns  uint32
	cookie [2]uint32
}

type conn struct {
	service tcprt.Service
	last    counters
	gen     uint64
}

// counters only grow.
type counters struct {
	sent, received, resent, disordered uint64
	busy, window, buffer               uint64 // µs
	segments                           uint64
}

// New makes a Poller; the caller must Close.
func New(o Options) *Poller {
	return &Poller{o: o, spaces: map[uint32]*netlink.Handle{}, conns: map[key]*conn{}, totals: map[tcprt.Service]*tcprt.Totals{}}
}

// Close lets go of the network namespaces.
func (p *Poller) Close() error {
	for _, h := range p.spaces {
		h.Close()
	}
	p.spaces = map[uint32]*netlink.Handle{}
	return nil
}

// Services looks, and gives f what each service has done since the first look. f
// must not keep the pointer.
func (p *Poller) Services(f func(tcprt.Service, *tcprt.Totals, tcprt.Owner)) error {
	if err := p.enter(); err != nil {
		return err
	}
	first := p.gen == 0
	p.gen++
	for ns, h := range p.spaces {
		if err := p.look(ns, h, first); err != nil {
			return err
		}
	}
	for k, c := range p.conns {
		if c.gen != p.gen {
			p.totals[c.service].Closed++
			delete(p.conns, k)
		}
	}
	for s, t := range p.totals {
		f(s, t, tcprt.Owner{})
	}
	return nil
}

// enter finds network namespaces that were not known, and lets go of those that
// have no process any more.
func (p *Poller) enter() error {
	proc := filepath.Join("/", p.o.Root, "proc")
	entries, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("look for network namespaces: %w", err)
	}
	seen := map[uint32]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		path := filepath.Join(proc, e.Name(), "ns/net")
		to, err := os.Readlink(path)
		if err != nil {
			continue // it is gone, or somebody else's
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(to, "net:["), "]"), 10, 32)
		if err != nil || seen[uint32(n)] {
			continue
		}
		seen[uint32(n)] = true
		if p.spaces[uint32(n)] != nil {
			continue
		}
		h, err := open(path)
		switch {
		case err == nil:
			p.spaces[uint32(n)] = h
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
			// Gone meanwhile; or this process may not look: what it may see is seen.
		default:
			return fmt.Errorf("enter network namespace %d: %w", n, err)
		}
	}
	for n, h := range p.spaces {
		if !seen[n] {
			h.Close()
			delete(p.spaces, n)
		}
	}
	return nil
}

func open(path string) (*netlink.Handle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return netlink.NewHandleAt(ns, unix.NETLINK_SOCK_DIAG)
}

// look adds what the connections of a namespace did.
func (p *Poller) look(ns uint32, h *netlink.Handle, first bool) error {
	var all []*netlink.InetDiagTCPInfoResp
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, err := h.SocketDiagTCPInfo(family)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return fmt.Errorf("list the sockets of network namespace %d: %w", ns, err)
		}
		all = append(all, some...)
	}
	listens := map[uint16]bool{}
	for _, s := range all {
		if s.InetDiagMsg.State == netlink.TCP_LISTEN {
			listens[s.InetDiagMsg.ID.SourcePort] = true
		}
	}
	for _, s := range all {
		if m := s.InetDiagMsg; s.TCPInfo != nil && m.State != netlink.TCP_LISTEN && m.State != netlink.TCP_SYN_SENT && m.State != netlink.TCP_SYN_RECV {
			p.take(ns, m, s.TCPInfo, listens[m.ID.SourcePort], first)
		}
	}
	return nil
}

func (p *Poller) take(ns uint32, m *netlink.Socket, info *netlink.TCPInfo, server, first bool) {
	s := tcprt.Service{Role: tcprt.Client, Port: m.ID.DestinationPort, NetNS: ns}
	if server {
		s.Role, s.Port = tcprt.Server, m.ID.SourcePort
	}
	if len(p.o.Ports) > 0 && !slices.Contains(p.o.Ports, s.Port) {
		return
	}
	t := p.totals[s]
	if t == nil {
		t = &tcprt.Totals{}
		p.totals[s] = t
	}
	now := counters{
		sent: info.Bytes_sent - min(info.Bytes_sent, info.Bytes_retrans), received: info.Bytes_received, resent: uint64(info.Total_retrans), disordered: uint64(info.Rcv_ooopack),
		busy: info.Busy_time, window: info.Rwnd_limited, buffer: info.Sndbuf_limited, segments: uint64(info.Segs_in),
	}
	k := key{ns, m.ID.Cookie}
	c := p.conns[k]
	if c == nil {
		c = &conn{service: s}
		p.conns[k] = c
		t.Opened++
		if first {
			c.last = now // from before
		}
	}
	c.gen = p.gen
	add(t, s.Role, &now, &c.last)
	if now.segments != c.last.segments && info.Rtt > 0 {
		t.RTT.Add(time.Duration(info.Rtt) * time.Microsecond)
	}
	c.last = now
}

// add takes what a connection did since the last look.
func add(t *tcprt.Totals, role tcprt.Role, now, last *counters) {
	since := func(now, last uint64) uint64 { return now - min(now, last) }
	in, out := since(now.received, last.received), since(now.sent, last.sent)
	if role == tcprt.Client {
		in, out = out, in
	}
	t.RequestBytes += in
	t.AnswerBytes += out
	t.Retransmits += since(now.resent, last.resent)
	t.OutOfOrder += since(now.disordered, last.disordered)
	us := func(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }
	t.Busy += us(since(now.busy, last.busy))
	t.WindowLimited += us(since(now.window, last.window))
	t.BufferLimited += us(since(now.buffer, last.buffer))
}
