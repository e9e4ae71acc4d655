package locate

import (
	"net/netip"
	"slices"

	"github.com/anole-os/anole/tcprt"
)

// Tally counts requests, and those of them that are bad, by a label's value.
type Tally struct {
	key    string
	counts map[string]*[2]uint64
	bad    uint64
	all    uint64
	most   int
}

// NewTally gives one for at most so many values; what is of more is counted but
// never a component.
func NewTally(key string, most int) *Tally {
	return &Tally{key: key, counts: map[string]*[2]uint64{}, most: most}
}

// Add counts some requests of a value, of which some are bad.
func (t *Tally) Add(value string, n, bad uint64) {
	t.all += n
	t.bad += bad
	c := t.counts[value]
	if c == nil {
		if len(t.counts) >= t.most {
			return
		}
		c = new([2]uint64)
		t.counts[value] = c
	}
	c[0] += n
	c[1] += bad
}

// Records counts records by what of gives; bad says which are.
func (t *Tally) Records(rs []tcprt.Record, of func(*tcprt.Record) string, bad func(*tcprt.Record) bool) {
	for i := range rs {
		var b uint64
		if bad(&rs[i]) {
			b = 1
		}
		t.Add(of(&rs[i]), 1, b)
	}
}

// Find gives the values of which more requests are bad than chance would have, the
// best first. Weight is requests here.
func (t *Tally) Find(o Options) []Component {
	o = o.defaults()
	if t.bad == 0 || t.bad == t.all {
		return nil
	}
	var found []Component
	for value, c := range t.counts {
		if c[1] < uint64(o.Least) || c[0] == t.all {
			continue
		}
		x := Component{Labels: []Label{{t.key, value}}, Inside: c[0], InsideAnomalous: c[1]}
		x.Purity, x.Coverage = float64(c[1])/float64(c[0]), float64(c[1])/float64(t.bad)
		x.fill(t.bad, t.all)
		found = append(found, x)
	}
	slices.SortFunc(found, better)
	adjust(found, len(t.counts))
	return slices.DeleteFunc(found, func(c Component) bool { return c.Q > o.Rate || c.Ratio <= 1 })
}

// Subnet is the /24 of IPv4 or the /64 of IPv6 that the record's peer is in.
func Subnet(r *tcprt.Record) string {
	a := r.Remote.Addr().Unmap()
	bits := 64
	if a.Is4() {
		bits = 24
	}
	p := netip.PrefixFrom(a.WithZone(""), bits).Masked()
	if !p.IsValid() {
		return "unknown"
	}
	return p.String()
}
