package module

import (
	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/shape"
)

var (
	netBytes   = desc(core.Counter, "net_bytes_total", "Bytes on the wire over shared interfaces, of packets that were not dropped.", "class", "direction")
	netPackets = desc(core.Counter, "net_packets_total", "Packets over shared interfaces; one may stand for several on the wire (GSO, GRO).", "class", "direction")
	netDropped = desc(core.Counter, "net_dropped_packets_total", "Packets dropped to hold a class to its share, and those for which its queue had no room.", "class", "direction")
	netLinks   = desc(core.Gauge, "net_links", "Network interfaces that are shared.", "mechanism")
)

func netMetrics(t *qos.NetTotals, value func(*core.Desc, float64, ...string)) {
	shared := false
	for _, n := range t.Links {
		shared = shared || n > 0
	}
	if !shared && t.Count == (shape.Counts{}) {
		return
	}
	for _, m := range shape.Modes() {
		value(netLinks, float64(t.Links[string(m)]), string(m))
	}
	for _, d := range []shape.Direction{shape.Out, shape.In} {
		for _, c := range shape.Classes() {
			n := &t.Count[d][c]
			value(netBytes, float64(n.Bytes), c.String(), d.String())
			value(netPackets, float64(n.Packets), c.String(), d.String())
			value(netDropped, float64(n.Dropped), c.String(), d.String())
		}
	}
}
