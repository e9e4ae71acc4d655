// Package netlinkx talks to the kernel's network configuration over netlink:
// interfaces, queueing disciplines and filters of the network namespace in
// which a Conn was opened, and what is needed to put them back.
//
// Sources: rtnetlink(7), tc(8), include/uapi/linux/{rtnetlink,pkt_sched,pkt_cls}.h.
package netlinkx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Conn is an open netlink socket. It stays in the network namespace of the
// thread that opened it, whichever thread uses it. It is not safe for
// concurrent use.
type Conn struct {
	h   *netlink.Handle
	raw map[int]*nl.SocketHandle
	ns  uint64
}

// Open opens a Conn in the network namespace of the calling thread.
func Open() (*Conn, error) {
	// The namespace's inode and both sockets must come from one thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns, err := Netns()
	if err != nil {
		return nil, err
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return &Conn{h: h, raw: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}, ns: ns}, nil
}

// Close closes the sockets.
func (c *Conn) Close() error {
	c.h.Close()
	for _, s := range c.raw {
		s.Close()
	}
	return nil
}

// Netns gives the inode of the Conn's network namespace.
func (c *Conn) Netns() uint64 { return c.ns }

// Netns gives the inode of the calling thread's network namespace, which names
// it for as long as it exists.
func Netns() (uint64, error) { return inode("/proc/thread-self/ns/net") }

// NetnsOf gives the inode of a process's network namespace. A process that
// ended is fs.ErrNotExist.
func NetnsOf(pid int) (uint64, error) { return inode(fmt.Sprintf("/proc/%d/ns/net", pid)) }

func inode(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("stat network namespace: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("stat network namespace %s: %w", path, unix.EINVAL)
	}
	return st.Ino, nil
}

// Link is one network interface.
type Link struct {
	Index int
	Name  string
	Type  string // "veth", "bridge", "device" for hardware
	// Peer is the namespace of the other end of a veth, as an id that the Conn's
	// own namespace has given it; -1 when that end is in the same namespace, or
	// there is none.
	Peer    int
	Master  int // index of the bridge or bond it belongs to, 0 for none
	TxQueue int // packets
}

// Links lists all interfaces.
func (c *Conn) Links() ([]Link, error) {
	all, err := c.h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := make([]Link, 0, len(all))
	for _, l := range all {
		out = append(out, linkOf(l))
	}
	return out, nil
}

// ByName finds an interface; one that is not there is fs.ErrNotExist.
func (c *Conn) ByName(name string) (Link, error) {
	return find(name, func() (netlink.Link, error) { return c.h.LinkByName(name) })
}

// ByIndex finds an interface; one that is not there is fs.ErrNotExist.
func (c *Conn) ByIndex(index int) (Link, error) {
	return find(fmt.Sprintf("%d", index), func() (netlink.Link, error) { return c.h.LinkByIndex(index) })
}

func find(what string, ask func() (netlink.Link, error)) (Link, error) {
	l, err := ask()
	var gone netlink.LinkNotFoundError
	switch {
	case errors.As(err, &gone), errors.Is(err, unix.ENODEV):
		return Link{}, fmt.Errorf("find interface %s: %w", what, fs.ErrNotExist)
	case err != nil:
		return Link{}, fmt.Errorf("find interface %s: %w", what, err)
	}
	return linkOf(l), nil
}

func linkOf(l netlink.Link) Link {
	a := l.Attrs()
	return Link{Index: a.Index, Name: a.Name, Type: l.Type(), Peer: a.NetNsID, Master: a.MasterIndex, TxQueue: a.TxQLen}
}

// PeerID gives the id by which Link.Peer names the network namespace of a
// process, -1 if this namespace knows none for it: no interface leads there.
func (c *Conn) PeerID(pid int) (int, error) {
	id, err := c.h.GetNetNsIdByPid(pid)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, fmt.Errorf("find network namespace of process %d: %w", pid, fs.ErrNotExist)
	}
	if err != nil {
		return -1, fmt.Errorf("find network namespace of process %d: %w", pid, err)
	}
	return id, nil
}

// Gone says whether err means that an interface went away meanwhile: a normal
// event, not a failure.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

// Scratch runs do on a thread in a new, empty network namespace with nothing
// but a loopback interface, index 1. It is gone afterwards.
func Scratch(do func(*Conn) error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end with its goroutine, and to everybody
			// else its namespace is the process's. While this goroutine holds it
			// the next one gets another.
			defer runtime.UnlockOSThread()
			done <- Scratch(do)
			return
		}
		// The thread is not unlocked: it ends with the goroutine, and the
		// namespace with it.
		done <- scratch(do)
	}()
	return <-done
}

func scratch(do func(*Conn) error) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make network namespace: %w", err)
	}
	c, err := Open()
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}
