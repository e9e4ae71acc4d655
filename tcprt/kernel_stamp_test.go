package tcprt

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/testkit"
)

// Where packets wait for a slow interface, the time in its queue is told apart from
// the path's.
func TestKernelTxStamp(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := lab.Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	index, err := l.World.Index(lab.Remote)
	if err != nil {
		t.Fatal(err)
	}
	const rate = 500_000 // bytes a second
	testkit.Need(t, l.World.Netlink().QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: 1 << 20, Buffer: netlink.Xmittime(rate, 2000),
	}))
	k := collect(t, Options{Ports: []uint16{7778}, Roles: []Role{Server}, Tier: TxStamp})
	if k.Tier() != TxStamp {
		t.Fatal(k.Tier())
	}
	var server net.Listener
	if err := l.World.Do(func() (err error) { server, err = net.Listen("tcp", lab.WorldAddr+":7778"); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go pieces(c.(*net.TCPConn))
		}
	}()
	var c net.Conn
	if err := l.Node.Do(func() (err error) { c, err = net.Dial("tcp", lab.WorldAddr+":7778"); return err }); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 8, 1} {
		if _, err := c.Write([]byte{byte(n)}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, n*piece)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
	}
	_ = c.Close()
	seen := k.of(Server, 3)
	for _, r := range seen {
		t.Logf("%d bytes: queued %v, send %v, deliver %v, total %v", r.AnswerBytes, r.Queued, r.Phase(Send), r.Phase(Delivery), r.Total())
	}
	// 8 kB take 16 ms on the wire, and most of them wait for it.
	if big := seen[1]; big.Queued < 5*time.Millisecond || big.Queued > big.Total() {
		t.Errorf("an answer on a slow wire: %+v", big)
	}
	if small := seen[2]; small.Queued == 0 || small.Queued > seen[1].Queued {
		t.Errorf("a small answer on a quiet wire: %+v", small)
	}
}

const piece = 1000

// pieces answers each byte with so many pieces.
func pieces(c *net.TCPConn) {
	defer c.Close()
	ask := make([]byte, 1)
	for {
		if _, err := io.ReadFull(c, ask); err != nil {
			return
		}
		for range ask[0] {
			if _, err := c.Write(make([]byte, piece)); err != nil {
				return
			}
		}
	}
}
