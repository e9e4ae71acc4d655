package tcprt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/sys"
)

// Data that go by the kernel's own ways are counted as those that programs write and
// read.
func TestKernelSendfileAndSplice(t *testing.T) {
	const size = 5 << 20
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	eachTier(t, func(t *testing.T, tier Tier) {
		s := stage(t, tier)
		client, server := s.connect()
		for range 3 {
			send(t, client, 9)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			control(t, server, func(fd int) error { // takes the request up by splice
				_, err := unix.Splice(fd, nil, int(w.Fd()), nil, 9, 0)
				return err
			})
			_ = r.Close()
			_ = w.Close()
			time.Sleep(pause)
			done := make(chan error)
			go func() {
				raw, err := server.SyscallConn()
				if err != nil {
					done <- err
					return
				}
				var from int64
				done <- errors.Join(raw.Write(func(fd uintptr) bool {
					for err = nil; from < size && err == nil; {
						_, err = unix.Sendfile(int(fd), int(file.Fd()), &from, size)
					}
					return err != unix.EAGAIN
				}), err)
			}()
			read(t, client, size)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		_ = client.Close()
		_ = server.Close()
		for _, role := range []Role{Server, Client} {
			for _, r := range s.of(role, 3) {
				if !r.Complete() || r.RequestBytes != 9 || r.AnswerBytes != size || r.Phase(Processing) < pause {
					t.Errorf("%s: %+v", role, r)
				}
				if tier == Full && role == Server && (r.Read == 0 || r.PID != uint32(os.Getpid())) {
					t.Errorf("a splice is a read: %+v", r)
				}
			}
		}
	})
}

// Two sockets that listen on one port are one service, and lose nothing.
func TestKernelReusePort(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		var lc net.ListenConfig
		lc.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }); e != nil {
				return e
			}
			return err
		}
		addr, took := "127.0.0.1:0", [3]int{}
		tell := make(chan int, 100)
		for i := range took {
			l, err := lc.Listen(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			addr = l.Addr().String()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					tell <- i
					go echo(c.(*net.TCPConn))
				}
			}()
		}
		port := netip.MustParseAddrPort(addr)
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		const clients = 60
		for range clients {
			c := dial(t, port)
			ask(t, c, 10)
			_ = c.Close()
			took[<-tell]++
		}
		if took[0] == 0 || took[1] == 0 || took[2] == 0 {
			t.Fatalf("the listeners took %v: this tests nothing", took)
		}
		for _, role := range []Role{Server, Client} {
			k.of(role, clients)
			if got := k.services()[role]; got.Requests != clients || got.Opened != clients {
				t.Errorf("%s: %+v", role, got)
			}
		}
	})
}

// A connection that is handed to another process is that one's from its first read
// on.
func TestKernelSocketPassed(t *testing.T) {
	if os.Getenv("TCPRT_TEST_HEIR") != "" {
		heir()
		return
	}
	s := stage(t, Full)
	client, server := s.connect()
	turn := func() {
		t.Helper()
		send(t, client, 4)
		read(t, client, 6)
	}
	go func() {
		_, _ = io.ReadFull(server, make([]byte, 4))
		_, _ = server.Write(make([]byte, 6))
	}()
	turn()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "")
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKernelSocketPassed$")
	cmd.Env = append(os.Environ(), "TCPRT_TEST_HEIR=1")
	cmd.ExtraFiles = []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	_ = theirs.Close()
	control(t, server, func(fd int) error { return unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0) })
	_ = server.Close()
	turn()
	turn()
	_ = client.Close()
	for i, r := range s.of(Server, 3) {
		want := os.Getpid()
		if i > 0 {
			want = cmd.Process.Pid
		}
		if r.PID != uint32(want) || !r.Complete() || r.RequestBytes != 4 || r.AnswerBytes != 6 {
			t.Errorf("request %d is of process %d, want %d: %+v", i, r.PID, want, r)
		}
	}
}

