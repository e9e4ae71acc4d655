// Package v6 writes what TCP-RT of Alibaba Cloud Linux does, for whoever has tools
// for it: a log with a line per request, and a file of averages per period.
//
// A line of the log is the fields
//
//	V6 FLAG SECONDS MICROSECONDS PEER:PORT LOCAL:PORT VALUES…
//
// with values by flag:
//
//	R  complete          bytes sent, time, least RTT, retransmits, number, server
//	                     time, upload time, bytes of the request, reordered, MSS
//	W  closed while it   the same, with the bytes that were not acknowledged in
//	   was answered      place of those of the request
//	N  closed before     number, time, bytes of the request, reordered, MSS
//	   it was answered
//	E  end of a          number, bytes sent, not acknowledged, received,
//	   connection        retransmits, least RTT
//	P  as client         bytes of the request, retransmits, number, least RTT, MSS
//
// Times are µs, the least RTT is in 1,024 µs, the time of a request is T3-T0, and
// reordered is 0 or 1. Addresses of IPv6, which TCP-RT does not have, are in
// brackets.
//
// Source: Alibaba Cloud Linux, "Configuration guide for TCP-RT".
package v6

import (
	"net/netip"
	"strconv"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Log makes the lines of a log. It is for one goroutine at a time.
type Log struct {
	offset time.Duration
	conns  map[pair]*conn
}

type pair struct{ local, remote netip.AddrPort }

// conn is what an E line adds up.
type conn struct {
	sent, received, retransmits uint64
	seen                        time.Duration
}

// maxConns bounds the connections that are added up; those that were silent longest
// go first.
const maxConns = 65536

// NewLog makes a Log. offset is added to a record's times to get Unix time.
func NewLog(offset time.Duration) *Log {
	return &Log{offset: offset, conns: map[pair]*conn{}}
}

// Append adds the lines of a record: one, and another if its connection ended with
// it.
func (l *Log) Append(b []byte, r *tcprt.Record) []byte {
	if r.Role == tcprt.Client {
		b = l.head(b, 'P', r, r.T0)
		b = values(b, uint64(r.RequestBytes), uint64(r.Retransmits), uint64(r.Number), least(r), uint64(r.MSS))
		return b
	}
	sum := l.add(r)
	switch {
	case r.Flags&tcprt.AbortedRequest != 0, r.Flags&tcprt.OneWay != 0 && r.T2 == 0:
		b = l.head(b, 'N', r, r.T0)
		b = values(b, uint64(r.Number), us(r.End-r.T0), uint64(r.RequestBytes), reordered(r), uint64(r.MSS))
	case r.Flags&(tcprt.AbortedAnswer|tcprt.OneWay) != 0:
		b = l.head(b, 'W', r, r.T0)
		b = values(b, uint64(r.AnswerBytes), us(r.End-r.T0), least(r), uint64(r.Retransmits), uint64(r.Number), us(r.T2-r.T1), us(r.T1-r.T0), uint64(r.Unacked), reordered(r), uint64(r.MSS))
	default:
		b = l.head(b, 'R', r, r.T0)
		b = values(b, uint64(r.AnswerBytes), us(r.T3-r.T0), least(r), uint64(r.Retransmits), uint64(r.Number), us(r.T2-r.T1), us(r.T1-r.T0), uint64(r.RequestBytes), reordered(r), uint64(r.MSS))
	}
	if r.Flags&tcprt.Closed != 0 {
		b = l.head(b, 'E', r, r.End)
		b = values(b, uint64(r.Number), sum.sent, uint64(r.Unacked), sum.received, sum.retransmits, least(r))
		delete(l.conns, pair{r.Local, r.Remote})
	}
	return b
}

func (l *Log) add(r *tcprt.Record) *conn {
	key := pair{r.Local, r.Remote}
	c := l.conns[key]
	if c == nil {
		if len(l.conns) >= maxConns {
			l.forget(r.End)
		}
		c = &conn{}
		l.conns[key] = c
	}
	c.sent += uint64(r.AnswerBytes)
	c.received += uint64(r.RequestBytes)
	c.retransmits += uint64(r.Retransmits)
	c.seen = r.End
	return c
}

// forget drops the older half.
func (l *Log) forget(now time.Duration) {
	oldest := now
	for _, c := range l.conns {
		oldest = min(oldest, c.seen)
	}
	for k, c := range l.conns {
		if c.seen <= oldest+(now-oldest)/2 {
			delete(l.conns, k)
		}
	}
}

func (l *Log) head(b []byte, flag byte, r *tcprt.Record, at time.Duration) []byte {
	at += l.offset
	b = append(b, 'V', '6', ' ', flag, ' ')
	b = strconv.AppendInt(b, int64(at/time.Second), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(at%time.Second/time.Microsecond), 10)
	b = append(b, ' ')
	b = r.Remote.AppendTo(b)
	b = append(b, ' ')
	return r.Local.AppendTo(b)
}

// values ends a line.
func values(b []byte, all ...uint64) []byte {
	for _, v := range all {
		b = append(b, ' ')
		b = strconv.AppendUint(b, v, 10)
	}
	return append(b, '\n')
}

func us(d time.Duration) uint64 { return uint64(max(0, d) / time.Microsecond) }

func least(r *tcprt.Record) uint64 { return us(r.MinRTT) >> 10 }

func reordered(r *tcprt.Record) uint64 {
	if r.OutOfOrder > 0 {
		return 1
	}
	return 0
}

// Stats makes the file of averages. It is for one goroutine at a time.
type Stats struct {
	every  time.Duration
	offset time.Duration
	end    time.Duration // of the period, Unix time; 0 before the first record
	ports  map[port]*sums
	order  []port
}

type port struct {
	client bool
	number uint16
}

type sums struct {
	rt, server, rtt, upload       uint64
	sent, received, resent, total uint64
	n, failed, whole              uint64
}

// NewStats makes a Stats of periods of a length, 60 s when 0.
func NewStats(offset, every time.Duration) *Stats {
	if every <= 0 {
		every = time.Minute
	}
	return &Stats{every: every, offset: offset, ports: map[port]*sums{}}
}

// Append adds a record, and before that the lines of a period that is over:
//
//	SECONDS all PORT time, server time, retransmits per thousand packets, RTT, failed
//	per thousand, bytes, upload time, bytes of requests, number
//
// averages but the last. A client's port has a P before it.
func (s *Stats) Append(b []byte, r *tcprt.Record) []byte {
	at := r.End + s.offset
	if s.end == 0 {
		s.end = at.Truncate(s.every) + s.every
	}
	if at >= s.end {
		b = s.Flush(b)
		s.end = at.Truncate(s.every) + s.every
	}
	key := port{r.Role == tcprt.Client, r.Service().Port}
	p := s.ports[key]
	if p == nil {
		p = &sums{}
		s.ports[key] = p
		s.order = append(s.order, key)
	}
	p.n++
	if r.Failed() {
		p.failed++
	}
	if r.Complete() {
		p.whole++
		p.rt += us(r.T3 - r.T0)
		p.server += us(r.T2 - r.T1)
		p.upload += us(r.T1 - r.T0)
	}
	p.rtt += us(r.RTT)
	p.sent += uint64(r.AnswerBytes)
	p.received += uint64(r.RequestBytes)
	p.resent += uint64(r.Retransmits)
	p.total += uint64(r.Retransmits) + packets(r)
	return b
}

// packets that an answer takes at least.
func packets(r *tcprt.Record) uint64 {
	if r.MSS == 0 {
		return 1
	}
	return (uint64(r.AnswerBytes) + uint64(r.MSS) - 1) / uint64(r.MSS)
}

// Flush ends the period.
func (s *Stats) Flush(b []byte) []byte {
	for _, key := range s.order {
		p := s.ports[key]
		b = strconv.AppendInt(b, int64(s.end/time.Second), 10)
		b = append(b, " all "...)
		if key.client {
			b = append(b, 'P')
		}
		b = strconv.AppendUint(b, uint64(key.number), 10)
		whole := max(1, p.whole)
		b = values(b, p.rt/whole, p.server/whole, 1000*p.resent/max(1, p.total), p.rtt/p.n, 1000*p.failed/p.n, p.sent/p.n, p.upload/whole, p.received/p.n, p.n)
	}
	clear(s.ports)
	s.order = s.order[:0]
	return b
}
