package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TrafficOptions describe one end of network traffic that asks another, a
// Sink, to take or to send bytes.
type TrafficOptions struct {
	Addr  string `json:"addr"`            // of the Sink
	Proto string `json:"proto,omitempty"` // "tcp" (default) or "udp"
	Down  bool   `json:"down,omitempty"`  // the Sink sends
	Conns int    `json:"conns,omitempty"` // 1 when 0
	// Rate in bits a second of payload that UDP is sent with; needed for it.
	Rate float64 `json:"rate,omitempty"`
	// Priority is SO_PRIORITY, 0 for none.
	Priority uint32 `json:"priority,omitempty"`
}

// payload of a UDP packet: what fits into a frame of 1500 bytes by IPv6 too.
const payload = 1452

// commands are the first byte of a connection or packet.
const (
	takeBytes = 'U'
	sendBytes = 'D'
)

// Traffic sends or fetches until ctx is done or in ends. For each line on in it
// writes the number of bytes that it received so far to out.
func Traffic(ctx context.Context, o TrafficOptions, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var got atomic.Int64
	go func() {
		defer cancel()
		for sc := bufio.NewScanner(in); sc.Scan(); {
			fmt.Fprintln(out, got.Load())
		}
	}()
	var wg sync.WaitGroup
	errs := make([]error, max(1, o.Conns))
	for i := range errs {
		wg.Go(func() { errs[i] = o.one(ctx, &got) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

func (o *TrafficOptions) one(ctx context.Context, got *atomic.Int64) error {
	proto := o.Proto
	if proto == "" {
		proto = "tcp"
	}
	d := &net.Dialer{Control: o.control}
	c, err := d.DialContext(ctx, proto, o.Addr)
	if err != nil {
		return fmt.Errorf("dial sink: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	defer c.Close()
	switch {
	case o.Down:
		err = o.fetch(c, got)
	case proto == "udp":
		err = flood(ctx, o.Rate, func(b []byte) error { _, err := c.Write(b); return err })
	default:
		err = pour(c)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// control sets the socket's priority.
func (o *TrafficOptions) control(_, _ string, c syscall.RawConn) (err error) {
	if o.Priority == 0 {
		return nil
	}
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, int(o.Priority))
	})
	return errors.Join(cerr, err)
}

// fetch asks for bytes and counts them.
func (o *TrafficOptions) fetch(c net.Conn, got *atomic.Int64) error {
	ask := append([]byte{sendBytes}, fmt.Appendf(nil, "%.0f", o.Rate)...)
	if _, err := c.Write(append(ask, '\n')); err != nil {
		return err
	}
	for b := make([]byte, 256<<10); ; {
		n, err := c.Read(b)
		got.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// pour writes to a stream as fast as it takes it.
func pour(w io.Writer) error {
	b := make([]byte, 64<<10)
	b[0] = takeBytes
	for {
		if _, err := w.Write(b); err != nil {
			return err
		}
		b[0] = 0
	}
}

// flood sends packets at a rate, those of a millisecond or more at once.
func flood(ctx context.Context, bits float64, send func([]byte) error) error {
	b := make([]byte, payload)
	b[0] = takeBytes
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	began, sent := time.Now(), 0.0
	for {
		due := time.Since(began).Seconds() * bits / 8
		if due-sent > bits/8/10 { // a stall is not made up for
			sent = due - bits/8/1000
		}
		for ; sent < due && ctx.Err() == nil; sent += payload {
			if err := send(b); err != nil && !errors.Is(err, unix.ENOBUFS) {
				return err
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Sink is the other end of Traffic, on one port of TCP and UDP.
type Sink struct {
	l      net.Listener
	p      *net.UDPConn
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	got    atomic.Int64
}

// ListenSink opens a Sink at a TCP and UDP address. Its sockets are in the
// network namespace of the calling thread.
func ListenSink(addr string) (*Sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	at, err := net.ResolveUDPAddr("udp", l.Addr().String())
	if err == nil {
		var p *net.UDPConn
		if p, err = net.ListenUDP("udp", at); err == nil {
			_ = p.SetReadBuffer(4 << 20)
			s := &Sink{l: l, p: p}
			s.ctx, s.cancel = context.WithCancel(context.Background())
			s.wg.Go(s.accept)
			s.wg.Go(s.packets)
			return s, nil
		}
	}
	return nil, errors.Join(err, l.Close())
}

// Addr is where it listens.
func (s *Sink) Addr() string { return s.l.Addr().String() }

// Received counts the bytes that arrived so far.
func (s *Sink) Received() int64 { return s.got.Load() }

// Close ends all connections.
func (s *Sink) Close() error {
	s.cancel()
	err := errors.Join(s.l.Close(), s.p.Close())
	s.wg.Wait()
	return err
}

func (s *Sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer context.AfterFunc(s.ctx, func() { _ = c.Close() })()
			defer c.Close()
			s.serve(c)
		})
	}
}

func (s *Sink) serve(c net.Conn) {
	b := make([]byte, 256<<10)
	n, err := c.Read(b)
	if err != nil {
		return
	}
	if b[0] == sendBytes {
		_ = pour(c)
		return
	}
	for ; err == nil; n, err = c.Read(b) {
		s.got.Add(int64(n))
	}
}

// packets counts UDP, and floods who asks for it.
func (s *Sink) packets() {
	b := make([]byte, 2048)
	for {
		n, from, err := s.p.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if b[0] != sendBytes {
			s.got.Add(int64(n))
			continue
		}
		var bits float64
		if json.Unmarshal(b[1:n-1], &bits) != nil {
			continue
		}
		s.wg.Go(func() {
			_ = flood(s.ctx, bits, func(b []byte) error { _, err := s.p.WriteToUDPAddrPort(b, from); return err })
		})
	}
}
