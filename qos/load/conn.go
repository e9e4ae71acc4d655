package load

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

type connState uint8

const (
	connClosed connState = iota
	connConnecting
	connIdle
	connBusy
)

// SentHeader carries CLOCK_MONOTONIC nanoseconds of the send, so that a
// service on the same node can tell how long a request waited for it.
const SentHeader = "Anole-Sent"

// sentDigits is the fixed width of the header's value, enough for 31 years of
// uptime: the request is built once and only these bytes change.
const (
	sentDigits = 18
	maxSent    = int64(1e18) - 1
)

// pending is an arrival on its way.
type pending struct {
	at      int64 // intended arrival, ns since the start of the run
	segment int
	counted bool // belongs to the measured part
}

// conn is one keep-alive connection with at most one request in flight.
type conn struct {
	slot       int32
	generation int32 // tells events of an earlier fd in this slot apart
	fd         int
	state      connState
	retryAt    int64 // when a closed connection may connect again
	req        pending
	out        []byte // rest of a short write
	resp       response
}

// request is the constant part of all requests.
type request struct {
	text  []byte
	stamp int // offset of the sent value
}

func newRequest(t target) request {
	head := "GET " + t.path + " HTTP/1.1\r\nHost: " + t.host + "\r\n" + SentHeader + ": "
	text := append([]byte(head), make([]byte, sentDigits)...)
	return request{text: append(text, "\r\n\r\n"...), stamp: len(head)}
}

// stamped returns the request with its sent time; valid until the next call.
func (r *request) stamped(mono int64) []byte {
	var buf [sentDigits]byte
	digits := strconv.AppendInt(buf[:0], min(max(mono, 0), maxSent), 10)
	field := r.text[r.stamp : r.stamp+sentDigits]
	for i := range sentDigits - len(digits) {
		field[i] = '0'
	}
	copy(field[sentDigits-len(digits):], digits)
	return r.text
}

// open begins a connect and registers the socket with epoll.
func (c *conn) open(epoll int, addr *net.TCPAddr) error {
	domain := unix.AF_INET
	var sa unix.Sockaddr
	if ip4 := addr.IP.To4(); ip4 != nil || addr.IP == nil {
		in := &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte{127, 0, 0, 1}}
		copy(in.Addr[:], ip4)
		sa = in
	} else {
		in := &unix.SockaddrInet6{Port: addr.Port}
		copy(in.Addr[:], addr.IP.To16())
		domain, sa = unix.AF_INET6, in
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("create socket: %w", err)
	}
	c.fd = fd
	c.generation++
	if err = c.start(epoll, sa); err != nil {
		_ = unix.Close(fd) // never used; the connect error is the news
		return err
	}
	c.state = connConnecting
	c.resp.reset()
	return nil
}

func (c *conn) start(epoll int, sa unix.Sockaddr) error {
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	if err := unix.Connect(c.fd, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	return c.watch(epoll, unix.EPOLL_CTL_ADD, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT)
}

// watch sets the events of interest. The event carries slot and generation in
// place of the fd, as epoll_event.data is free for the caller.
func (c *conn) watch(epoll, op int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: c.slot, Pad: c.generation}
	if err := unix.EpollCtl(epoll, op, c.fd, &ev); err != nil {
		return fmt.Errorf("watch connection: %w", err)
	}
	return nil
}

// finishConnect asks how the connect ended.
func (c *conn) finishConnect(epoll int) error {
	code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.state = connIdle
	return c.watch(epoll, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP)
}

// send writes b, keeping what the socket does not take.
func (c *conn) send(epoll int, b []byte) error {
	n, err := retryInterrupted(func() (int, error) { return unix.Write(c.fd, b) })
	if errors.Is(err, unix.EAGAIN) {
		n, err = 0, nil
	}
	if err != nil {
		return err
	}
	if n == len(b) {
		return nil
	}
	c.out = append(c.out[:0], b[n:]...)
	return c.watch(epoll, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLOUT)
}

// flush goes on with a short write.
func (c *conn) flush(epoll int) error {
	n, err := retryInterrupted(func() (int, error) { return unix.Write(c.fd, c.out) })
	if errors.Is(err, unix.EAGAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	if c.out = c.out[n:]; len(c.out) > 0 {
		return nil
	}
	return c.watch(epoll, unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP)
}

func (c *conn) shut() {
	if c.state != connClosed {
		_ = unix.Close(c.fd) // nothing is left to lose on this connection
	}
	c.state, c.fd, c.out = connClosed, -1, c.out[:0]
}

func retryInterrupted(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
