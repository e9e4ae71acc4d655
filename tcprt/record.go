package tcprt

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Role is the side of a connection that a record is of.
type Role uint8

// The roles.
const (
	Server Role = 1 // it accepted the connection
	Client Role = 2 // it made it
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
type Flags uint32

// The flags. Package l7 sets TLS, Handshake and Continued, the kernel's side the others.
const (
	// Overlap: another request came in before the answer was acknowledged, so that
	// this record is of more than one.
	Overlap Flags = 1 << iota
	// Piggyback: the acknowledgement of the answer came with the next request
	// (Server), or that of the request with the answer (Client).
	Piggyback
	// AbortedRequest: the connection ended before anything was answered.
	AbortedRequest
	// AbortedAnswer: it ended before all of the answer was acknowledged.
	AbortedAnswer
	// Closed: the connection ended with this request.
	Closed
	// Midway: the connection was there before the Collector, which cannot know how
	// many requests there were before.
	Midway
	// Guessed: the time of a first packet that left, or of a segment that was not
	// seen, is that of the next segment that came in.
	Guessed
	// Reordered: segments came in out of order.
	Reordered
	// HalfClosed: the side that asks ended its half of the connection with the
	// request.
	HalfClosed
	// ZeroWindow: one side had no room for what the other sent.
	ZeroWindow
	// NoDelay: the sender has Nagle's algorithm off (TCP_NODELAY).
	NoDelay
	// DelayedAck: the acknowledgement of the answer (Server) or of the request
	// (Client), which was of a packet or two, waited for its timer.
	DelayedAck
	// TLS: the request is a TLS record.
	TLS
	// Handshake: it is a part of a TLS handshake, and no request of a program.
	Handshake
	// Continued: the answer was 100 Continue; the body comes in the next record.
	Continued
	// OneWay: nobody waited for an answer, as the side that asks closed the connection
	// within 10 ms of the beginning of this, its last message. A server cannot tell that
	// from a shutdown for writing: it also takes it by an end within a second.
	OneWay
)

var flagNames = []string{
	"overlap", "piggyback", "aborted-request", "aborted-answer", "closed", "midway", "guessed", "reordered",
	"half-closed", "zero-window", "no-delay", "delayed-ack", "tls", "handshake", "continued", "one-way",
}

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

// ParseFlags reads what String wrote. Names that it does not know are left out.
func ParseFlags(s string) (f Flags) {
	for name := range strings.SplitSeq(s, ",") {
		for i, known := range flagNames {
			if name == known {
				f |= 1 << i
			}
		}
	}
	return f
}

// Command is a process's name, as the kernel keeps it: 15 bytes at most.
type Command [16]byte

// String ends it at its first zero byte.
func (c *Command) String() string {
	if end := bytes.IndexByte(c[:], 0); end >= 0 {
		return string(c[:end])
	}
	return string(c[:])
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
	// PID and Command are of the process that read from the connection last, or
	// that made it; 0 where neither was seen.
	PID     uint32
	Command Command
	// Times on CLOCK_MONOTONIC; 0 is what never came, or was not measured.
	//
	// Read is when the program read the request, after its last segment came in
	// (Server, tier Full); Last is when the last packet left, of the answer (Server)
	// or of the request (Client).
	T0, T1, Read, T2, Last, T3 time.Duration
	// End is when it was told: at the next request, at the end of the connection, or
	// when the connection had been idle for a while.
	End time.Duration
	// RequestSeq and AnswerSeq are the TCP sequence numbers of their first bytes:
	// the same on both sides of a connection.
	RequestSeq, AnswerSeq uint32
	// RequestBytes and AnswerBytes are of payload, each modulo 2³².
	RequestBytes, AnswerBytes uint32
	Unacked                   uint32 // bytes of an aborted answer that were not acknowledged
	Retransmits               uint32 // segments sent again since the record before
	OutOfOrder                uint32 // segments that came out of order since the record before
	ZeroWindows               uint32 // times that a window was found shut
	// Of the time that the kernel had data to send: all, what the other side's
	// window held up, and what this side's send buffer did. Multiples of a jiffy.
	Busy, WindowLimited, BufferLimited time.Duration
	RTT, MinRTT                        time.Duration // smoothed, and the least of the connection's last five minutes
	// Queued is how long any write of this side lay in the qdisc (tier TxStamp).
	Queued time.Duration
	MSS    uint32
	// Hint is what it was, where Options.Hints told.
	Hint Hint
}

// Phase is a part of a request's time.
type Phase uint8

// The phases, in their order.
const (
	Upload Phase = iota
	Queue
	Processing
	Send
	Delivery
	Phases // how many there are
)

// String is its name in metrics.
func (p Phase) String() string {
	return [...]string{"upload", "queue", "server", "send", "deliver", "total"}[min(p, Phases)]
}

// Phase gives how long a part of the request took; of Phases, all of them.
//
//	Upload      the request came in (Server), or was acknowledged (Client)
//	Queue       it lay in the socket until the program read it (Server, tier Full)
//	Processing  until its answer began: the server's time, and on the client's side
//	            the network's round trip too
//	Send        from the first packet of the answer to the last (Server)
//	Delivery    until all of the answer was acknowledged (Server) or was there (Client)
//
// An acknowledgement that waited for data to ride on, or for its timer, is put at the
// path's least round trip after the last packet that it is of. A server's T3 keeps
// what was seen; a client's T1 does not.
func (r *Record) Phase(p Phase) time.Duration {
	switch p {
	case Upload:
		return span(r.T0, r.T1)
	case Queue:
		return span(r.T1, r.Read)
	case Processing:
		return span(max(r.T1, r.Read), r.T2)
	case Send:
		return span(r.T2, r.Last)
	case Delivery:
		d := span(max(r.T2, r.Last), r.T3)
		if r.Role == Server && r.Flags&(Piggyback|DelayedAck) != 0 && r.MinRTT > 0 {
			return min(d, r.MinRTT)
		}
		return d
	}
	return r.Total()
}

// RoundTrip is how long the path took there and back, by an acknowledgement that came
// at once, of packets that left once (RFC 6298, Karn's rule); 0 where none did. RTT, which the kernel smooths, has the time in it that
// acknowledgements waited for data to ride on.
func (r *Record) RoundTrip() time.Duration {
	if r.Flags&(Piggyback|DelayedAck|Guessed) != 0 || r.Retransmits > 0 {
		return 0
	}
	if r.Role == Client {
		return span(r.Last, r.T1)
	}
	return span(r.Last, r.T3)
}

// Total is all phases together.
func (r *Record) Total() (d time.Duration) {
	for p := range Phases {
		d += r.Phase(p)
	}
	return d
}

// Over is when the request was over, without what an acknowledgement waited for
// something to ride on; where it never ended, when it was told of.
func (r *Record) Over() time.Duration {
	if !r.Failed() {
		return r.T0 + r.Total()
	}
	return max(r.T0, r.T1, r.T2, r.T3, r.End)
}

// NetworkLimited is how long the kernel had data under way that neither the other
// side's window nor this side's buffer held up: the path's round trips and the
// congestion window did.
func (r *Record) NetworkLimited() time.Duration {
	return max(0, r.Busy-r.WindowLimited-r.BufferLimited)
}

// Complete says whether the request was answered and all of the answer arrived.
func (r *Record) Complete() bool { return r.Flags&(AbortedRequest|AbortedAnswer|OneWay) == 0 }

// Failed says whether an answer was waited for that did not arrive as a whole.
func (r *Record) Failed() bool { return r.Flags&(AbortedRequest|AbortedAnswer) != 0 }

// Service is what the record counts for.
func (r *Record) Service() Service {
	port := r.Local.Port()
	if r.Role == Client {
		port = r.Remote.Port()
	}
	return Service{Role: r.Role, Port: port, NetNS: r.NetNS, Cgroup: r.Cgroup}
}

// Service is the requests of one role, port, network namespace and cgroup: those
// that a server takes, or that its clients on this node make.
type Service struct {
	Role   Role
	Port   uint16 // the server's
	NetNS  uint32
	Cgroup uint64
}

// String names it in the API: server:80@4026531840, and after a slash the cgroup, if
// that is not the root. The zero Service, which is of all for which there was no
// place, is "other".
func (s Service) String() string {
	if s == (Service{}) {
		return "other"
	}
	id := s.Role.String() + ":" + strconv.Itoa(int(s.Port)) + "@" + strconv.FormatUint(uint64(s.NetNS), 10)
	if s.Cgroup > 1 {
		id += "/" + strconv.FormatUint(s.Cgroup, 10)
	}
	return id
}

func span(from, to time.Duration) time.Duration {
	if from == 0 || to < from {
		return 0
	}
	return to - from
}
