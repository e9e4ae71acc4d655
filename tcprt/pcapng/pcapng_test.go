package pcapng

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/anole-os/anole/tcprt"
)

const (
	ms   = time.Millisecond
	wall = 1_700_000_000 * time.Second
)

var client, server = netip.MustParseAddrPort("10.0.0.9:40122"), netip.MustParseAddrPort("10.0.0.5:80")

// packet is one of a made capture.
type packet struct {
	at       time.Duration
	from, to netip.AddrPort
	seq      uint32
	payload  int
}

// bytes lays it out for a kind of link.
func (p *packet) bytes(t testing.TB, link layers.LinkType) []byte {
	t.Helper()
	tcp := &layers.TCP{SrcPort: layers.TCPPort(p.from.Port()), DstPort: layers.TCPPort(p.to.Port()), Seq: p.seq, ACK: true, Window: 100}
	var all []gopacket.SerializableLayer
	var ip gopacket.SerializableLayer
	v6 := p.from.Addr().Is6()
	if v6 {
		l := &layers.IPv6{Version: 6, NextHeader: layers.IPProtocolTCP, HopLimit: 64, SrcIP: p.from.Addr().AsSlice(), DstIP: p.to.Addr().AsSlice()}
		ip = l
		_ = tcp.SetNetworkLayerForChecksum(l)
	} else {
		l := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: p.from.Addr().AsSlice(), DstIP: p.to.Addr().AsSlice()}
		ip = l
		_ = tcp.SetNetworkLayerForChecksum(l)
	}
	kind := layers.EthernetTypeIPv4
	if v6 {
		kind = layers.EthernetTypeIPv6
	}
	switch link {
	case layers.LinkTypeEthernet:
		all = append(all, &layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: kind})
	case layers.LinkTypeLinuxSLL:
		head := make([]byte, 16)
		head[14], head[15] = byte(kind>>8), byte(kind)
		all = append(all, gopacket.Payload(head))
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(all, ip, tcp, gopacket.Payload(make([]byte, p.payload)))...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// capture writes packets as tcpdump does.
func capture(t testing.TB, link layers.LinkType, ng bool, all []packet) []byte {
	t.Helper()
	var b bytes.Buffer
	var write func(gopacket.CaptureInfo, []byte) error
	flush := func() error { return nil }
	if ng {
		w, err := pcapgo.NewNgWriter(&b, link)
		if err != nil {
			t.Fatal(err)
		}
		write, flush = w.WritePacket, w.Flush
	} else {
		w := pcapgo.NewWriterNanos(&b)
		if err := w.WriteFileHeader(65536, link); err != nil {
			t.Fatal(err)
		}
		write = w.WritePacket
	}
	for _, p := range all {
		raw := p.bytes(t, link)
		if err := write(gopacket.CaptureInfo{Timestamp: time.Unix(0, int64(p.at)), CaptureLength: len(raw), Length: len(raw)}, raw); err != nil {
			t.Fatal(err)
		}
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// conversation is two requests of a connection with a pause between them, and what
// is none of it: its handshake, another connection, a late acknowledgement.
func conversation(c, s netip.AddrPort) []packet {
	other := netip.AddrPortFrom(c.Addr(), 50000)
	return []packet{
		{wall, c, s, 99, 0},
		{wall + 100*ms, c, s, 100, 10}, {wall + 101*ms, other, s, 100, 10}, {wall + 150*ms, s, c, 700, 30}, {wall + 151*ms, c, s, 110, 0},
		{wall + 500*ms, c, s, 110, 0},
		{wall + 1000*ms, c, s, 110, 10}, {wall + 1001*ms, c, s, 110, 10}, {wall + 1150*ms, s, c, 730, 30}, {wall + 1151*ms, c, s, 120, 0},
	}
}

func requests(c, s netip.AddrPort, role tcprt.Role) []tcprt.Record {
	local, remote := s, c
	if role == tcprt.Client {
		local, remote = c, s
	}
	return []tcprt.Record{
		{Role: role, Local: local, Remote: remote, RequestSeq: 100, T0: 100 * ms, T1: 100 * ms, T2: 150 * ms, T3: 151 * ms, RequestBytes: 10, Hint: tcprt.Hint{Method: "GET", Route: "/a"}},
		{Role: role, Local: local, Remote: remote, RequestSeq: 110, T0: 1000 * ms, T1: 1001 * ms, T2: 1150 * ms, T3: 1151 * ms, Retransmits: 2, Flags: tcprt.Overlap, Number: 1},
	}
}

// Of each kind of capture the packets of the requests are kept, and the first one of
// each is noted, once.
func TestFilter(t *testing.T) {
	six := []netip.AddrPort{netip.MustParseAddrPort("[2001:db8::9]:40122"), netip.MustParseAddrPort("[2001:db8::5]:80")}
	for _, link := range []layers.LinkType{layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL, layers.LinkTypeRaw} {
		for _, ng := range []bool{false, true} {
			for _, role := range []tcprt.Role{tcprt.Server, tcprt.Client} {
				for _, ends := range [][]netip.AddrPort{{client, server}, six} {
					var n Notes
					for _, r := range requests(ends[0], ends[1], role) {
						if err := n.Add(&r, "web", wall); err != nil {
							t.Fatal(err)
						}
					}
					var out bytes.Buffer
					res, err := n.Filter(&out, bytes.NewReader(capture(t, link, ng, conversation(ends[0], ends[1]))))
					if err != nil || res.Cut != nil || res.Packets != 10 || res.Kept != 7 || res.Noted != 2 {
						t.Fatalf("%v, pcapng %v, %v, %v: %+v, %v", link, ng, role, ends, res, err)
					}
					check(t, &out, link)
				}
			}
		}
	}
}

func check(t *testing.T, in io.Reader, link layers.LinkType) {
	t.Helper()
	r, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{})
	if err != nil || r.LinkType() != link {
		t.Fatal(err)
	}
	var at []time.Duration
	notes := map[int]string{}
	for i := 0; ; i++ {
		_, ci, opts, err := r.ReadPacketDataWithOptions()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, time.Duration(ci.Timestamp.UnixNano())-wall)
		if len(opts.Comments) > 0 {
			notes[i] = strings.Join(opts.Comments, "|")
		}
	}
	if len(at) != 7 || at[0] != 100*ms || at[3] != 1000*ms || at[6] != 1151*ms || len(notes) != 2 ||
		!strings.Contains(notes[0], "51ms") || !strings.Contains(notes[0], "GET /a") || !strings.Contains(notes[3], "2 sent again; overlap") {
		t.Errorf("%v, %v", at, notes)
	}
}

