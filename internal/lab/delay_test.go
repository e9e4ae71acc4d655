package lab

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
)

// A far path takes as long as it is told, each way, and no path loses what is not to
// be lost.
func TestFar(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	far, err := l.Far()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = far.Close() })
	var server net.Listener
	if err := l.World.Do(func() (err error) { server, err = net.Listen("tcp", FarWorld+":0"); return err }); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	var c net.Conn
	if err := l.Node.Do(func() (err error) { c, err = net.Dial("tcp", server.Addr().String()); return err }); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	turn := func() time.Duration {
		t.Helper()
		began := time.Now()
		if _, err := c.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	for range 5 {
		turn()
	}
	far.Set(40 * time.Millisecond)
	turn()
	if took := turn(); took < 80*time.Millisecond {
		t.Errorf("there and back took %v, want 80 ms and more", took)
	}
}

// Of packets that are lost by chance, about the share is that was asked for.
func TestLose(t *testing.T) {
	testkit.NeedRoot(t)
	l, err := Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	testkit.Need(t, l.Node.Lose(Uplink, 0))
	var in, out net.Conn
	if err := l.World.Do(func() (err error) {
		in, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(WorldAddr), Port: 7})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := l.Node.Do(func() (err error) { out, err = net.Dial("udp", WorldAddr+":7"); return err }); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// The neighbour is asked for before anything is lost: a lost question is asked again
	// only a second later.
	if _, err := out.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	_ = in.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := in.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	testkit.Need(t, l.Node.Lose(Uplink, 0.3))
	const sent = 2000
	got := make(chan int)
	go func() {
		n, b := 0, make([]byte, 100)
		for {
			_ = in.SetReadDeadline(time.Now().Add(3 * time.Second))
			if _, err := in.Read(b); err != nil {
				got <- n
				return
			}
			n++
		}
	}()
	for i := range sent {
		if _, err := out.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if n := <-got; n < sent*6/10 || n > sent*8/10 {
		t.Errorf("%d of %d came through, want about 70 %%", n, sent)
	}
}
