package replay

import (
	"net/netip"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
)

// A server that becomes slow in the middle of a recording is found, with its cause
// and the slowest of its requests.
func TestReplay(t *testing.T) {
	const ms = time.Millisecond
	p := New(Options{Slowest: 3})
	now := 10 * time.Hour
	for i := range 100 * 180 {
		now += 10 * ms
		took := 2*ms + time.Duration(i%7)*100*time.Microsecond
		if i > 100*120 {
			took = 40*ms + time.Duration(i%100)*10*time.Microsecond
		}
		p.Add(&tcprt.Record{
			Role: tcprt.Server, Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:4711"),
			T0: now, T1: now, T2: now + took, Last: now + took, T3: now + took + ms, End: now + took + ms, RequestBytes: 10, AnswerBytes: 100, MinRTT: ms, MSS: 1448,
		})
	}
	got := p.Result()
	if got.Records != 18000 || len(got.Services) != 1 || got.Services[0].Requests != 18000 || got.To-got.From < 179*time.Second {
		t.Errorf("%d records, %d services, %v to %v", got.Records, len(got.Services), got.From, got.To)
	}
	if len(got.Events) != 1 || got.Events[0].Verdict.Cause != blame.Server || !got.Events[0].Ongoing() {
		t.Fatalf("%+v", got.Events)
	}
	if late := got.Events[0].Seen.Sub(time.Unix(0, int64(10*time.Hour+120*time.Second))); late < 0 || late > 6*time.Second {
		t.Errorf("found after %v", late)
	}
	if len(got.Slowest) != 3 || got.Slowest[0].Total() < got.Slowest[2].Total() || got.Slowest[2].Total() < 41*ms {
		t.Errorf("%+v", got.Slowest)
	}
	if none := New(Options{}).Result(); none.Records != 0 || len(none.Services) != 0 {
		t.Errorf("%+v", none)
	}
}
