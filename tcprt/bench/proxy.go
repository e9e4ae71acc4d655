package bench

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// proxy stands between clients and a server and counts the turns of their
// connections: each time that a client's data come after the server's, or first.
type proxy struct {
	l     net.Listener
	to    string
	turns atomic.Int64
	open  sync.WaitGroup
}

func newProxy(to uint16) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &proxy{l: l, to: fmt.Sprintf("127.0.0.1:%d", to)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.open.Go(func() { p.carry(c.(*net.TCPConn)) })
		}
	}()
	return p, nil
}

func (p *proxy) port() uint16 { return uint16(p.l.Addr().(*net.TCPAddr).Port) }

// count waits until all connections are over and gives the turns.
func (p *proxy) count() int {
	_ = p.l.Close()
	p.open.Wait()
	return int(p.turns.Load())
}

func (p *proxy) carry(client *net.TCPConn) {
	defer client.Close()
	c, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer c.Close()
	server := c.(*net.TCPConn)
	var asked atomic.Bool // the last data were the client's
	pass := func(to, from *net.TCPConn, note func()) {
		b := make([]byte, 64<<10)
		for {
			n, err := from.Read(b)
			if n > 0 {
				note()
				if _, err := to.Write(b[:n]); err != nil {
					break
				}
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					_ = to.SetLinger(0)
					_ = to.Close()
				}
				break
			}
		}
		_ = to.CloseWrite()
	}
	var back sync.WaitGroup
	back.Go(func() { pass(client, server, func() { asked.Store(false) }) })
	pass(server, client, func() {
		if !asked.Swap(true) {
			p.turns.Add(1)
		}
	})
	back.Wait()
}
