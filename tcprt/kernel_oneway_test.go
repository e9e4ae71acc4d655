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

// Messages that a client leaves with at once want no answer, and fail nobody: MySQL's
// COM_QUIT and PostgreSQL's Terminate, TLS's close_notify that the server answers with
// its own, and an answer that was waited for all the same.
func TestKernelOneWay(t *testing.T) {
	for _, c := range []struct {
		name           string
		half           bool // the client ends its half alone
		serve          func(c *net.TCPConn)
		server, client Flags // of the last message's end
	}{
		{"no answer", false, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }, OneWay, OneWay},
		{"no answer, half closed", true, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }, OneWay, OneWay},
		{"an answer that nobody takes", false, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); _, _ = c.Write(make([]byte, 24)) }, OneWay, OneWay},
		{"an answer", true, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); _, _ = c.Write(make([]byte, 24)) }, 0, 0},
		{"an answer after a while", true, func(c *net.TCPConn) {
			_, _ = io.Copy(io.Discard, c)
			time.Sleep(pause)
			_, _ = c.Write(make([]byte, 24))
		}, 0, 0},
		{"reset", true, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); reset(c) }, AbortedRequest, AbortedRequest},
		{"not read", true, func(c *net.TCPConn) { time.Sleep(pause) }, AbortedRequest, AbortedRequest},
		{"reset, and nobody waits", false, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c); reset(c) }, AbortedRequest, OneWay},
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
