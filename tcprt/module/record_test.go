package module

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/trt"
)

// A recording that the user ends has all that was asked until then, what the kernel
// and the agent still had in store too.
func TestKernelRecordingEndsWhole(t *testing.T) {
	var port uint16
	m := started(t, func(c *Config) { port = c.Ports[0] })
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "anole.sock"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	m.Routes(mux)
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}}
	s.Start()
	defer s.Close()
	agent := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", l.Addr().String())
	}}}
	defer agent.CloseIdleConnections()
	run := func(ctx context.Context, args ...string) (string, error) {
		var out, errs bytes.Buffer
		c := (&Module{}).Command()
		c.SetArgs(args)
		c.SilenceUsage, c.SilenceErrors = true, true
		err := c.ExecuteContext(core.WithEnv(ctx, &core.Env{Out: &out, Err: &errs, Agent: agent}))
		return out.String() + errs.String(), err
	}

	file := filepath.Join(dir, "all.trt")
	ctx, end := context.WithCancel(t.Context())
	defer end()
	done := make(chan error, 1)
	go func() { _, err := run(ctx, "record", file); done <- err }()
	begun := func() bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.recordings) == 1 }
	for until := time.Now().Add(10 * time.Second); !begun() && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
	}
	const requests = 3000
	c, err := net.Dial("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)}).String())
	if err != nil {
		t.Fatal(err)
	}
	for range requests {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	time.Sleep(20 * time.Millisecond) // until the server's side closed
	end()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if begun() {
		t.Error("the recording is still noted")
	}
	said, err := run(t.Context(), "replay", file)
	if err != nil || !strings.HasPrefix(said, "6000 requests") {
		t.Errorf("%v, %.200q; want 6000 requests", err, said)
	}
	if _, err := run(t.Context(), "record", file); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a file that is there: %v", err)
	}
}

// Whoever looks at a recording that lacks requests is told so.
func TestReplayTellsOfLosses(t *testing.T) {
	var b bytes.Buffer
	w, err := trt.NewWriter(&b, trt.Header{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&tcprt.Record{Role: tcprt.Server, T0: time.Second, T1: time.Second, T2: time.Second, T3: time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := w.Lost(17); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	c := (&Module{}).Command()
	c.SetArgs([]string{"replay", "-"})
	c.SetIn(&b)
	if err := c.ExecuteContext(core.WithEnv(t.Context(), &core.Env{Out: &out, Err: &errs, JSON: true})); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(errs.String(), "17 requests are missing") || !strings.Contains(out.String(), `"lost": 17`) {
		t.Errorf("%s%s", out.String(), errs.String())
	}
}
