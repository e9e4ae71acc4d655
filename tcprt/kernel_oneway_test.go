package tcprt

import (
	"io"
	"net"
	"testing"
	"time"
)

// leave sends a last message and ends the connection at once, and says whether that
// was as quick as it is meant: a busy machine may come between.
func leave(t *testing.T, client *net.TCPConn, end func() error) bool {
	t.Helper()
	start := time.Now()
	send(t, client, 5)
	if err := end(); err != nil {
		t.Fatal(err)
	}
	return time.Since(start) < 5*time.Millisecond
}

// Messages that a client leaves with at once want no answer, and fail nobody, as MySQL's
// COM_QUIT and PostgreSQL's Terminate, and TLS's close_notify that the server answers
// with its own. A client that ends its half alone may wait, which its own side knows.
func TestKernelOneWay(t *testing.T) {
	eof := func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }
	answer := func(c *net.TCPConn) {
		if n, err := c.Write(make([]byte, 24)); n != 24 || err != nil {
			t.Error(n, err)
		}
	}
	for _, c := range []struct {
		name           string
		half           bool // the client ends its half alone
		answered       bool
		serve          func(c *net.TCPConn)
		server, client Flags // of the last message's end
	}{
		{"no answer", false, false, func(c *net.TCPConn) { eof(c) }, OneWay, OneWay},
		{"an answer that nobody takes", false, true, func(c *net.TCPConn) { eof(c); answer(c) }, OneWay, OneWay},
		{"not read", false, false, func(*net.TCPConn) { time.Sleep(pause) }, OneWay, OneWay},
		{"reset", false, false, func(c *net.TCPConn) { eof(c); reset(c) }, OneWay, OneWay},
		{"long about it", false, false, func(c *net.TCPConn) { eof(c); time.Sleep(1100 * time.Millisecond) }, AbortedRequest, OneWay},
		// These are waited for.
		{"half closed", true, false, func(c *net.TCPConn) { eof(c) }, OneWay, AbortedRequest},
		{"half closed, reset", true, false, func(c *net.TCPConn) { eof(c); reset(c) }, OneWay, AbortedRequest},
		{"half closed, long about it", true, false, func(c *net.TCPConn) { eof(c); time.Sleep(1100 * time.Millisecond) }, AbortedRequest, AbortedRequest},
		{"answered", true, true, func(c *net.TCPConn) { eof(c); answer(c) }, 0, 0},
		{"answered after a while", true, true, func(c *net.TCPConn) { eof(c); time.Sleep(pause); answer(c) }, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachTier(t, func(t *testing.T, tier Tier) {
				const tries = 20
				for try := range tries {
					s := stage(t, tier)
					client, server := s.connect()
					send(t, client, 4)
					read(t, server, 4)
					send(t, server, 6)
					read(t, client, 6)
					end := client.Close
					if c.half {
						end = client.CloseWrite
					}
					done := make(chan struct{})
					go func() { c.serve(server); _ = server.Close(); close(done) }()
					quick := leave(t, client, end)
					<-done
					if c.half {
						_, _ = io.Copy(io.Discard, client)
						_ = client.Close()
					}
					atServer, atClient := s.of(Server, 2)[1], s.of(Client, 2)[1]
					if !quick && try < tries-1 {
						continue
					}
					check(t, s, &atServer, c.server)
					if got := atServer.AnswerBytes == 24 && atServer.T2 != 0; got != c.answered {
						t.Errorf("answered %t, want %t: %+v", got, c.answered, atServer)
					}
					check(t, s, &atClient, c.client)
					return
				}
			})
		})
	}
}

// check wants a last record that ended as flags say, and the counts of its role to say
// so too.
func check(t *testing.T, s *scene, r *Record, want Flags) {
	t.Helper()
	if r.Flags&(OneWay|AbortedRequest|AbortedAnswer|Closed|HalfClosed) != want|Closed|HalfClosed || r.RequestBytes != 5 || r.Number != 1 {
		t.Errorf("%s: want %q: %+v", r.Role, want, *r)
	}
	if r.Complete() != (want == 0) || r.Failed() != (want == AbortedRequest) {
		t.Errorf("%s: complete %t, failed %t", r.Role, r.Complete(), r.Failed())
	}
	counted := s.services()[r.Role]
	number := map[Flags]uint64{want: 1}
	if counted.Requests != 2 || counted.OneWay != number[OneWay] || counted.AbortedRequests != number[AbortedRequest] || counted.Complete() != 1+number[0] ||
		counted.Phases[Phases].Count() != counted.Complete() {
		t.Errorf("%s: counts %+v", r.Role, counted)
	}
}
