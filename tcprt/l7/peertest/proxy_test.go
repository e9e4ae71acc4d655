package peertest

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/l7"
)

// told is what was told of a turn.
type told struct {
	tcprt.Hint
	flags tcprt.Flags
	count int
	first string // what was asked, for messages
}

// proxy stands between clients and a server and cuts what passes into turns.
type proxy struct {
	t      *testing.T
	port   uint16
	server string
	hint   uint16 // the port that the parser is told
	level  l7.Level

	wait sync.WaitGroup
	mu   sync.Mutex // guards all
	all  []told
}

// between listens before a server until the test ends.
func between(t *testing.T, server string, hint uint16, level l7.Level) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := &proxy{t: t, port: uint16(l.Addr().(*net.TCPAddr).Port), server: server, hint: hint, level: level}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wait.Go(func() { p.pass(c) })
		}
	}()
	return p
}

// turns gives what was told since the last call, once all connections are closed.
func (p *proxy) turns() []told {
	p.wait.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all
	p.all = nil
	return all
}

func (p *proxy) pass(client net.Conn) {
	defer client.Close()
	network := "tcp"
	if strings.HasPrefix(p.server, "/") {
		network = "unix"
	}
	server, err := net.Dial(network, p.server)
	if err != nil {
		p.t.Error(err)
		return
	}
	defer server.Close()
	var mu sync.Mutex // guards request and answer
	var request, answer []byte
	flush := func() {
		if len(request) > 0 {
			p.take(request, answer)
		}
		request, answer = nil, nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		each(server, client, func(b []byte) {
			mu.Lock()
			defer mu.Unlock()
			answer = append(answer, b...)
		})
	}()
	each(client, server, func(b []byte) {
		mu.Lock()
		defer mu.Unlock()
		if len(answer) > 0 {
			flush()
		}
		request = append(request, b...)
	})
	_ = server.(interface{ CloseWrite() error }).CloseWrite()
	<-ended
	flush()
}

// each copies and shows.
func each(from io.Reader, to io.Writer, show func([]byte)) {
	b := make([]byte, 1<<16)
	for {
		n, err := from.Read(b)
		if n > 0 {
			show(b[:n])
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) take(request, answer []byte) {
	o := &l7.Options{Level: p.level}
	h, f := l7.Parse(o, p.hint, request, answer)
	x := told{Hint: h, flags: f, first: fmt.Sprintf("%.80q %.40q", request, answer)}
	for id := l7.Unknown; id <= l7.HTTP2; id++ {
		if id.String() == h.Protocol {
			x.count = l7.Count(id, request)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, x)
}

// tally counts the turns by method and status, and fails for those of another
// protocol.
func tally(t *testing.T, all []told, protocol string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, x := range all {
		if x.Protocol != protocol {
			t.Errorf("%+v, want %s: %s", x.Hint, protocol, x.first)
		}
		counts[x.Method+" "+x.Status]++
	}
	return counts
}

func routes(all []told) (names []string) {
	for _, x := range all {
		if x.Route != "" && !slices.Contains(names, x.Route) {
			names = append(names, x.Route)
		}
	}
	return names
}

// serve runs a server until the test ends, and waits until it answers. Where uid is
// not 0, it runs as that user.
func serve(t *testing.T, network, address string, uid uint32, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said: %s", argv[0], out.String())
		}
	})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not answer: %v", argv[0], err)
		}
	}
}

func run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

// eventually runs a command until it succeeds.
func eventually(t *testing.T, argv ...string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); exec.Command(argv[0], argv[1:]...).Run() != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			run(t, argv...)
			return
		}
	}
}
