package perfetto

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// A trace is valid JSON, and the phases of a request lie in it, one after the other.
func TestTrace(t *testing.T) {
	for _, n := range []int{0, 3} {
		var b bytes.Buffer
		w := NewWriter(&b, time.Second)
		for i := range n {
			t0 := time.Duration(i+1) * time.Millisecond
			r := &tcprt.Record{Role: tcprt.Server, Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:4711"),
				T0: t0, T1: t0 + 10, Read: t0 + 15, T2: t0 + 40, Last: t0 + 50, T3: t0 + 90, End: t0 + 100}
			if i == 1 {
				r.Hint = tcprt.Hint{Protocol: "http", Method: "GET", Route: "/users/{id}"}
			}
			if i == 2 {
				r.Flags, r.T2, r.Last, r.T3 = tcprt.AbortedRequest, 0, 0, 0
			}
			if err := w.Add(r, &tcprt.Names{Command: "nginx\"<"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var trace struct{ TraceEvents []event }
		if err := json.Unmarshal(b.Bytes(), &trace); err != nil {
			t.Fatalf("%v: %s", err, b.Bytes())
		}
		count := map[string]int{}
		var in event
		for _, e := range trace.TraceEvents {
			count[e.Ph+" "+e.Cat+" "+e.Name]++
			switch e.Cat {
			case "request":
				in = e
			case "phase":
				if e.TS < in.TS || e.TS+*e.Dur > in.TS+*in.Dur+1e-6 || e.TID != in.TID || e.PID != in.PID {
					t.Errorf("%+v lies outside of %+v", e, in)
				}
			}
		}
		if n == 0 && len(trace.TraceEvents) != 0 {
			t.Errorf("%+v", trace)
		}
		if n == 3 && (count["X request request"] != 1 || count["X request GET /users/{id}"] != 1 || count["X request aborted"] != 1 || count["X phase upload"] != 3 || count["X phase deliver"] != 2 || count["M  process_name"] != 1 || count["M  thread_name"] != 1) {
			t.Errorf("%v", count)
		}
	}
}
