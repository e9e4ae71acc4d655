package netlinkx

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// HTBClass is one class of a Hierarchy Token Bucket, tc-htb(8).
type HTBClass struct {
	Minor, Parent uint16 // of handles a0e:x; a parent of 0 is the qdisc itself
	Rate, Ceil    uint64 // bits a second: guaranteed, and at most
	Prio          uint32 // who is first to borrow: 0 before 7
}

// SetHTB makes the root qdisc an HTB whose packets go to class a0e:rest unless
// skb->priority names another. One of anole's that is there is kept, with its
// classes: HTB itself takes no change.
func (c *Conn) SetHTB(index int, rest uint16) error {
	if there, err := c.have(index, "htb"); there || err != nil {
		return err
	}
	q := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: index, Handle: Handle(0), Parent: netlink.HANDLE_ROOT})
	q.Defcls = uint32(rest)
	if err := c.h.QdiscReplace(q); err != nil {
		return fmt.Errorf("set root qdisc htb: %w", err)
	}
	return nil
}

// SetClass makes or changes a class.
func (c *Conn) SetClass(index int, k HTBClass) error {
	attrs := netlink.ClassAttrs{LinkIndex: index, Handle: Handle(k.Minor), Parent: Handle(k.Parent)}
	h := netlink.NewHtbClass(attrs, netlink.HtbClassAttrs{
		Rate: k.Rate, Ceil: k.Ceil, Prio: k.Prio, Buffer: burst(k.Rate), Cbuffer: burst(k.Ceil),
		Quantum: quantum(k.Rate),
	})
	if err := c.h.ClassReplace(h); err != nil {
		return fmt.Errorf("set htb class %x:%x: %w", Major, k.Minor, err)
	}
	return nil
}

// burst is what a class may send at once: a millisecond's worth, and no less
// than one segmented packet of 64 KiB costs on the wire.
func burst(bits uint64) uint32 { return uint32(min(max(bits/8/1000, 70_000), 64<<20)) }

// quantum is what a class may send before another of its priority: HTB warns
// in the kernel's log outside 1000 to 200000 bytes.
func quantum(bits uint64) uint32 { return uint32(min(max(bits/8/1000, 3_000), 60_000)) }

// SetFQ makes the root qdisc an fq, tc-fq(8), which keeps each packet's time
// of departure.
func (c *Conn) SetFQ(index int) error {
	if there, err := c.have(index, "fq"); there || err != nil {
		return err
	}
	q := netlink.NewFq(netlink.QdiscAttrs{LinkIndex: index, Handle: Handle(0), Parent: netlink.HANDLE_ROOT})
	if err := c.h.QdiscReplace(q); err != nil {
		return fmt.Errorf("set root qdisc fq: %w", err)
	}
	return nil
}

// have says whether the root qdisc is anole's and of a kind; one of another
// kind is removed.
func (c *Conn) have(index int, kind string) (bool, error) {
	root, ok, err := c.Root(index)
	switch {
	case err != nil || !ok || !root.Ours():
		return false, err
	case root.Kind == kind:
		return true, nil
	}
	return false, c.DelRoot(index, root.Handle)
}

// ClassCount is what went through a class.
type ClassCount struct {
	Bytes   uint64
	Packets uint64
	Dropped uint64
}

// Classes reads the counters of anole's classes of an interface, by minor.
func (c *Conn) Classes(index int) (map[uint16]ClassCount, error) {
	all, err := c.h.ClassList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}, 0)
	if err != nil {
		return nil, fmt.Errorf("list classes: %w", err)
	}
	out := map[uint16]ClassCount{}
	for _, k := range all {
		a := k.Attrs()
		major, minor := netlink.MajorMinor(a.Handle)
		if major != Major || a.Statistics == nil || a.Statistics.Basic == nil || a.Statistics.Queue == nil {
			continue
		}
		out[minor] = ClassCount{Bytes: a.Statistics.Basic.Bytes, Packets: uint64(a.Statistics.Basic.Packets), Dropped: uint64(a.Statistics.Queue.Drops)}
	}
	return out, nil
}