// heir serves a connection that it is given.
func heir() {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(3, make([]byte, 1), oob, 0)
	if err != nil {
		os.Exit(1)
	}
	m, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		os.Exit(1)
	}
	fds, err := unix.ParseUnixRights(&m[0])
	if err != nil {
		os.Exit(1)
	}
	c, err := net.FileConn(os.NewFile(uintptr(fds[0]), ""))
	if err != nil {
		os.Exit(1)
	}
	for {
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			os.Exit(0)
		}
		_, _ = c.Write(make([]byte, 6))
	}
}

// A server that is started anew on its port is the service that it was.
func TestKernelListenerRestarted(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).AddrPort()
		_ = l.Close()
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		const starts = 5
		for range starts {
			l, err := net.Listen("tcp", port.String())
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				c, err := l.Accept()
				if err == nil {
					echo(c.(*net.TCPConn))
				}
			}()
			c := dial(t, port)
			ask(t, c, 10)
			_ = c.Close()
			_ = l.Close()
		}
		k.of(Server, starts)
		n := 0
		if err := k.Services(func(s Service, c *Totals, _ Owner) {
			if s.Role == Server {
				n++
				if c.Requests != starts || c.Opened != starts {
					t.Errorf("%+v", c)
				}
			}
		}); err != nil || n != 1 {
			t.Errorf("%d services, %v; want 1", n, err)
		}
	})
}

// One address after another, and one socket for two connections: each begins anew.
func TestKernelPortAndSocketUsedAgain(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		s := stage(t, tier)
		turn := func(client, server io.ReadWriter) {
			t.Helper()
			_, _ = client.Write(make([]byte, 3))
			_, _ = io.ReadFull(server, make([]byte, 3))
			_, _ = server.Write(make([]byte, 5))
			_, _ = io.ReadFull(client, make([]byte, 5))
		}
		// Bound from the beginning: what connect chooses may be in TIME_WAIT to another
		// server, and bind refuses that.
		var from net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
		for range 3 {
			d := net.Dialer{LocalAddr: from}
			client, err := d.Dial("tcp", s.port.String())
			if err != nil {
				t.Fatal(err)
			}
			server := <-s.server
			from = client.LocalAddr()
			turn(client, server)
			turn(client, server)
			reset(client.(*net.TCPConn))
			_ = server.Close()
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		file := os.NewFile(uintptr(fd), "")
		defer file.Close()
		for range 3 {
			if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(s.port.Port()), Addr: s.port.Addr().As4()}); err != nil {
				t.Fatal(err)
			}
			server := <-s.server
			turn(file, server)
			turn(file, server)
			if err := sys.Disconnect(fd); err != nil {
				t.Fatal(err)
			}
			_ = server.Close()
		}
		for _, role := range []Role{Server, Client} {
			for i, r := range s.of(role, 12) {
				if r.Number != uint32(i%2) || !r.Complete() || r.RequestBytes != 3 || r.AnswerBytes != 5 || (r.Flags&Closed != 0) != (i%2 == 1) {
					t.Errorf("%s %d: %+v", role, i, r)
				}
			}
		}
	})
}

// Where one of the two sides would speak MPTCP, and the other does not, or both do,
// each request is told once.
func TestKernelMPTCP(t *testing.T) {
	for _, c := range []struct{ client, server bool }{{false, true}, {true, false}, {true, true}} {
		t.Run(fmt.Sprintf("client %v, server %v", c.client, c.server), func(t *testing.T) {
			var lc net.ListenConfig
			lc.SetMultipathTCP(c.server)
			l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go accept(l, echo)
			port := l.Addr().(*net.TCPAddr).AddrPort()
			k := collect(t, Options{Ports: []uint16{port.Port()}})
			var d net.Dialer
			d.SetMultipathTCP(c.client)
			client, err := d.Dial("tcp", port.String())
			if err != nil {
				t.Fatal(err)
			}
			const turns = 20
			for i := range turns {
				ask(t, client, 10+i)
			}
			_ = client.Close()
			for _, role := range []Role{Server, Client} {
				for i, r := range k.of(role, turns) {
					if !r.Complete() || r.Number != uint32(i) || r.RequestBytes != 3 || r.AnswerBytes != uint32(11+i) {
						t.Errorf("%s: %+v", role, r)
					}
				}
			}
		})
	}
}
