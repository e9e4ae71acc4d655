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

// decode reads what the kernel wrote, in place.
func decode(raw []byte, r *Record) bool {
	if len(raw) < recordSize || uintptr(unsafe.Pointer(&raw[0]))%8 != 0 {
		return false
	}
	k := (*bpf.TcprtRecord)(unsafe.Pointer(&raw[0]))
	t := &k.Tuple
	*r = Record{
		Role: Role(k.Role), Flags: Flags(k.Flags), Number: k.Number, NetNS: t.Netns, Cgroup: k.Cgroup,
		Local:  netip.AddrPortFrom(address(t.Family, &t.Local), t.LocalPort),
		Remote: netip.AddrPortFrom(address(t.Family, &t.Remote), t.RemotePort),
		T0:     time.Duration(k.T0), T1: time.Duration(k.T1), T2: time.Duration(k.T2), T3: time.Duration(k.T3), End: time.Duration(k.End),
		RequestBytes: k.RequestBytes, AnswerBytes: k.AnswerBytes, Unacked: k.Unacked, Retransmits: k.Retrans, OutOfOrder: k.Reorder,
		RTT: time.Duration(k.RttUs) * time.Microsecond, MSS: k.Mss,
	}
	if k.MinRttUs != ^uint32(0) { // the kernel's word for not known
		r.MinRTT = time.Duration(k.MinRttUs) * time.Microsecond
	}
	return true
}

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
