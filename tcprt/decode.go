package tcprt

import (
	"encoding/binary"
	"net/netip"
	"time"
	"unsafe"

	"github.com/anole-os/anole/tcprt/bpf"
)

const (
	recordSize = int(unsafe.Sizeof(bpf.TcprtRecord{}))
	afINET     = 2
)

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// take reads what the kernel wrote.
func (c *Collector) take(r *Record, k *bpf.TcprtRecord) {
	t := &k.Tuple
	*r = Record{
		Role: Role(k.Role), Flags: Flags(k.Flags), Number: k.Number, NetNS: t.Netns, Cgroup: k.Cgroup, PID: k.Pid,
		Local:  netip.AddrPortFrom(address(t.Family, &t.Local), t.LocalPort),
		Remote: netip.AddrPortFrom(address(t.Family, &t.Remote), t.RemotePort),
		T0:     time.Duration(k.T0), T1: time.Duration(k.T1), Read: time.Duration(k.Read), T2: time.Duration(k.T2),
		Last: time.Duration(k.Last), T3: time.Duration(k.T3), End: time.Duration(k.End),
		RequestSeq: k.RequestSeq, AnswerSeq: k.AnswerSeq, RequestBytes: k.RequestBytes, AnswerBytes: k.AnswerBytes, Unacked: k.Unacked,
		Retransmits: k.Retrans, OutOfOrder: k.Reorder, ZeroWindows: k.ZeroWindows,
		Busy:          c.jiffies(k.Chrono[0]) + c.jiffies(k.Chrono[1]) + c.jiffies(k.Chrono[2]),
		WindowLimited: c.jiffies(k.Chrono[1]), BufferLimited: c.jiffies(k.Chrono[2]),
		RTT: time.Duration(k.RttUs) * time.Microsecond, Queued: time.Duration(k.Queued), MSS: k.Mss,
	}
	for i, b := range k.Comm {
		r.Command[i] = byte(b)
	}
	if k.MinRttUs != ^uint32(0) { // the kernel's word for not known
		r.MinRTT = time.Duration(k.MinRttUs) * time.Microsecond
	}
}

func (c *Collector) jiffies(n uint32) time.Duration { return time.Duration(n) * c.tick }

// address reads one of the kernel's, which are in the order of the network. One
// of IPv4 on a socket of IPv6 is given as IPv4.
func address(family uint16, words *[4]uint32) netip.Addr {
	var b [16]byte
	for i, w := range words {
		binary.NativeEndian.PutUint32(b[4*i:], w)
	}
	if family == afINET {
		return netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.AddrFrom16(b).Unmap()
}
