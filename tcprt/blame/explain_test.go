package blame_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
)

const ms = time.Millisecond

// request is a record with these phases, and totals of many like it.
type request struct {
	upload, queue, server, send, deliver, rtt time.Duration
	edit                                      func(*tcprt.Record)
}

var usual = request{0, 50 * time.Microsecond, 2 * ms, 100 * time.Microsecond, 1 * ms, 1 * ms, nil}

func (q request) record() tcprt.Record {
	r := tcprt.Record{Role: tcprt.Server, T0: time.Second, RequestBytes: 300, AnswerBytes: 4000, RTT: q.rtt, MinRTT: q.rtt}
	r.T1 = r.T0 + q.upload
	r.Read = r.T1 + q.queue
	r.T2 = r.Read + q.server
	r.Last = r.T2 + q.send
	r.T3 = r.Last + q.deliver
	if q.edit != nil {
		q.edit(&r)
	}
	return r
}

// many is 200 of it, a little apart.
func (q request) many() (t *tcprt.Totals, rs []tcprt.Record) {
	t = new(tcprt.Totals)
	for i := range 200 {
		v := q
		v.server += time.Duration(i) * ms / 200
		r := v.record()
		t.Add(&r)
		if i < 20 {
			rs = append(rs, r)
		}
	}
	return t, rs
}

func explain(q request, edit func(*blame.Case)) blame.Verdict {
	c := &blame.Case{Service: tcprt.Service{Role: tcprt.Server, Port: 80}, Name: "shop"}
	c.Baseline, _ = usual.many()
	c.Now, c.Samples = q.many()
	if edit != nil {
		edit(c)
	}
	return blame.Explain(c)
}

func with(f func(*request)) request {
	q := usual
	f(&q)
	return q
}

