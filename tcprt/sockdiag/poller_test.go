package sockdiag

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
)

// What connections moved is added up, in both roles; what they had moved before the
// first look is not, and a connection that is over is closed.
func TestKernelPoller(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	p := New(Options{Ports: []uint16{port}})
	defer p.Close()
	turn := func(c net.Conn, n int) {
		t.Helper()
		go func() { _, _ = c.Write(make([]byte, n)) }()
		if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := dial()
	defer old.Close()
	turn(old, 1000)
	look := func() map[tcprt.Role]tcprt.Totals {
		t.Helper()
		out := map[tcprt.Role]tcprt.Totals{}
		err := p.Services(func(s tcprt.Service, tot *tcprt.Totals, _ tcprt.Owner) {
			if s.Port == port {
				out[s.Role] = *tot
			}
		})
		testkit.Need(t, err)
		return out
	}
	time.Sleep(100 * time.Millisecond) // the last acknowledgement may be delayed
	look()
	turn(old, 5000)
	fresh := dial()
	turn(fresh, 300)
	time.Sleep(100 * time.Millisecond)
	for role, got := range look() {
		if got.RequestBytes != 5300 || got.AnswerBytes != 5300 || got.Opened != 2 || got.Closed != 0 || got.RTT.Count() == 0 || got.Requests != 0 {
			got.Phases = [tcprt.Phases + 1]tcprt.Histogram{}
			t.Errorf("%v: %+v", role, got)
		}
	}
	_ = fresh.Close()
	var got map[tcprt.Role]tcprt.Totals
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = look(); got[tcprt.Server].Closed == 1 && got[tcprt.Client].Closed == 1 {
			return
		}
	}
	t.Errorf("of two connections one is over: server %d, client %d", got[tcprt.Server].Closed, got[tcprt.Client].Closed)
}
