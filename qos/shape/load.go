package shape

import (
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/qos/shape/bpf"
)

// load puts the programs and maps into the kernel.
func load() (*ebpf.Collection, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explainLoad(err)
	}
	spec, err := bpf.LoadShape()
	if err != nil {
		return nil, fmt.Errorf("read bpf object: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, explainLoad(err)
	}
	return coll, nil
}

// Parts of a link's rate that are given out. An incoming packet has passed the
// link already: unless best-effort work gets a little less than the link has, a
// queue stands at the other end, in which the others wait. fq keeps to the
// byte what it is told, but a queue in the network card must not build up.
const (
	edtPart = 0.98
	inPart  = 0.95
)

// lump is what may come at once, as one packet that stands for many. Uses are
// averaged over the time of several, lest every other window has none.
const lump = 64 << 10

// uplink gives the programs' view of a link.
func (l *Link) uplink(m Mode, slot uint32) bpf.ShapeUplink {
	u := bpf.ShapeUplink{Slot: slot, Major: netlinkx.Major}
	out := l.Out
	if m == EDT {
		out = out.of(edtPart)
	}
	for d, r := range [2]Rate{Out: out, In: l.In.of(inPart)} {
		u.Way[d].Rate = r.bytes()
		u.Way[d].Window = uint64(max(10*time.Millisecond, r.time(4*lump)))
		u.Way[d].Depth = uint64(max(100*time.Millisecond, r.time(8*lump)))
		for c := range Class(classes) {
			u.Way[d].Floor[c] = r.of(l.share(c)).bytes()
		}
	}
	return u
}

// Count is what a class sent or received over a link.
type Count struct {
	Bytes        uint64 `json:"bytes"` // on the wire, headers included
	Packets      uint64 `json:"packets"`
	Dropped      uint64 `json:"dropped"` // packets
	DroppedBytes uint64 `json:"dropped_bytes"`
}

// Counts is one for each direction and class.
type Counts [2][classes]Count

// counts reads those of a slot.
func counts(m *ebpf.Map, slot uint32) (out Counts, err error) {
	var each []bpf.ShapeCount
	for d := range out {
		for c := range out[d] {
			at := (slot*uint32(len(out))+uint32(d))*uint32(classes) + uint32(c)
			if err := m.Lookup(at, &each); err != nil {
				return out, fmt.Errorf("read counters: %w", err)
			}
			sum := &out[d][c]
			for _, x := range each {
				sum.Bytes += x.Bytes
				sum.Packets += x.Packets
				sum.Dropped += x.Dropped
				sum.DroppedBytes += x.DroppedBytes
			}
		}
	}
	return out, nil
}
