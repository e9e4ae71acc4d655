package l7

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// tape is a server's connection that keeps the turns on it.
type tape struct {
	net.Conn
	mu    sync.Mutex // guards turns
	turns []turn
}

type turn struct{ request, answer []byte }

func (c *tape) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.turns) - 1; n > 0 && (last < 0 || len(c.turns[last].answer) > 0) {
		c.turns = append(c.turns, turn{})
	}
	if n > 0 {
		last := &c.turns[len(c.turns)-1]
		last.request = append(last.request, b[:n]...)
	}
	return n, err
}

func (c *tape) Write(b []byte) (int, error) {
	c.mu.Lock()
	if len(c.turns) > 0 {
		last := &c.turns[len(c.turns)-1]
		last.answer = append(last.answer, b...)
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tape) played() []turn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.turns)
}

// recorder is a listener whose connections are on tape.
type recorder struct {
	net.Listener
	tapes chan *tape
}

func (l recorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := &tape{Conn: c}
	l.tapes <- t
	return t, nil
}

func record(t *testing.T) recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return recorder{l, make(chan *tape, 8)}
}

// Of the turns of a real TLS connection, those that are not told to be of the
// handshake are as many as the requests.
func TestTurnsOfTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l := record(t)
		server := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate(t)}, MinVersion: version, MaxVersion: version})
		go echo(server)
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		const requests = 5
		for range requests {
			if _, err := c.Write([]byte("how long is a request that is this long?")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 40)); err != nil {
				t.Fatal(err)
			}
		}
		turns := (<-l.tapes).played()
		_ = c.Close()
		data := 0
		for i, turn := range turns {
			h, f := Parse(nil, 0, turn.request, turn.answer)
			if h.Protocol != "tls" || f&tcprt.TLS == 0 {
				t.Errorf("turn %d is %+v %v", i, h, f)
			}
			if want := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[version]; i == 0 && (h.Method != "ClientHello" || h.Status != want) {
				t.Errorf("it begins with %+v", h)
			}
			if f&tcprt.Handshake == 0 {
				data++
			}
		}
		if data != requests {
			t.Errorf("%d requests in %d turns, want %d", data, len(turns), requests)
		}
	}
}

func echo(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.Copy(c, c)
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// Go's own client and server, over both versions of HTTP without TLS.
func TestTurnsOfHTTP(t *testing.T) {
	for _, want := range []Protocol{HTTP, HTTP2} {
		var speak http.Protocols
		speak.SetHTTP1(want == HTTP)
		speak.SetUnencryptedHTTP2(want == HTTP2)
		l := record(t)
		server := &http.Server{Protocols: &speak, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })}
		go func() { _ = server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{Protocols: &speak}}
		for range 3 {
			req, err := http.NewRequest(http.MethodPut, "http://"+l.Addr().String()+"/things/4711?a=b", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("traceparent", traceID)
			answer, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
		}
		turns := (<-l.tapes).played()
		_ = server.Close()
		requests := 0
		for i, turn := range turns {
			// Both sides of HTTP/2 speak when they like: a turn may begin within a frame.
			if p := Detect(turn.request, turn.answer); p != want && (want == HTTP || i == 0 || p != Unknown) {
				t.Errorf("turn %d is %v, want %v: %q %q", i, p, want, turn.request, turn.answer)
			}
			requests += Count(want, turn.request)
			if h, _ := Parse(nil, 0, turn.request, turn.answer); want == HTTP && h != (tcprt.Hint{Protocol: "http", Method: "PUT", Route: "/things/{id}", Status: "418", Traceparent: traceID}) {
				t.Errorf("%+v of %q", h, turn.request)
			}
		}
		if requests > 3 || want == HTTP && requests < 3 || requests == 0 {
			t.Errorf("%d requests of %v in %d turns, want 3", requests, want, len(turns))
		}
	}
}