func TestExplain(t *testing.T) {
	host := func(p blame.Pressure) func(*blame.Case) {
		return func(c *blame.Case) { c.Host = &blame.Host{Now: p} }
	}
	slow := with(func(q *request) { q.server = 61 * ms })
	for _, c := range []struct {
		name     string
		q        request
		edit     func(*blame.Case)
		want     blame.Cause
		who, say string
	}{
		{"slow server", slow, nil, blame.Server, "shop", "the server's time rose from"},
		{"throttled", slow, host(blame.Pressure{Throttled: 0.43, CPUSome: 0.4}), blame.CPUThrottled, "the node of shop", "its cgroup was throttled 43 % of the time, usually 0 %"},
		{"contended", slow, host(blame.Pressure{RunDelay: 0.3}), blame.CPUContention, "the node of shop", "waited for a CPU 30 %"},
		{"contended, and so long", slow, func(c *blame.Case) {
			c.Host = &blame.Host{Now: blame.Pressure{RunDelay: 0.3, Waited: 0.9}}
		}, blame.CPUContention, "the node of shop", "waited for a CPU 30 %"},
		{"hardly runs, and waits for much of that", slow, func(c *blame.Case) {
			c.Host = &blame.Host{Now: blame.Pressure{RunDelay: 0.76, Waited: 0.03}, Baseline: blame.Pressure{RunDelay: 0.39, Waited: 0.03}}
		}, blame.Server, "shop", "the server's time"},
		{"memory", slow, host(blame.Pressure{MemorySome: 0.3, IOSome: 0.25}), blame.MemoryPressure, "the node of shop", "waited for memory 30 %"},
		{"disk", slow, host(blame.Pressure{IOSome: 0.3}), blame.IOPressure, "the node of shop", "waited for a disk 30 %"},
		{"little pressure", slow, host(blame.Pressure{IOSome: 0.02, CPUSome: 0.02}), blame.Server, "shop", "the server's time"},
		{"queue", with(func(q *request) { q.queue = 30 * ms }), nil, blame.SocketQueue, "shop", "lay in the socket for 30 ms longer"},
		{"upload", with(func(q *request) { q.upload = 90 * ms }), nil, blame.ClientUpload, "the clients of shop", "send them in parts"},
		{"upload with loss", with(func(q *request) { q.upload = 90 * ms; q.edit = func(r *tcprt.Record) { r.OutOfOrder = 1 } }), nil, blame.NetworkLoss, "the path to shop", "came out of order"},
		{"client waits for a delayed acknowledgement", with(func(q *request) { q.upload = 41 * ms }), nil, blame.NagleDelAck, "shop", "TCP_NODELAY"},
		{"reader", with(func(q *request) {
			q.send = 200 * ms
			q.edit = func(r *tcprt.Record) { r.ZeroWindows, r.WindowLimited, r.AnswerBytes = 2, 190*ms, 500_000 }
		}), nil, blame.ClientReceive, "the clients of shop", "the client does not read"},
		{"reader, not counted", with(func(q *request) {
			q.send = 200 * ms
			q.edit = func(r *tcprt.Record) { r.ZeroWindows, r.AnswerBytes = 2, 500_000 }
		}), nil, blame.ClientReceive, "the clients of shop", "shut"},
		{"send buffer", with(func(q *request) { q.send = 200 * ms; q.edit = func(r *tcprt.Record) { r.BufferLimited = 180 * ms } }), nil, blame.SendBuffer, "shop", "send buffer"},
		{"loss", with(func(q *request) { q.deliver = 30 * ms; q.edit = func(r *tcprt.Record) { r.Retransmits = 1 } }), nil, blame.NetworkLoss, "the path to shop", "sent again"},
		{"path", with(func(q *request) { q.deliver, q.rtt = 11*ms, 11*ms }), nil, blame.NetworkRTT, "the path to shop", "the median round trip rose from 1"},
		{"nagle", with(func(q *request) { q.send, q.rtt = 41*ms, 20*ms; q.edit = func(r *tcprt.Record) { r.MinRTT = ms } }), nil, blame.NagleDelAck, "shop", "20 of 20 samples waited for 40 ms"},
		{"nagle, at most", with(func(q *request) { q.send = 202 * ms }), nil, blame.NagleDelAck, "shop", "200 ms"},
		{"nagle, lite", with(func(q *request) { q.deliver = 41 * ms; q.edit = func(r *tcprt.Record) { r.Last, r.MinRTT = 0, ms } }), nil, blame.NagleDelAck, "shop", "TCP_NODELAY"},
		{"40 ms with TCP_NODELAY", with(func(q *request) { q.send = 41 * ms; q.edit = func(r *tcprt.Record) { r.Flags = tcprt.NoDelay } }), nil, blame.Unknown, "", "sending the answer rose"},
		{"cut off", with(func(q *request) { q.edit = func(r *tcprt.Record) { r.Flags = tcprt.AbortedAnswer } }), nil, blame.Aborts, "shop", "100 % of the requests were cut off"},
		{"nothing", usual, nil, blame.Unknown, "", ""},
	} {
		v := explain(c.q, c.edit)
		if v.Cause != c.want || v.Component != c.who || !strings.Contains(strings.Join(v.Evidence, "; "), c.say) {
			t.Errorf("%s: %v of %q, %.2f: %q", c.name, v.Cause, v.Component, v.Shares, v.Evidence)
		}
		sum := 0.0
		for _, s := range v.Shares {
			sum += s
		}
		if math.Abs(sum-1) > 1e-9 || v.Score < 0 || v.Score > 1 {
			t.Errorf("%s: shares %v, score %v", c.name, v.Shares, v.Score)
		}
	}
}

// Of two that the server asks, the one that is slow is it; and only as far as it
// explains.
func TestDownstream(t *testing.T) {
	slow := with(func(q *request) { q.server = 60 * ms })
	asked := func(calls int, took time.Duration) *tcprt.Totals {
		var t tcprt.Totals
		for range 200 * calls {
			t.Add(&tcprt.Record{Role: tcprt.Client, T0: time.Second, T1: time.Second, T2: time.Second + took, T3: time.Second + took})
		}
		return &t
	}
	ask := func(more time.Duration) blame.Verdict {
		return explain(slow, func(c *blame.Case) {
			c.Downstream = []blame.Pair{{"cache", asked(1, ms), asked(1, ms)}, {"db", asked(2, more+ms), asked(2, ms)}, {"idle", new(tcprt.Totals), new(tcprt.Totals)}}
			c.Host = &blame.Host{Now: blame.Pressure{IOSome: 0.01}}
		})
	}
	v := ask(28 * ms)
	if v.Cause != blame.Downstream || v.Component != "db" || v.Shares[blame.Downstream] < 0.9 || !strings.Contains(strings.Join(v.Evidence, ";"), "db, asked 2 times for each request, took 29 ms, usually 1 ms") {
		t.Errorf("%v of %s, %.2f: %q", v.Cause, v.Component, v.Shares, v.Evidence)
	}
	if v := ask(5 * ms); v.Cause != blame.Server || math.Abs(v.Shares[blame.Downstream]-10.0/58) > 0.02 {
		t.Errorf("%v, %.2f", v.Cause, v.Shares)
	}
}

