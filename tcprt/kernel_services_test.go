package tcprt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/testkit"
)

// echo answers each line with one of the length that the line says.
func echo(c *net.TCPConn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var n int
		_, _ = fmt.Sscan(line, &n)
		if _, err := c.Write(append(bytes.Repeat([]byte("x"), n), '\n')); err != nil {
			return
		}
	}
}

// ask sends a line for an answer of n bytes and reads it.
func ask(t *testing.T, c net.Conn, n int) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "%d\n", n); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, n+1)); err != nil {
		t.Fatal(err)
	}
}

// services gives what the kernel counted, by role.
func (k *kit) services() map[Role]Totals {
	k.Helper()
	out := map[Role]Totals{}
	if err := k.Services(func(s Service, t *Totals, _ Owner) { sum := out[s.Role]; sum.Merge(t); out[s.Role] = sum }); err != nil {
		k.Fatal(err)
	}
	return out
}

// The kernel's counts are those of the records, to the last bucket.
func TestKernelCountsAsRecordsDo(t *testing.T) {
	port := listen(t, "127.0.0.1:0", echo)
	k := collect(t, Options{Ports: []uint16{port.Port()}})
	const connections, turns = 20, 50
	for i := range connections {
		c := dial(t, port)
		for j := range turns {
			ask(t, c, i*j*37)
			if j%10 == 0 {
				time.Sleep(time.Duration(i) * time.Millisecond / 4)
			}
		}
		if i%5 == 0 {
			_, _ = c.Write([]byte("not a whole line"))
			_ = c.SetLinger(0)
			time.Sleep(time.Millisecond)
		}
		_ = c.Close()
	}
	const all = connections*turns + connections/5
	for _, role := range []Role{Server, Client} {
		var want Totals
		for _, r := range k.of(role, all) {
			want.Add(&r)
		}
		got := k.services()[role]
		if got.Opened != connections || got.Closed != connections {
			t.Errorf("%s: %d connections opened, %d closed, want %d", role, got.Opened, got.Closed, connections)
		}
		want.Opened, want.Closed = got.Opened, got.Closed
		if got.AbortedRequests != connections/5 {
			t.Errorf("%s: %d aborted requests, want %d", role, got.AbortedRequests, connections/5)
		}
		for p := range got.Phases {
			if got.Phases[p] != want.Phases[p] {
				t.Errorf("%s, %v:\n%v\n%v", role, Phase(p), got.Phases[p], want.Phases[p])
			}
		}
		if got != want {
			got.Phases, want.Phases = [Phases + 1]Histogram{}, [Phases + 1]Histogram{}
			t.Errorf("%s:\n%+v\n%+v", role, got, want)
		}
	}
}

