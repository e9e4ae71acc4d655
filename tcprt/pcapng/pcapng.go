// Package pcapng takes the packets of requests out of a capture, and writes at the
// first packet of each what became of it: phases, retransmissions, flags, what it was.
// Wireshark and tshark show that as the packet's comment.
//
// Captures of both kinds are read, pcap and pcapng, of Ethernet, loopback, Linux's
// cooked captures and raw IP, as tcpdump -i any -w writes them. A packet is a
// request's if it is of its connection and within its time, and its first one if it
// has its sequence number.
//
// Source: draft-ietf-opsawg-pcapng.
package pcapng

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/anole-os/anole/tcprt"
)

// slack is how far the clock of a capture and that of a request may be apart; early is
// how long before it was seen a request's first packet may have come: it waits while
// the program is at the socket.
const (
	slack = 200 * time.Microsecond
	early = 10 * time.Millisecond
)

// mostRequests bounds what is kept of a recording.
const mostRequests = 2 << 20

// ErrTooMany is of a recording with more requests than can be looked for.
var ErrTooMany = errors.New("there are more than two million requests: choose some, the slow ones for instance")

// pair is a connection, the server's side last.
type pair struct{ client, server netip.AddrPort }

// request is what is looked for.
type request struct {
	from, to time.Duration // Unix time
	seq      uint32
	comment  string
	noted    bool
}

// Notes are the requests that are looked for. The zero value has none.
type Notes struct {
	all    map[pair][]request
	n      int
	sorted bool
}

// Add takes a request; offset is added to its times to get Unix time.
func (n *Notes) Add(r *tcprt.Record, name string, offset time.Duration) error {
	if r.T0 == 0 {
		return nil
	}
	if n.n++; n.n > mostRequests {
		return ErrTooMany
	}
	p := pair{client: unmapped(r.Remote), server: unmapped(r.Local)}
	if r.Role == tcprt.Client {
		p.client, p.server = p.server, p.client
	}
	if n.all == nil {
		n.all = map[pair][]request{}
	}
	end := max(r.T0, r.T1, r.T2, r.T3)
	if r.Failed() {
		end = max(end, r.End)
	}
	n.all[p] = append(n.all[p], request{from: r.T0 + offset - early, to: end + offset + slack, seq: r.RequestSeq, comment: comment(r, name)})
	n.sorted = false
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// comment says what became of a request.
func comment(r *tcprt.Record, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s), request %d: %v", name, r.Role, r.Number, r.Total().Round(time.Microsecond))
	for p := range tcprt.Phases {
		if d := r.Phase(p); d > 0 {
			fmt.Fprintf(&b, ", %s %v", p, d.Round(time.Microsecond))
		}
	}
	if h := strings.TrimSpace(r.Hint.Name() + " " + r.Hint.Status); h != "" {
		fmt.Fprintf(&b, "; %s", h)
	}
	if r.Retransmits > 0 {
		fmt.Fprintf(&b, "; %d sent again", r.Retransmits)
	}
	if r.Flags != 0 {
		fmt.Fprintf(&b, "; %s", r.Flags)
	}
	return b.String()
}

// source is a reader of either kind of capture.
type source interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

// ErrNoCapture is of a file that is none.
var ErrNoCapture = errors.New("it is no capture: want pcap or pcapng, as tcpdump -w writes")

func open(in io.Reader) (source, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, ErrNoCapture
	}
	if bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		r, err := pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{SkipUnknownVersion: true})
		if err != nil {
			return nil, errors.Join(ErrNoCapture, err)
		}
		return r, nil
	}
	r, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, errors.Join(ErrNoCapture, err)
	}
	return r, nil
}

// Result says what came of a capture.
type Result struct {
	Packets int // that were read
	Kept    int // of requests
	Noted   int // requests whose first packet was there
	// Cut says why the capture could not be read to its end, nil if it was.
	Cut error
}

// Filter reads a capture and writes the packets of the requests. A capture that was
// cut off is read as far as it goes.
func (n *Notes) Filter(out io.Writer, in io.Reader) (res Result, err error) {
	defer func() {
		// gopacket is given whatever somebody captured.
		if p := recover(); p != nil {
			err = fmt.Errorf("read the capture after packet %d: %v", res.Packets, p)
		}
	}()
	n.sort()
	src, err := open(in)
	if err != nil {
		return res, err
	}
	link := src.LinkType()
	w, err := pcapgo.NewNgWriter(out, link)
	if err != nil {
		return res, fmt.Errorf("write: %w", err)
	}
	d := newDecoder(link)
	for {
		data, ci, err := src.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			res.Cut = fmt.Errorf("the capture cannot be read after packet %d: %w", res.Packets, err)
			break
		}
		res.Packets++
		at := time.Duration(ci.Timestamp.UnixNano())
		keep, notes := n.look(d, data, at)
		if !keep {
			continue
		}
		res.Kept++
		res.Noted += len(notes)
		ci.InterfaceIndex, ci.CaptureLength = 0, len(data)
		ci.Length = max(ci.Length, len(data))
		if err := w.WritePacketWithOptions(ci, data, pcapgo.NgPacketOptions{Comments: notes}); err != nil {
			return res, fmt.Errorf("write: %w", err)
		}
	}
	if err := w.Flush(); err != nil {
		return res, fmt.Errorf("write: %w", err)
	}
	return res, nil
}

func (n *Notes) sort() {
	if n.sorted {
		return
	}
	for _, all := range n.all {
		slices.SortFunc(all, func(a, b request) int { return cmp.Compare(a.from, b.from) })
	}
	n.sorted = true
}

// look says whether a packet is of a request, and which begin with it.
func (n *Notes) look(d *decoder, data []byte, at time.Duration) (keep bool, notes []string) {
	from, to, seq, payload, ok := d.decode(data)
	if !ok {
		return false, nil
	}
	all, asks := n.all[pair{from, to}], true
	if all == nil {
		all, asks = n.all[pair{to, from}], false
	}
	// Those that began before it: the last of them that may still go on are few.
	i, _ := slices.BinarySearchFunc(all, at, func(r request, at time.Duration) int {
		if r.from <= at {
			return -1
		}
		return 1
	})
	for j := i - 1; j >= 0 && j >= i-64; j-- {
		r := &all[j]
		if at > r.to {
			continue
		}
		if asks && payload && seq == r.seq && !r.noted {
			r.noted, keep = true, true
			notes = append(notes, r.comment)
		}
		keep = keep || at >= r.from+early-slack
	}
	return keep, notes
}
