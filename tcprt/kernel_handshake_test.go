package tcprt

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// tuned is a listener with an option of TCP's.
func tuned(t *testing.T, option, value int, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value) }); e != nil {
			return e
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go accept(l, serve)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// answers5 answers each 3 bytes with 5, after a while.
func answers5(c *net.TCPConn) {
	defer c.Close()
	for {
		if _, err := io.ReadFull(c, make([]byte, 3)); err != nil {
			return
		}
		time.Sleep(pause)
		_, _ = c.Write(make([]byte, 5))
	}
}

// A request that comes with the segment that ends the handshake, which is the first
// that a server with TCP_DEFER_ACCEPT is waked for.
func TestKernelRequestWithHandshake(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		port := tuned(t, unix.TCP_DEFER_ACCEPT, 5, answers5)
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		c := dial(t, port)
		time.Sleep(pause)
		for range 3 {
			send(t, c, 3)
			read(t, c, 5)
		}
		_ = c.Close()
		for _, role := range []Role{Server, Client} {
			for i, r := range k.of(role, 3) {
				if !r.Complete() || r.RequestBytes != 3 || r.AnswerBytes != 5 || r.Phase(Processing) < pause || r.Total() > 3*pause {
					t.Errorf("%s %d: %v, %+v", role, i, r.Total(), r)
				}
			}
		}
	})
}

// fastOpen connects with data in the SYN. It waits for the other side: a signal of Go's
// runtime meanwhile would have the kernel begin the call again, and send the data twice.
func fastOpen(fd int, to netip.AddrPort, data []byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, was unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, &was); err != nil {
		return err
	}
	_, err := unix.SendmsgN(fd, data, nil, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}, unix.MSG_FASTOPEN)
	return errors.Join(err, unix.PthreadSigmask(unix.SIG_SETMASK, &was, nil))
}

// A request that comes with the SYN (TCP Fast Open).
func TestKernelFastOpen(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		const sysctl = "/proc/sys/net/ipv4/tcp_fastopen"
		was, err := os.ReadFile(sysctl)
		if err != nil {
			testkit.Need(t, &feature.UnsupportedError{Feature: "TCP Fast Open", Reason: feature.NoKernel, Need: "a kernel with it", Err: err})
		}
		if err := os.WriteFile(sysctl, []byte("3"), 0); err != nil {
			testkit.Need(t, &feature.UnsupportedError{Feature: "TCP Fast Open for servers", Reason: feature.NoPrivilege, Need: "a /proc/sys that can be written", Err: err})
		}
		t.Cleanup(func() { _ = os.WriteFile(sysctl, was, 0) })
		port := tuned(t, unix.TCP_FASTOPEN, 16, answers5)
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		const connections, turns = 4, 3
		inSYN := 0
		for range connections {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			file := os.NewFile(uintptr(fd), "")
			if err := fastOpen(fd, port, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			for i := range turns {
				if i > 0 {
					if _, err := file.Write(make([]byte, 3)); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := io.ReadFull(file, make([]byte, 5)); err != nil {
					t.Fatal(err)
				}
			}
			if i, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err == nil && i.Options&0x20 != 0 { // TCPI_OPT_SYN_DATA
				inSYN++
			}
			_ = file.Close()
		}
		if inSYN < connections-1 { // the first has to get its cookie
			t.Fatalf("%d requests came with a SYN: this tests nothing", inSYN)
		}
		for _, role := range []Role{Server, Client} {
			for i, r := range k.of(role, connections*turns) {
				if !r.Complete() || r.RequestBytes != 3 || r.AnswerBytes != 5 || r.Total() < pause || r.Total() > 3*pause || r.T2 < r.T0+pause {
					t.Errorf("%s %d: %v, %+v", role, i, r.Total(), r)
				}
			}
		}
	})
}