// There are records of what was asked for; all is counted.
func TestKernelEmitsWhatIsWanted(t *testing.T) {
	pause := make(chan time.Duration, 1)
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		for {
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				return
			}
			select {
			case d := <-pause:
				time.Sleep(d)
			default:
			}
			_, _ = c.Write([]byte("y"))
		}
	})
	k := collect(t, Options{Ports: []uint16{port.Port()}, Roles: []Role{Server}, Emit: EmitNone})
	c := dial(t, port)
	total := 0
	turns := func(n int) {
		for range n {
			_, _ = c.Write([]byte("x"))
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		total += n
	}
	emit := func(e Emit, sample uint32) {
		t.Helper()
		turns(1) // ends what was under way
		if err := k.SetEmit(e, sample); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		k.drain()
		k.seen = nil
	}
	turns(10)
	k.of(Server, 0)
	emit(EmitSample, 8)
	turns(64)
	k.of(Server, 8)
	emit(EmitSlow, 0)
	turns(10)
	k.of(Server, 0) // no limit, no slow ones
	k.services()
	if err := k.SetLimit(Service{Role: Server, Port: port.Port(), NetNS: k.netns(), Cgroup: k.cgroup()}, 40*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	turns(10)
	pause <- 60 * time.Millisecond
	turns(2)
	if slow := k.of(Server, 1)[0]; slow.Total() < 60*time.Millisecond {
		t.Errorf("%+v", slow)
	}
	emit(EmitFailed, 0)
	turns(10)
	pause <- 300 * time.Millisecond
	_, _ = c.Write([]byte("x"))
	time.Sleep(20 * time.Millisecond)
	_ = c.SetLinger(0)
	_ = c.Close()
	if failed := k.of(Server, 1)[0]; !failed.Failed() {
		t.Errorf("%+v", failed)
	}
	if got := k.services()[Server]; got.Requests != uint64(total)+1 {
		t.Errorf("%d requests were counted, want %d", got.Requests, total+1)
	}
	for _, e := range []func() error{func() error { return k.SetEmit(EmitSample, 3) }, func() error { return k.SetSkip(0) }} {
		if e() == nil {
			t.Error("what is no power of two was taken")
		}
	}
}

// netns and cgroup are those of the only service there is.
func (k *kit) netns() (ns uint32) {
	_ = k.Services(func(s Service, _ *Totals, _ Owner) { ns = s.NetNS })
	return ns
}

func (k *kit) cgroup() (id uint64) {
	_ = k.Services(func(s Service, _ *Totals, _ Owner) { id = s.Cgroup })
	return id
}

// A request whose connection is silent after it is told of, once.
func TestKernelSettle(t *testing.T) {
	port := listen(t, "127.0.0.1:0", echo)
	k := collect(t, Options{Ports: []uint16{port.Port()}})
	c, other := dial(t, port), dial(t, port)
	ask(t, c, 3000)
	ask(t, other, 1)
	time.Sleep(150 * time.Millisecond) // the acknowledgement may be delayed
	var told []Record
	settle := func(d time.Duration) []Record {
		t.Helper()
		told = told[:0]
		if err := k.Settle(d, func(r *Record) { told = append(told, *r) }); err != nil {
			t.Fatal(err)
		}
		return told
	}
	if got := settle(time.Hour); len(got) != 0 {
		t.Errorf("nothing is so old: %+v", got)
	}
	first := settle(10 * time.Millisecond)
	if len(first) != 4 {
		t.Fatalf("%d are told of, want 2 of each side: %+v", len(first), first)
	}
	bytes := 0
	for _, r := range first {
		bytes += int(r.AnswerBytes)
		if !r.Complete() || r.Number != 0 || r.T3 == 0 || r.End < r.T3 || r.Total() <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if bytes != 2*(3001+2) {
		t.Errorf("%d bytes", bytes)
	}
	if again := settle(10 * time.Millisecond); len(again) != 0 {
		t.Errorf("told twice: %+v", again)
	}
	ask(t, c, 5)
	_, _ = c.Close(), other.Close()
	for _, role := range []Role{Server, Client} {
		if r := k.of(role, 1)[0]; r.Number != 1 || r.AnswerBytes != 6 {
			t.Errorf("%+v", r)
		}
	}
}

// However many fell silent, and with their heads or without, each is told of once: the
// kernel hands them over in pieces.
func TestKernelSettleMany(t *testing.T) {
	for _, hints := range []func(*Record, []byte, []byte){nil, heads} {
		port := listen(t, "127.0.0.1:0", echo)
		k := collect(t, Options{Ports: []uint16{port.Port()}, Hints: hints})
		const connections = 700
		for range connections {
			ask(t, dial(t, port), 10)
		}
		time.Sleep(300 * time.Millisecond) // the acknowledgement may be delayed
		told := map[Role]int{}
		asked := 0
		if err := k.Settle(10*time.Millisecond, func(r *Record) {
			told[r.Role]++
			if r.Hint.Route == "10\n" {
				asked++
			}
		}); err != nil {
			t.Fatal(err)
		}
		if told[Server] != connections || told[Client] != connections || hints != nil && asked != 2*connections {
			t.Errorf("of %d connections %v were told, %d with what they asked", connections, told, asked)
		}
	}
}

// Connections outside of what was chosen leave no trace.
func TestKernelFilters(t *testing.T) {
	port := listen(t, "127.0.0.1:0", echo)
	port6 := listen(t, "[::1]:0", echo)
	use := func(p netip.AddrPort) {
		c := dial(t, p)
		ask(t, c, 1)
		_ = c.Close()
	}
	var ns uint32
	{
		k := collect(t, Options{Ports: []uint16{port.Port()}})
		use(port)
		k.of(Server, 1)
		ns = k.seen[0].NetNS
		if own, ok := netnsOf("/proc/self"); !ok || own != ns {
			t.Errorf("network namespace %d, want %d", ns, own)
		}
	}
	nets := func(s ...string) (out []netip.Prefix) {
		for _, n := range s {
			out = append(out, netip.MustParsePrefix(n))
		}
		return out
	}
	both := []uint16{port.Port(), port6.Port()}
	for name, c := range map[string]struct {
		o    Options
		want int
	}{
		"its network":           {Options{Networks: nets("127.0.0.0/8")}, 1},
		"its network of IPv6":   {Options{Networks: nets("::1/128")}, 1},
		"both":                  {Options{Networks: nets("::1/128", "127.0.0.1/32")}, 2},
		"another network":       {Options{Networks: nets("10.0.0.0/8", "2001:db8::/32")}, 0},
		"its namespace":         {Options{NetNS: []uint32{ns}}, 2},
		"another namespace":     {Options{NetNS: []uint32{ns + 1}}, 0},
		"another cgroup":        {Options{Cgroups: []uint64{1 << 60}}, 0},
		"namespace and network": {Options{NetNS: []uint32{ns}, Networks: nets("127.0.0.0/8")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Ports, c.o.Roles = both, []Role{Server}
			k := collect(t, c.o)
			use(port)
			use(port6)
			k.of(Server, c.want)
		})
	}
	if _, err := Open(Options{Networks: []netip.Prefix{{}}}); err == nil {
		t.Error("no network was taken for one")
	}
}

// nstat reads a counter of /proc/net/snmp in a namespace.
func nstat(t *testing.T, s *lab.Space, name string) (n uint64) {
	t.Helper()
	err := s.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/snmp")
		if err != nil {
			return err
		}
		var heads []string
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if f[0] != "Tcp:" {
				continue
			}
			if heads == nil {
				heads = f
				continue
			}
			for i, h := range heads {
				if h == name {
					_, err = fmt.Sscan(f[i], &n)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// On a path that loses packets, the segments sent again that the records have are
// those that the kernel counted, to the last one.
func TestKernelRetransmitsAreExact(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := lab.Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for space, name := range map[*lab.Space]string{l.Node: lab.Uplink, l.World: lab.Remote} {
		testkit.Need(t, space.Lose(name, 0.1))
	}
	k := collect(t, Options{Ports: []uint16{7777}})
	var server net.Listener
	if err := l.World.Do(func() (err error) { server, err = net.Listen("tcp", lab.WorldAddr+":7777"); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	done := make(chan error)
	go accept(server, echo)
	const connections, turns = 30, 40
	var asked []int
	for i := range connections {
		for j := range turns {
			asked = append(asked, len(fmt.Sprintln(1000*(1+(i+j)%40))))
		}
		go func() {
			var c net.Conn
			err := l.Node.Do(func() (err error) { c, err = net.Dial("tcp", lab.WorldAddr+":7777"); return err })
			for j := 0; j < turns && err == nil; j++ {
				n := 1000 * (1 + (i+j)%40)
				if _, err = fmt.Fprintf(c, "%d\n", n); err == nil {
					_, err = io.ReadFull(c, make([]byte, n+1))
				}
			}
			if c != nil {
				_ = c.Close()
			}
			done <- err
		}()
	}
	for range connections {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	var records uint64
	for _, role := range []Role{Server, Client} {
		for _, r := range k.asking(role, asked) {
			records += uint64(r.Retransmits)
		}
	}
	// The last FINs are sent again until they are acknowledged.
	var got, want uint64
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		s, err := k.Stats()
		if err != nil {
			t.Fatal(err)
		}
		totals := k.services()
		if got = s.SYNACKs + s.Strays + totals[Server].Retransmits + totals[Client].Retransmits; time.Now().After(end) ||
			totals[Server].Closed == connections && totals[Client].Closed == connections {
			break
		}
	}
	want = nstat(t, l.Node, "RetransSegs") + nstat(t, l.World, "RetransSegs")
	if got != want || want < 40 || records < want*8/10 {
		t.Errorf("%d segments sent again, of which %d in records; the kernel counted %d", got, records, want)
	}
	t.Logf("%d segments sent again, %d of them in records", want, records)
}
