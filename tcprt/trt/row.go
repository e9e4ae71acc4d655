package trt

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// conn is what the records of a connection share.
type conn struct {
	role          tcprt.Role
	local, remote netip.AddrPort
	netns         uint32
	cgroup        uint64
	pid           uint32
	command       tcprt.Command
}

func connOf(r *tcprt.Record) conn {
	return conn{r.Role, r.Local, r.Remote, r.NetNS, r.Cgroup, r.PID, r.Command}
}

// rows encodes a block.
type rows struct {
	b     []byte
	n     int
	conns map[conn]uint64
	last  [lately]recent    // those that came last, by their ports, as a map's hash of all that a conn is costs more than the rest of a row
	words map[string]uint64 // of hints
	t0    time.Duration
}

// lately is how many connections are found without the map: a power of two.
const lately = 256

type recent struct {
	conn
	index uint64 // from 1; 0 is none
}

// index gives a connection's place in the block, and whether it had one.
func (w *rows) index(r *tcprt.Record) (index uint64, had bool) {
	c := connOf(r)
	l := &w.last[((uint(c.local.Port())*31+uint(c.remote.Port())>>1)*2+uint(c.role))&(lately-1)]
	if l.index != 0 && l.conn == c {
		return l.index - 1, true
	}
	if index, had = w.conns[c]; !had {
		index = uint64(len(w.conns))
		w.conns[c] = index
	}
	*l = recent{c, index + 1}
	return index, had
}

// hinted is a bit beside a row's flags: a Hint follows.
const hinted = 1 << 40

func (w *rows) reset() {
	w.b, w.n, w.t0 = w.b[:0], 0, 0
	clear(w.conns)
	clear(w.last[:])
	clear(w.words)
}

// hint writes one as places in the block's list of words, which a word is put on when
// it is first there; the first place is "".
func (w *rows) hint(h *tcprt.Hint) {
	for _, s := range [...]string{h.Protocol, h.Method, h.Route, h.Status, h.Traceparent} {
		if s = s[:min(len(s), 255)]; s == "" {
			w.u(0)
			continue
		}
		at, known := w.words[s]
		if !known {
			at = uint64(len(w.words)) + 1
			w.words[s] = at
		}
		w.u(at)
		if !known {
			w.b = append(append(w.b, byte(len(s))), s...)
		}
	}
	w.u(uint64(h.Requests))
}

func (w *rows) u(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *rows) i(v int64)  { w.b = binary.AppendVarint(w.b, v) }

// at writes a time by its distance from T0; 0 is none.
func (w *rows) at(t, t0 time.Duration) {
	if t == 0 {
		w.u(0)
		return
	}
	d := int64(t - t0)
	w.u(uint64(d<<1^d>>63) + 1)
}

func (w *rows) addr(a netip.AddrPort) {
	raw := a.Addr().AsSlice()
	w.b = append(append(w.b, byte(len(raw))), raw...)
	w.u(uint64(a.Port()))
}

func (w *rows) add(r *tcprt.Record) {
	index, had := w.index(r)
	w.u(index)
	if !had {
		w.b = append(w.b, byte(r.Role))
		w.addr(r.Local)
		w.addr(r.Remote)
		w.u(uint64(r.NetNS))
		w.u(r.Cgroup)
		w.u(uint64(r.PID))
		name := r.Command.String()
		w.b = append(append(w.b, byte(len(name))), name...)
	}
	if r.Hint == (tcprt.Hint{}) {
		w.u(uint64(r.Flags))
	} else {
		w.u(uint64(r.Flags) | hinted)
		w.hint(&r.Hint)
	}
	w.u(uint64(r.Number))
	w.i(int64(r.T0 - w.t0))
	w.t0 = r.T0
	for _, t := range [...]time.Duration{r.T1, r.Read, r.T2, r.Last, r.T3, r.End} {
		w.at(t, r.T0)
	}
	for _, v := range [...]uint32{r.RequestSeq, r.AnswerSeq} { // as good as random
		w.b = binary.LittleEndian.AppendUint32(w.b, v)
	}
	for _, v := range [...]uint32{r.RequestBytes, r.AnswerBytes, r.Unacked, r.Retransmits, r.OutOfOrder, r.ZeroWindows, r.MSS} {
		w.u(uint64(v))
	}
	for _, d := range [...]time.Duration{r.Busy, r.WindowLimited, r.BufferLimited, r.RTT, r.MinRTT, r.Queued} {
		w.u(uint64(max(0, d)))
	}
	w.n++
}

