package sourcetest

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"
)

// Proxy is a unix socket that leads to another, and can be cut.
type Proxy struct {
	Path string

	t  testing.TB
	to string

	mu    sync.Mutex
	l     net.Listener
	conns map[net.Conn]bool
}

// NewProxy listens at path and leads to the socket to. It ends with the test.
func NewProxy(t testing.TB, path, to string) *Proxy {
	t.Helper()
	p := &Proxy{Path: path, t: t, to: to, conns: map[net.Conn]bool{}}
	p.listen()
	t.Cleanup(func() { p.close() })
	return p
}

func (p *Proxy) listen() {
	p.t.Helper()
	l, err := net.Listen("unix", p.Path)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(c)
		}
	}()
}

func (p *Proxy) serve(c net.Conn) {
	out, err := net.Dial("unix", p.to)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	p.conns[c], p.conns[out] = true, true
	p.mu.Unlock()
	go func() { _, _ = io.Copy(out, c); p.drop(c, out) }()
	_, _ = io.Copy(c, out)
	p.drop(c, out)
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

// Cut closes all connections and takes no new ones until heal is called.
func (p *Proxy) Cut() (heal func()) {
	p.close()
	return func() {
		_ = os.Remove(p.Path)
		p.listen()
	}
}

// CutOnce closes all connections; new ones are taken.
func (p *Proxy) CutOnce() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	_ = p.l.Close()
	p.mu.Unlock()
	p.CutOnce()
}
