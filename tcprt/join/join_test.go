package join

import (
	"net/netip"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

func TestRecords(t *testing.T) {
	server, client := netip.MustParseAddrPort("10.0.0.1:80"), netip.MustParseAddrPort("10.0.0.2:4711")
	there := func(seq uint32, local, remote netip.AddrPort) tcprt.Record {
		// Its clock is another.
		return tcprt.Record{Role: tcprt.Server, Local: local, Remote: remote, RequestSeq: seq, AnswerSeq: seq + 1, T0: 5000, T1: 5000, T2: 5400, Last: 5500, T3: 5600}
	}
	here := func(seq uint32, took int) tcprt.Record {
		return tcprt.Record{Role: tcprt.Client, Local: client, Remote: server, RequestSeq: seq, AnswerSeq: seq + 1, T0: 100, T1: 200, T2: 300, T3: 100 + time.Duration(took)}
	}
	all := []tcprt.Record{
		here(1, 700), there(1, server, client), here(2, 900), there(2, server, client),
		here(3, 800), there(4, server, client), there(3, server, netip.MustParseAddrPort("192.0.2.1:9")),
		{Role: tcprt.Client, Local: client, Remote: server, RequestSeq: 9},
	}
	got := Records(all, Options{})
	if len(got.Pairs) != 2 || got.Clients != 1 || got.Servers != 2 {
		t.Fatalf("%+v", got)
	}
	slow := got.Pairs[0]
	if slow.Client.RequestSeq != 2 || slow.Total() != 900 || slow.AtServer() != 500 || slow.Network() != 400 {
		t.Errorf("%+v", slow)
	}
	if nat := Records(all, Options{NAT: true}); len(nat.Pairs) != 3 || nat.Clients != 0 || nat.Servers != 1 {
		t.Errorf("%+v", nat)
	}
}