// A capture that was cut off is read as far as it goes, and what is none is said so.
func TestDamaged(t *testing.T) {
	whole := capture(t, layers.LinkTypeEthernet, false, conversation(client, server))
	var n Notes
	for _, r := range requests(client, server, tcprt.Server) {
		if err := n.Add(&r, "web", wall); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	res, err := n.Filter(&out, bytes.NewReader(whole[:len(whole)-20]))
	if err != nil || res.Cut == nil || res.Packets != 9 || !strings.Contains(res.Cut.Error(), "after packet 9") {
		t.Errorf("%+v, %v", res, err)
	}
	for _, none := range []string{"", "abc", "ANOLETRT and so on, and on and on and on"} {
		if _, err := n.Filter(io.Discard, strings.NewReader(none)); !errors.Is(err, ErrNoCapture) {
			t.Errorf("%q: %v", none, err)
		}
	}
}

// FuzzFilter has whatever bytes for a capture.
func FuzzFilter(f *testing.F) {
	for _, link := range []layers.LinkType{layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL, layers.LinkTypeRaw, layers.LinkTypeNull} {
		f.Add(capture(f, link, false, conversation(client, server)))
		f.Add(capture(f, link, true, conversation(client, server)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n Notes
		for _, r := range requests(client, server, tcprt.Server) {
			_ = n.Add(&r, "web", wall)
		}
		var out bytes.Buffer
		res, err := n.Filter(&out, bytes.NewReader(b))
		if err == nil && (res.Kept > res.Packets || res.Noted > 2) {
			t.Fatalf("%+v", res)
		}
	})
}
