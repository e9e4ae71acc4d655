package tcprt

import (
	"net"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/testkit"
)

// Connections are listed alike by each way that the kernel has: those of every network
// namespace, one that no program has accepted yet too.
func TestKernelLister(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := lab.Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	const addr = lab.WorldAddr + ":7791"
	home, _ := netnsOf("/proc/self")
	defer func() {
		if now, ok := netnsOf("/proc/self"); !ok || now != home {
			t.Errorf("the process is in the network namespace %d, and was in %d", now, home)
		}
	}()
	for _, way := range []string{"", bySocket} {
		k := collect(t, Options{Ports: []uint16{7791}, lister: way})
		t.Logf("listed by the program %s", k.lister.program)
		var server net.Listener
		if err := l.World.Do(func() (err error) { server, err = net.Listen("tcp", addr); return err }); err != nil {
			t.Fatal(err)
		}
		var clients, served []net.Conn
		for range 3 {
			if err := l.Node.Do(func() error {
				c, err := net.Dial("tcp", addr)
				clients = append(clients, c)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the third waits
			c, err := server.Accept()
			if err != nil {
				t.Fatal(err)
			}
			served = append(served, c)
		}
		for i, c := range clients {
			send(t, c, 10+i)
		}
		time.Sleep(50 * time.Millisecond)
		k.asked(10, 11, 12)

		read(t, served[0], 10)
		send(t, served[0], 5)
		read(t, clients[0], 5)
		time.Sleep(100 * time.Millisecond)
		k.asked(11, 12)
		for _, want := range []int{2, 0} { // once
			told := 0
			if err := k.Settle(10*time.Millisecond, func(r *Record) {
				told++
				if r.RequestBytes != 10 || r.AnswerBytes != 5 {
					t.Errorf("%+v", r)
				}
			}); err != nil || told != want {
				t.Errorf("%d requests are over, want %d: %v", told, want, err)
			}
		}
		for _, c := range append(clients, served...) {
			_ = c.Close()
		}
		_ = server.Close()
		for range 50 { // by whichever thread
			if p := k.pending(); len(p) != 0 {
				t.Fatalf("all is over: %+v", p)
			}
		}
		_ = k.Close()
	}
}

// asked wants requests of these sizes to be under way, on both sides.
func (k *kit) asked(sizes ...uint64) {
	k.Helper()
	for role, pending := range k.pending() {
		left := map[uint64]bool{}
		for _, n := range sizes {
			left[n] = true
		}
		for _, p := range pending {
			if !left[uint64(p.RequestBytes)] {
				k.Errorf("%s: not asked for, or told of already: %+v", role, p)
			}
			delete(left, uint64(p.RequestBytes))
		}
		if len(left) > 0 {
			k.Errorf("%s: not listed: %v", role, left)
		}
	}
	if n := len(k.pending()); n != 2 {
		k.Errorf("requests of %d sides", n)
	}
}
