// Package join brings the two sides of a request together: the record of the client's
// node and that of the server's, of the same connection and the same TCP sequence
// numbers. What the client waited and the server did not take is the network's, to
// the microsecond, and needs no clocks that agree.
//
// A NAT between them rewrites addresses, not sequence numbers: with Options.NAT,
// numbers alone are compared. A proxy ends the connection: each of its sides is a
// request of its own.
package join

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Pair is a request as both sides saw it.
type Pair struct{ Client, Server tcprt.Record }

// Total is what the client waited: from its first packet to the last of the answer.
func (p *Pair) Total() time.Duration { return max(0, p.Client.T3-p.Client.T0) }

// AtServer is how long it was there: from its first segment to the last packet of the
// answer.
func (p *Pair) AtServer() time.Duration {
	return max(0, max(p.Server.T2, p.Server.Last)-p.Server.T0)
}

// Network is the rest: its way there, the answer's way back, and what was lost on
// either.
func (p *Pair) Network() time.Duration { return max(0, p.Total()-p.AtServer()) }

// Options of Records. The zero value works.
type Options struct {
	NAT bool // addresses need not be the same
}

type key struct {
	client, server netip.AddrPort
	request        uint32
	answer         uint32
}

func (o *Options) key(r *tcprt.Record) key {
	k := key{r.Remote, r.Local, r.RequestSeq, r.AnswerSeq}
	if r.Role == tcprt.Client {
		k.client, k.server = r.Local, r.Remote
	}
	if o.NAT {
		k.client, k.server = netip.AddrPort{}, netip.AddrPort{}
	}
	return k
}

// Result is what was found.
type Result struct {
	Pairs   []Pair // the slowest first
	Clients int    // records that no server's was found for
	Servers int    // and of servers
}

// Records joins the complete requests among them.
func Records(all []tcprt.Record, o Options) (out Result) {
	servers := make(map[key]int, len(all)/2)
	for i := range all {
		if r := &all[i]; r.Role == tcprt.Server && r.T3 != 0 {
			servers[o.key(r)] = i
		}
	}
	for i := range all {
		r := &all[i]
		if r.Role != tcprt.Client || r.T3 == 0 {
			continue
		}
		k := o.key(r)
		at, ok := servers[k]
		if !ok {
			out.Clients++
			continue
		}
		delete(servers, k)
		out.Pairs = append(out.Pairs, Pair{*r, all[at]})
	}
	out.Servers = len(servers)
	slices.SortStableFunc(out.Pairs, func(a, b Pair) int { return cmp.Compare(b.Total(), a.Total()) })
	return out
}