// As a client, what the path does not explain is the other side's.
func TestAsClient(t *testing.T) {
	as := func(c *blame.Case) { c.Service.Role = tcprt.Client }
	if v := explain(with(func(q *request) { q.server = 60 * ms }), as); v.Cause != blame.Server {
		t.Errorf("%v: %q", v.Cause, v.Evidence)
	}
	if v := explain(with(func(q *request) { q.server, q.deliver = q.server+10*ms, 11*ms }), as); v.Cause != blame.NetworkRTT {
		t.Errorf("%v: %q", v.Cause, v.Evidence)
	}
	if v := explain(with(func(q *request) { q.deliver = 60 * ms; q.edit = func(r *tcprt.Record) { r.ZeroWindows = 1 } }), as); v.Cause != blame.ClientReceive {
		t.Errorf("%v: %q", v.Cause, v.Evidence)
	}
}

// With no baseline all of the time is explained.
func TestNoBaseline(t *testing.T) {
	v := explain(usual, func(c *blame.Case) { c.Baseline, c.Name = nil, "" })
	if v.Cause != blame.Server || v.Component != "the server of port 80" || v.Excess[tcprt.Phases] < 3*ms {
		t.Errorf("%+v", v)
	}
	v = blame.Explain(&blame.Case{Now: new(tcprt.Totals)})
	if v.Cause != blame.Unknown || v.Score != 0 {
		t.Errorf("%+v", v)
	}
}

// Two causes have their shares.
func TestShares(t *testing.T) {
	v := explain(with(func(q *request) { q.server, q.upload = q.server+30*ms, 90*ms }), nil)
	if v.Cause != blame.ClientUpload || math.Abs(v.Shares[blame.ClientUpload]-0.75) > 0.02 || math.Abs(v.Shares[blame.Server]-0.25) > 0.02 {
		t.Errorf("%.2f", v.Shares)
	}
	if !blame.CPUThrottled.Host() || blame.Server.Host() || blame.Cause(200).String() != "none" {
		t.Error("names")
	}
}

func TestWhatNeighboursCanBeTheCauseOf(t *testing.T) {
	with := func(c blame.Cause, cpu float64) *blame.Verdict {
		v := &blame.Verdict{Cause: c}
		v.Shares[c] = 1 - cpu
		v.Shares[blame.CPUContention] += cpu
		return v
	}
	for _, x := range []struct {
		v    *blame.Verdict
		want bool
	}{
		{with(blame.CPUContention, 0), true}, {with(blame.MemoryPressure, 0), true}, {with(blame.IOPressure, 0), true},
		{with(blame.SocketQueue, 0), true}, {with(blame.Server, 0), false}, {with(blame.Server, 0.05), false}, {with(blame.Server, 0.2), true},
		{with(blame.CPUThrottled, 0.3), false}, {with(blame.Downstream, 0.3), false}, {with(blame.NetworkLoss, 0.3), false},
		{with(blame.NetworkRTT, 0.3), false}, {with(blame.ClientUpload, 0.3), false}, {with(blame.ClientReceive, 0.3), false},
		{with(blame.NagleDelAck, 0.3), false}, {with(blame.SendBuffer, 0.3), false}, {with(blame.Aborts, 0.3), false}, {with(blame.Unknown, 0.3), false},
	} {
		if got := x.v.Neighbours(); got != x.want {
			t.Errorf("%v with %v of waits for a CPU: %v", x.v.Cause, x.v.Shares[blame.CPUContention], got)
		}
	}
}
