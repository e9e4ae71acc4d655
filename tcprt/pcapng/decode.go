package pcapng

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// decoder finds TCP in packets of one kind of link.
type decoder struct {
	parser *gopacket.DecodingLayerParser
	raw6   *gopacket.DecodingLayerParser // of raw IP, version 6
	eth    layers.Ethernet
	vlan   layers.Dot1Q
	sll    layers.LinuxSLL
	sll2   layers.LinuxSLL2
	loop   layers.Loopback
	ip4    layers.IPv4
	ip6    layers.IPv6
	tcp    layers.TCP
	found  []gopacket.LayerType
}

func newDecoder(link layers.LinkType) *decoder {
	d := &decoder{}
	parser := func(first gopacket.LayerType) *gopacket.DecodingLayerParser {
		p := gopacket.NewDecodingLayerParser(first, &d.eth, &d.vlan, &d.sll, &d.sll2, &d.loop, &d.ip4, &d.ip6, &d.tcp)
		p.IgnoreUnsupported = true
		return p
	}
	first := layers.LayerTypeEthernet
	switch link {
	case layers.LinkTypeLinuxSLL:
		first = layers.LayerTypeLinuxSLL
	case layers.LinkTypeLinuxSLL2:
		first = layers.LayerTypeLinuxSLL2
	case layers.LinkTypeNull, layers.LinkTypeLoop:
		first = layers.LayerTypeLoopback
	case layers.LinkTypeRaw, layers.LinkTypeIPv4, layers.LinkTypeIPv6, 12, 14: // the numbers of raw IP on BSD
		first = layers.LayerTypeIPv4
		d.raw6 = parser(layers.LayerTypeIPv6)
	}
	d.parser = parser(first)
	return d
}

// decode gives where a packet of TCP comes from and goes to, its sequence number and
// whether it has data.
func (d *decoder) decode(data []byte) (from, to netip.AddrPort, seq uint32, payload, ok bool) {
	parser := d.parser
	if d.raw6 != nil && len(data) > 0 && data[0]>>4 == 6 {
		parser = d.raw6
	}
	// A packet that was captured in part is decoded as far as it goes.
	_ = parser.DecodeLayers(data, &d.found)
	var src, dst netip.Addr
	length := 0 // of IP's payload, as its header says
	for _, l := range d.found {
		switch l {
		case layers.LayerTypeIPv4:
			src, dst = address(d.ip4.SrcIP), address(d.ip4.DstIP)
			length = int(d.ip4.Length) - 4*int(d.ip4.IHL)
			if d.ip4.Length == 0 { // segmented by the card
				length = len(d.ip4.Payload)
			}
		case layers.LayerTypeIPv6:
			src, dst = address(d.ip6.SrcIP), address(d.ip6.DstIP)
			length = int(d.ip6.Length)
			if d.ip6.Length == 0 {
				length = len(d.ip6.Payload)
			}
		case layers.LayerTypeTCP:
			if !src.IsValid() || !dst.IsValid() {
				return from, to, 0, false, false
			}
			return netip.AddrPortFrom(src, uint16(d.tcp.SrcPort)), netip.AddrPortFrom(dst, uint16(d.tcp.DstPort)), d.tcp.Seq, length > 4*int(d.tcp.DataOffset), true
		}
	}
	return from, to, 0, false, false
}

func address(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}
