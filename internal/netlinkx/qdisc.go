package netlinkx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Major is the handle of every qdisc and filter that anole makes, by which it
// knows them again: "a0e:" in the output of tc.
const Major = 0x0a0e

// Handle gives the handle a0e:minor.
func Handle(minor uint16) uint32 { return netlink.MakeHandle(Major, minor) }

// Qdisc is a queueing discipline as the kernel tells of it.
type Qdisc struct {
	Kind    string `json:"kind"`
	Handle  uint32 `json:"handle"`
	Parent  uint32 `json:"-"`
	Options []byte `json:"options,omitempty"` // TCA_OPTIONS, as dumped
}

// Default says that the kernel made the qdisc by itself: those have no handle.
func (q *Qdisc) Default() bool { return q.Handle == 0 }

// Ours says that anole made it.
func (q *Qdisc) Ours() bool { return q.Handle == Handle(0) }

// String is the form of tc.
func (q *Qdisc) String() string { return fmt.Sprintf("%s %x:", q.Kind, q.Handle>>16) }

// Classless lists the kinds of root qdiscs that Restore can make again from
// what the kernel tells of them: no classes or filters hang below.
var Classless = []string{"pfifo", "bfifo", "pfifo_fast", "fq", "fq_codel"}

// Qdiscs lists those of an interface.
func (c *Conn) Qdiscs(index int) ([]Qdisc, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETQDISC, unix.NLM_F_DUMP)
	req.Sockets = c.raw
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index)})
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWQDISC)
	if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	var out []Qdisc
	for _, m := range msgs {
		q, at, err := parseQdisc(m)
		if err != nil {
			return nil, err
		}
		if at == index {
			out = append(out, q)
		}
	}
	return out, nil
}

// parseQdisc reads an RTM_NEWQDISC message: a tcmsg and attributes.
func parseQdisc(b []byte) (q Qdisc, index int, err error) {
	if len(b) < nl.SizeofTcMsg {
		return q, 0, fmt.Errorf("parse qdisc: %d bytes are too few", len(b))
	}
	msg := nl.DeserializeTcMsg(b[:nl.SizeofTcMsg])
	attrs, err := attributes(b[nl.SizeofTcMsg:])
	if err != nil {
		return q, 0, fmt.Errorf("parse qdisc: %w", err)
	}
	q.Handle, q.Parent = msg.Handle, msg.Parent
	for _, a := range attrs {
		switch a.kind {
		case nl.TCA_KIND:
			q.Kind = string(bytes.TrimRight(a.value, "\x00"))
		case nl.TCA_OPTIONS:
			q.Options = bytes.Clone(a.value)
		}
	}
	return q, int(msg.Ifindex), nil
}

// attribute is one of a netlink message, netlink(7).
type attribute struct {
	kind  uint16
	value []byte
}

// attributes splits them: each is its length, with these four bytes, its type,
// and its value, filled up to a multiple of four. The last may lack that.
func attributes(b []byte) (out []attribute, err error) {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtAttr {
			return nil, fmt.Errorf("%d bytes are no attribute", len(b))
		}
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return nil, fmt.Errorf("an attribute of %d bytes in %d", n, len(b))
		}
		out = append(out, attribute{binary.NativeEndian.Uint16(b[2:]) & nl.NLA_TYPE_MASK, b[unix.SizeofRtAttr:n]})
		b = b[min(len(b), (n+3)&^3):]
	}
	return out, nil
}

// Root gives the root qdisc of an interface; ok is false where there is none,
// as on one that was never up.
func (c *Conn) Root(index int) (q Qdisc, ok bool, err error) {
	all, err := c.Qdiscs(index)
	for _, q := range all {
		if q.Parent == netlink.HANDLE_ROOT {
			return q, true, nil
		}
	}
	return q, false, err
}

// Clsact says whether an interface has the place for filters of both
// directions, or its older form for incoming packets alone.
func (c *Conn) Clsact(index int) (kind string, err error) {
	all, err := c.Qdiscs(index)
	for _, q := range all {
		if q.Parent == netlink.HANDLE_INGRESS {
			return q.Kind, nil
		}
	}
	return "", err
}

// AddClsact makes the place for filters of both directions.
func (c *Conn) AddClsact(index int) error {
	err := c.h.QdiscAdd(clsact(index))
	if err != nil {
		return fmt.Errorf("add clsact: %w", err)
	}
	return nil
}

func clsact(index int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
}

// DelClsact removes it with all filters on it.
func (c *Conn) DelClsact(index int) error {
	if err := c.h.QdiscDel(clsact(index)); err != nil {
		return fmt.Errorf("remove clsact: %w", err)
	}
	return nil
}

// DelRoot removes the root qdisc with a handle; the kernel puts its default
// there.
func (c *Conn) DelRoot(index int, handle uint32) error {
	q := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: handle, Parent: netlink.HANDLE_ROOT}}
	if err := c.h.QdiscDel(q); err != nil {
		return fmt.Errorf("remove root qdisc: %w", err)
	}
	return nil
}

// Restore makes a root qdisc as it was when it was read, and fails if it then
// reads otherwise.
func (c *Conn) Restore(index int, q *Qdisc) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.Sockets = c.raw
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: q.Handle, Parent: netlink.HANDLE_ROOT})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated(q.Kind)))
	options, err := settable(q)
	if err != nil {
		return err
	}
	if len(options) > 0 {
		req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, options))
	}
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("restore qdisc %s: %w", q, err)
	}
	now, ok, err := c.Root(index)
	if err == nil && (!ok || now.Kind != q.Kind || now.Handle != q.Handle || !bytes.Equal(now.Options, q.Options)) {
		err = fmt.Errorf("restore qdisc %s: it reads %s with other options after it was made again", q, &now)
	}
	return err
}

// The times among the options of fq_codel, in microseconds.
const (
	fqCodelTarget      = 1
	fqCodelInterval    = 3
	fqCodelCEThreshold = 7
)

// settable gives options that read as those of q once they are set. The kernel
// keeps the times of fq_codel in units of 1.024 µs and rounds down both ways, so
// that each time that was read and set again comes out smaller; one more
// microsecond lies within the unit that was meant.
func settable(q *Qdisc) ([]byte, error) {
	if q.Kind != "fq_codel" {
		return q.Options, nil
	}
	attrs, err := attributes(q.Options)
	if err != nil {
		return nil, fmt.Errorf("parse options of %s: %w", q, err)
	}
	var out []byte
	for _, a := range attrs {
		switch a.kind {
		case fqCodelTarget, fqCodelInterval, fqCodelCEThreshold:
			if len(a.value) != 4 {
				return nil, fmt.Errorf("parse options of %s: a time of %d bytes", q, len(a.value))
			}
			a.value = nl.Uint32Attr(binary.NativeEndian.Uint32(a.value) + 1)
		}
		out = append(out, nl.NewRtAttr(int(a.kind), a.value).Serialize()...)
	}
	return out, nil
}

// SetFIFO puts a plain queue of a number of packets below a class.
func (c *Conn) SetFIFO(index int, parent, handle uint32, packets int) error {
	req := nl.NewNetlinkRequest(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE|unix.NLM_F_ACK)
	req.Sockets = c.raw
	req.AddData(&nl.TcMsg{Family: nl.FAMILY_ALL, Ifindex: int32(index), Handle: handle, Parent: parent})
	req.AddData(nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("pfifo")))
	req.AddData(nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(uint32(packets)))) // struct tc_fifo_qopt
	if _, err := req.Execute(unix.NETLINK_ROUTE, 0); err != nil {
		return fmt.Errorf("add pfifo: %w", err)
	}
	return nil
}
