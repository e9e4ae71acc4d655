package v6

import (
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
)

const ms = time.Millisecond

func record(edit func(*tcprt.Record)) *tcprt.Record {
	r := &tcprt.Record{
		Role: tcprt.Server, Number: 3, Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("10.0.0.2:4711"),
		T0: 1000 * ms, T1: 1010 * ms, T2: 1030 * ms, T3: 1070 * ms, End: 1100 * ms, RequestBytes: 100, AnswerBytes: 5000, Retransmits: 2, OutOfOrder: 4,
		RTT: 3 * ms, MinRTT: 2100 * time.Microsecond, MSS: 1448,
	}
	if edit != nil {
		edit(r)
	}
	return r
}

func TestLines(t *testing.T) {
	const head = " 101 0 10.0.0.2:4711 10.0.0.1:80 "
	for _, c := range []struct {
		edit func(*tcprt.Record)
		want string
	}{
		{nil, "V6 R" + head + "5000 70000 2 2 3 20000 10000 100 1 1448\n"},
		{func(r *tcprt.Record) { r.Flags, r.T3, r.Unacked = tcprt.AbortedAnswer, 0, 900 }, "V6 W" + head + "5000 100000 2 2 3 20000 10000 900 1 1448\n"},
		{func(r *tcprt.Record) {
			r.Flags, r.T2, r.T3, r.AnswerBytes, r.OutOfOrder = tcprt.AbortedRequest, 0, 0, 0, 0
		}, "V6 N" + head + "3 100000 100 0 1448\n"},
		{func(r *tcprt.Record) { r.Flags, r.T3, r.Unacked = tcprt.OneWay, 0, 900 }, "V6 W" + head + "5000 100000 2 2 3 20000 10000 900 1 1448\n"},
		{func(r *tcprt.Record) {
			r.Flags, r.T2, r.T3, r.AnswerBytes, r.OutOfOrder = tcprt.OneWay, 0, 0, 0, 0
		}, "V6 N" + head + "3 100000 100 0 1448\n"},
		{func(r *tcprt.Record) { r.Flags = tcprt.Closed }, "V6 R" + head + "5000 70000 2 2 3 20000 10000 100 1 1448\nV6 E 101 100000 10.0.0.2:4711 10.0.0.1:80 3 5000 0 100 2 2\n"},
		{func(r *tcprt.Record) {
			r.Role, r.Local, r.Remote = tcprt.Client, netip.MustParseAddrPort("[2001:db8::1]:5"), netip.MustParseAddrPort("[2001:db8::2]:443")
		}, "V6 P 101 0 [2001:db8::2]:443 [2001:db8::1]:5 100 2 3 2 1448\n"},
	} {
		if got := string(NewLog(100*time.Second).Append(nil, record(c.edit))); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// A connection's end adds up all of its requests.
func TestEndAddsUp(t *testing.T) {
	l := NewLog(0)
	l.Append(nil, record(nil))
	l.Append(nil, record(func(r *tcprt.Record) { r.Remote = netip.MustParseAddrPort("10.0.0.3:4711") }))
	got := string(l.Append(nil, record(func(r *tcprt.Record) { r.Number, r.Flags = 4, tcprt.Closed })))
	if !strings.HasSuffix(got, "V6 E 1 100000 10.0.0.2:4711 10.0.0.1:80 4 10000 0 200 4 2\n") || len(l.conns) != 1 {
		t.Errorf("%q, %d connections", got, len(l.conns))
	}
}

var byFlag = map[byte]*regexp.Regexp{
	'R': regexp.MustCompile(`^V6 R \d+ \d{1,6} \S+:\d+ \S+:\d+( \d+){10}$`), 'W': regexp.MustCompile(`^V6 W \d+ \d{1,6} \S+:\d+ \S+:\d+( \d+){10}$`),
	'N': regexp.MustCompile(`^V6 N \d+ \d{1,6} \S+:\d+ \S+:\d+( \d+){5}$`), 'E': regexp.MustCompile(`^V6 E \d+ \d{1,6} \S+:\d+ \S+:\d+( \d+){6}$`),
	'P': regexp.MustCompile(`^V6 P \d+ \d{1,6} \S+:\d+ \S+:\d+( \d+){5}$`),
}

// fields is the vendor's table, as a program that has no idea of this one.
const fields = `
BEGIN { n["R"]=10; n["W"]=10; n["N"]=5; n["E"]=6; n["P"]=5 }
$1 != "V6" || !($2 in n) || NF != 6 + n[$2] { print "bad: " $0; bad = 1; next }
$4 >= 1000000 { print "usec: " $0; bad = 1 }
{ for (i = 7; i <= NF; i++) if ($i !~ /^[0-9]+$/) { print "value: " $0; bad = 1 } }
$2 == "R" && ($12 + $13 > $8 || $15 > 1) { print "times: " $0; bad = 1 }
{ seen[$2]++ }
END { for (f in n) if (!seen[f]) { print "none of " f; bad = 1 } exit bad }
`

func TestLinesByTheVendorsTable(t *testing.T) {
	l := NewLog(time.Duration(1_700_000_000) * time.Second)
	var b []byte
	for i := range 50 {
		b = l.Append(b, record(func(r *tcprt.Record) {
			r.Number = uint32(i)
			switch i % 5 {
			case 1:
				r.Flags = tcprt.AbortedRequest | tcprt.Closed
			case 2:
				r.Flags = tcprt.AbortedAnswer | tcprt.Closed
			case 3:
				r.Role = tcprt.Client
			}
		}))
	}
	for line := range strings.Lines(string(b)) {
		if re := byFlag[line[3]]; re == nil || !re.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("%q", line)
		}
	}
	cmd := exec.Command(testkit.NeedTool(t, "awk"), fields)
	cmd.Stdin = strings.NewReader(string(b))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestStats(t *testing.T) {
	s := NewStats(0, time.Second)
	var b []byte
	b = s.Append(b, record(nil))
	b = s.Append(b, record(func(r *tcprt.Record) { r.Flags, r.Retransmits = tcprt.AbortedRequest, 0 }))
	b = s.Append(b, record(func(r *tcprt.Record) {
		r.Flags, r.Retransmits, r.Remote, r.Local = tcprt.OneWay, 0, netip.MustParseAddrPort("10.0.0.9:1"), netip.AddrPortFrom(r.Local.Addr(), 25)
	}))
	b = s.Append(b, record(func(r *tcprt.Record) { r.Role, r.Remote = tcprt.Client, netip.MustParseAddrPort("10.0.0.9:443") }))
	if len(b) != 0 {
		t.Errorf("the period is not over: %q", b)
	}
	b = s.Append(b, record(func(r *tcprt.Record) { r.End = 2500 * ms }))
	const want = "2 all 80 70000 20000 200 3000 500 5000 10000 100 2\n2 all 25 0 0 0 3000 0 5000 0 100 1\n2 all P443 70000 20000 333 3000 0 5000 10000 100 1\n"
	if string(b) != want {
		t.Errorf("%q, want %q", b, want)
	}
	if last := string(s.Flush(nil)); !strings.HasPrefix(last, "3 all 80 ") {
		t.Errorf("%q", last)
	}
}