// row decodes a block.
type row struct {
	b     []byte
	conns []conn
	words []string
	t0    time.Duration
	bad   bool
}

var errRow = errors.New("its rows are not as they should be")

func (d *row) u() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// u32 takes no more than 32 bits.
func (d *row) u32() uint32 {
	v := d.u()
	if v > 1<<32-1 {
		d.bad = true
	}
	return uint32(v)
}

func (d *row) i() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

// take gives n bytes, nil if there are fewer.
func (d *row) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *row) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *row) at(t0 time.Duration) time.Duration {
	v := d.u()
	if v == 0 {
		return 0
	}
	v--
	return t0 + time.Duration(int64(v>>1)^-int64(v&1))
}

func (d *row) addr() netip.AddrPort {
	n := int(d.byte())
	a, ok := netip.AddrFromSlice(d.take(n))
	if !ok && n != 0 {
		d.bad = true
	}
	return netip.AddrPortFrom(a, uint16(d.u32()))
}

func (d *row) conn() (c conn) {
	c.role = tcprt.Role(d.byte())
	c.local, c.remote = d.addr(), d.addr()
	c.netns, c.cgroup, c.pid = d.u32(), d.u(), d.u32()
	n := int(d.byte())
	if n > len(c.command) {
		d.bad = true
		return c
	}
	copy(c.command[:], d.take(n))
	return c
}

func (d *row) hint(h *tcprt.Hint) {
	for _, s := range [...]*string{&h.Protocol, &h.Method, &h.Route, &h.Status, &h.Traceparent} {
		at := d.u()
		switch {
		case at == 0:
			continue
		case at == uint64(len(d.words))+1:
			d.words = append(d.words, strings.ToValidUTF8(string(d.take(int(d.byte()))), "?"))
		case at > uint64(len(d.words)):
			d.bad = true
			return
		}
		*s = d.words[at-1]
	}
	n := d.u32()
	d.bad = d.bad || n > 1<<16-1
	h.Requests = uint16(n)
}

func (d *row) next(r *tcprt.Record) error {
	index := d.u()
	switch {
	case index == uint64(len(d.conns)):
		d.conns = append(d.conns, d.conn())
	case index > uint64(len(d.conns)):
		return errRow
	}
	if d.bad {
		return errRow
	}
	c := &d.conns[index]
	*r = tcprt.Record{Role: c.role, Local: c.local, Remote: c.remote, NetNS: c.netns, Cgroup: c.cgroup, PID: c.pid, Command: c.command}
	flags := d.u()
	if flags&hinted != 0 {
		d.hint(&r.Hint)
	}
	if flags &^= hinted; flags > 1<<32-1 {
		d.bad = true
	}
	r.Flags, r.Number = tcprt.Flags(flags), d.u32()
	r.T0 = d.t0 + time.Duration(d.i())
	d.t0 = r.T0
	for _, t := range [...]*time.Duration{&r.T1, &r.Read, &r.T2, &r.Last, &r.T3, &r.End} {
		*t = d.at(r.T0)
	}
	if b := d.take(8); b != nil {
		r.RequestSeq, r.AnswerSeq = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	}
	for _, v := range [...]*uint32{&r.RequestBytes, &r.AnswerBytes, &r.Unacked, &r.Retransmits, &r.OutOfOrder, &r.ZeroWindows, &r.MSS} {
		*v = d.u32()
	}
	for _, t := range [...]*time.Duration{&r.Busy, &r.WindowLimited, &r.BufferLimited, &r.RTT, &r.MinRTT, &r.Queued} {
		*t = time.Duration(d.u() &^ (1 << 63))
	}
	if d.bad {
		return errRow
	}
	return nil
}
