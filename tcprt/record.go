package tcprt

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"github.com/anole-os/anole/tcprt/bpf"
)

// Role is the side of a connection that a record is of.
type Role uint8

// The roles.
const (
	Server = Role(bpf.TcprtShapeSERVER) // it accepted the connection
	Client = Role(bpf.TcprtShapeCLIENT) // it made it
)

// String gives the word for it.
func (r Role) String() string {
	switch r {
	case Server:
		return "server"
	case Client:
		return "client"
	}
	return "unknown"
}

// Flags of a record.
type Flags uint8

// The flags.
const (
	// Overlap: another request came in before the answer was acknowledged, so that
	// this record is of more than one.
	Overlap = Flags(bpf.TcprtShapeOVERLAP)
	// Piggyback: the acknowledgement of the answer came with the next request.
	Piggyback = Flags(bpf.TcprtShapePIGGYBACK)
	// AbortedRequest: the connection ended before anything was answered.
	AbortedRequest = Flags(bpf.TcprtShapeABORT_REQ)
	// AbortedAnswer: it ended before all of the answer was acknowledged.
	AbortedAnswer = Flags(bpf.TcprtShapeABORT_ANSWER)
	// Closed: the connection ended with this request.
	Closed = Flags(bpf.TcprtShapeCLOSED)
	// Midway: the connection was there before the Collector, which cannot know how
	// many requests there were before.
	Midway = Flags(bpf.TcprtShapeMIDWAY)
	// Guessed: the time of a first packet that left is that of the next segment
	// that came in.
	Guessed = Flags(bpf.TcprtShapeGUESSED)
	// Reordered: segments came in out of order.
	Reordered = Flags(bpf.TcprtShapeREORDER)
)

var flagNames = []string{"overlap", "piggyback", "aborted-request", "aborted-answer", "closed", "midway", "guessed", "reordered"}

// String lists them with commas.
func (f Flags) String() string {
	var out []string
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, ",")
}

// Record is what is known of one request.
type Record struct {
	Role   Role
	Flags  Flags
	Number uint32 // of requests on the connection before it
	Local  netip.AddrPort
	Remote netip.AddrPort
	NetNS  uint32 // inode of the network namespace
	Cgroup uint64 // id in the cgroup2 hierarchy: of the socket's maker
	// Times on CLOCK_MONOTONIC; 0 is what never came.
	T0, T1, T2, T3 time.Duration
	End            time.Duration // when it was told: at the next request, or at the end of the connection
	// RequestBytes and AnswerBytes are of payload, each modulo 2³².
	RequestBytes, AnswerBytes uint32
	Unacked                   uint32        // bytes of an aborted answer that were not acknowledged
	Retransmits               uint32        // segments sent again meanwhile
	OutOfOrder                uint32        // segments that came out of order meanwhile
	RTT, MinRTT               time.Duration // smoothed, and the least of the connection's last five minutes
	MSS                       uint32
}

// Upload is how long the request took to come in (server), or to be acknowledged
// (client).
func (r *Record) Upload() time.Duration { return span(r.T0, r.T1) }

// Processing is from the request to the beginning of its answer: the server's time
// on its own side, and the network's round trip more on the client's.
func (r *Record) Processing() time.Duration { return span(r.T1, r.T2) }

// Delivery is how long the answer took to be acknowledged (server) or to come in
// (client). An acknowledgement that waited for the next request to ride on is put
// at the path's least round trip after the beginning of the answer; T3 keeps what
// was seen.
func (r *Record) Delivery() time.Duration {
	d := span(r.T2, r.T3)
	if r.Flags&Piggyback != 0 && r.MinRTT > 0 {
		return min(d, r.MinRTT)
	}
	return d
}

// Total is all three.
func (r *Record) Total() time.Duration { return r.Upload() + r.Processing() + r.Delivery() }

// Complete says whether the request was answered and all of the answer arrived.
func (r *Record) Complete() bool { return r.Flags&(AbortedRequest|AbortedAnswer) == 0 }

func span(from, to time.Duration) time.Duration {
	if from == 0 || to < from {
		return 0
	}
	return to - from
}

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
