package tcprt

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/link"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Pending is a request under way.
type Pending struct {
	Role          Role
	Flags         Flags
	Number        uint32 // of requests on the connection before it
	Local, Remote netip.AddrPort
	NetNS         uint32
	Cgroup        uint64
	Age           time.Duration // since T0
	// T0, T1, T2 as in Record, as far as they are known; 0 is not yet.
	T0, T1, T2                time.Duration
	RequestBytes, AnswerBytes uint32 // so far
}

const pendingSize = int(unsafe.Sizeof(bpf.TcprtPending{}))

// Pending gives f all requests that are not answered, or whose answer is not
// acknowledged; f must not keep the pointer. It is safe for concurrent use.
func (c *Collector) Pending(f func(*Pending)) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("list requests under way: %w", os.ErrClosed)
	}
	it, err := link.AttachIter(link.IterOptions{Program: c.coll.Programs["list"], Map: c.coll.Maps["conns"]})
	c.mu.Unlock()
	if err != nil {
		return explain("attach to the connections", err)
	}
	defer it.Close()
	r, err := it.Open()
	if err != nil {
		return fmt.Errorf("list requests under way: %w", err)
	}
	defer r.Close()
	now, err := monotonic()
	if err != nil {
		return err
	}
	var p Pending
	k := make([]bpf.TcprtPending, 256)
	raw := unsafe.Slice((*byte)(unsafe.Pointer(&k[0])), len(k)*pendingSize)
	for {
		n, err := io.ReadAtLeast(r, raw, pendingSize)
		for i := range n / pendingSize {
			p.take(&k[i], now)
			f(&p)
		}
		switch rest := n % pendingSize; {
		case rest > 0 && err == nil: // the kernel gives whole ones
			return fmt.Errorf("list requests under way: %d bytes too many", rest)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return fmt.Errorf("list requests under way: %w", err)
		}
	}
}

func (p *Pending) take(k *bpf.TcprtPending, now time.Duration) {
	t := &k.Tuple
	*p = Pending{
		Role: Role(k.Role), Flags: Flags(k.Flags), Number: k.Number, NetNS: t.Netns, Cgroup: k.Cgroup,
		Local:  netip.AddrPortFrom(address(t.Family, &t.Local), t.LocalPort),
		Remote: netip.AddrPortFrom(address(t.Family, &t.Remote), t.RemotePort),
		T0:     time.Duration(k.T0), T1: time.Duration(k.T1), T2: time.Duration(k.T2),
		RequestBytes: k.RequestBytes, AnswerBytes: k.AnswerBytes,
	}
	p.Age = max(0, now-p.T0)
}
