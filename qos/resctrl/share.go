package resctrl

import (
	"math"
	"slices"
)

// Share is a part of the node's cache and memory bandwidth, each from 0 to 1.
type Share struct{ Cache, Bandwidth float64 }

// Layout is what Schemata needs to know of the node beside Info.
type Layout struct {
	// Fresh is the schemata of a group that was just made: every domain, and
	// for bandwidths the value that means no limit.
	Fresh Schemata
	// Taken gives, by cache and domain, the bits that others have for
	// themselves.
	Taken map[string]map[int]Mask
	// Peak is the node's memory bandwidth in bytes a second, 0 while nobody has
	// said it. Bandwidths that are not counted in percent need it.
	Peak float64
}

// Schemata gives what a group held to the share is to be given: in each domain
// the lowest neighbouring bits that nobody has for himself, as I/O mostly has
// the highest, and a legal bandwidth that is not above the share unless the
// node's least is. Resources that are left alone are not in it.
func (i *Info) Schemata(s Share, l Layout) Schemata {
	var out Schemata
	for _, line := range l.Fresh {
		if c := find(i.shared(), line.Resource); c != nil {
			out = append(out, c.line(s.Cache, line, l.Taken[line.Resource]))
			continue
		}
		for _, b := range i.Bandwidths {
			if b.Name == line.Resource && b.Name != "SMBA" { // slow memory is a matter of placement
				out = append(out, b.line(s.Bandwidth, line, l.Peak))
			}
		}
	}
	return out
}

func find(caches []Cache, name string) *Cache {
	at := slices.IndexFunc(caches, func(c Cache) bool { return c.Name == name })
	if at < 0 {
		return nil
	}
	return &caches[at]
}

// Ways gives how many bits a share comes to: no more than it, but for the least
// that the cache takes.
func (c *Cache) Ways(share float64) int {
	all := c.Mask.Ways()
	n := int(math.Floor(share*float64(all) + 1e-9))
	return min(max(n, c.MinWays), all)
}

func (c *Cache) line(share float64, fresh Line, taken map[int]Mask) Line {
	out := Line{Resource: fresh.Resource}
	for _, v := range fresh.Values {
		run := (c.Mask &^ taken[v.Domain]).Run(c.Ways(share))
		if run.Ways() >= c.MinWays { // else the kernel takes none: it stays as it is
			v.N = uint64(run)
		}
		out.Values = append(out.Values, v)
	}
	return out
}

// Value gives what a share of the bandwidth is in one of n domains, most being
// the value that means no limit.
func (b *Bandwidth) Value(share, peak float64, n int, most uint64) uint64 {
	if share >= 1 {
		return most
	}
	want := share * 100
	if bytes := b.Unit.Bytes(); bytes > 0 {
		if peak <= 0 {
			return most
		}
		want = share * peak / float64(n) / bytes
	}
	steps := uint64(max(0, want+1e-9)) / b.Step * b.Step
	// The kernel takes 0 on AMD, for nothing at all.
	least := max(b.Min, b.Step)
	return min(max(steps, least), most)
}

func (b *Bandwidth) line(share float64, fresh Line, peak float64) Line {
	out := Line{Resource: fresh.Resource}
	for _, v := range fresh.Values {
		v.N = b.Value(share, peak, len(fresh.Values), v.N)
		out.Values = append(out.Values, v)
	}
	return out
}
