// Package lab makes small networks out of network namespaces, for tests and
// benches: a node with one uplink, the world at its other end, and pods with
// namespaces of their own. Nothing of it touches the machine's own network, and
// all of it goes with the process.
package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Space is a network namespace.
type Space struct {
	ns netns.NsHandle
	h  *netlink.Handle
}

// Names and addresses in a Lab.
const (
	Uplink    = "up0"       // of the node
	Remote    = "peer0"     // the world's end of it
	NodeAddr  = "10.77.0.1" // of Uplink
	WorldAddr = "10.77.0.2" // of Remote

	NodeAddr6  = "fd77::1" // the same by IPv6
	WorldAddr6 = "fd77::2"
)

// Lab is one node and the world.
type Lab struct {
	Node, World *Space
	pods        []*Space
}

// Open makes the node and the world, joined by a veth pair. It needs root.
func Open() (*Lab, error) {
	l := &Lab{}
	err := l.open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespaces: %w", err), l.Close())
	}
	return l, nil
}

// OpenWired is Open with a wire between node and world that carries so many
// bits a second in each direction, behind a queue of 40 ms.
func OpenWired(bits uint64) (*Lab, error) {
	l := &Lab{}
	if err := l.wire(bits); err != nil {
		return nil, errors.Join(fmt.Errorf("make network namespaces: %w", err), l.Close())
	}
	return l, nil
}

func (l *Lab) spaces() (err error) {
	if l.Node, err = newSpace(); err == nil {
		l.World, err = newSpace()
	}
	return err
}

func (l *Lab) open() error {
	if err := l.spaces(); err != nil {
		return err
	}
	if err := l.Node.veth(Uplink, l.World, Remote); err != nil {
		return err
	}
	return l.addresses()
}

// wire puts a bridge between, whose ports have the rate.
func (l *Lab) wire(bits uint64) error {
	if err := l.spaces(); err != nil {
		return err
	}
	w, err := newSpace()
	if err != nil {
		return err
	}
	l.pods = append(l.pods, w)
	if err := l.Node.veth(Uplink, w, "node"); err != nil {
		return err
	}
	if err := l.World.veth(Remote, w, "world"); err != nil {
		return err
	}
	if _, err := w.bridge("wire", "node", "world"); err != nil {
		return err
	}
	if err := errors.Join(w.limit("node", bits), w.limit("world", bits)); err != nil {
		return err
	}
	return l.addresses()
}

func (l *Lab) addresses() error {
	if err := l.Node.address(Uplink, NodeAddr+"/24"); err != nil {
		return err
	}
	if err := l.World.address(Remote, WorldAddr+"/24"); err != nil {
		return err
	}
	if err := errors.Join(l.Node.address(Uplink, NodeAddr6+"/64"), l.World.address(Remote, WorldAddr6+"/64")); err != nil {
		return err
	}
	// What pods have is reached through the node.
	return l.World.route("10.78.0.0/16", NodeAddr)
}

// Close removes all namespaces.
func (l *Lab) Close() error {
	var errs []error
	for _, s := range append(l.pods, l.Node, l.World) {
		if s != nil {
			s.h.Close()
			errs = append(errs, s.ns.Close())
		}
	}
	return errors.Join(errs...)
}

// newSpace makes a namespace with its loopback interface up.
func newSpace() (*Space, error) {
	s := &Space{}
	err := onThread(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if s.ns, err = netns.GetFromPath("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if s.h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		return s.up("lo")
	})
	return s, err
}

// onThread runs do on a thread of its own, which ends with it.
func onThread(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // which does not end with its goroutine
			defer runtime.UnlockOSThread()
			done <- onThread(do)
			return
		}
		done <- do()
	}()
	return <-done
}

// Do runs do on a thread in the namespace: sockets that it opens and processes
// that it starts are there.
func (s *Space) Do(do func() error) error {
	return onThread(func() error {
		if err := netns.Set(s.ns); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return do()
	})
}

// Enter puts the calling goroutine's thread into the namespace until leave is
// called, on the same goroutine. Whatever it starts meanwhile, processes too,
// begins there, but for goroutines.
func (s *Space) Enter() (leave func() error, err error) {
	runtime.LockOSThread()
	was, err := netns.GetFromPath("/proc/thread-self/ns/net")
	if err == nil {
		err = netns.Set(s.ns)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("enter network namespace: %w", err)
	}
	return func() error {
		// A thread that cannot go back stays locked, and so is never used again.
		if err := netns.Set(was); err != nil {
			return fmt.Errorf("leave network namespace: %w", err)
		}
		runtime.UnlockOSThread()
		return was.Close()
	}, nil
}

// Netlink gives a handle in the namespace, which is closed with it.
func (s *Space) Netlink() *netlink.Handle { return s.h }

// Veth adds a pair of interfaces with both ends in the namespace, both up.
func (s *Space) Veth(name, remote string) error { return s.veth(name, s, remote) }

// veth joins two namespaces by a pair of interfaces, both up.
func (s *Space) veth(name string, to *Space, remote string) error {
	v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: remote, PeerNamespace: netlink.NsFd(to.ns)}
	v.Name = name
	v.TxQLen = 1000
	if err := s.h.LinkAdd(v); err != nil {
		return fmt.Errorf("add veth %s: %w", name, err)
	}
	return errors.Join(s.up(name), to.up(remote))
}

func (s *Space) up(name string) error {
	l, err := s.h.LinkByName(name)
	if err == nil {
		err = s.h.LinkSetUp(l)
	}
	return err
}

func (s *Space) address(name, cidr string) error {
	l, err := s.h.LinkByName(name)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	a.Flags = unix.IFA_F_NODAD // nobody else is there to have it
	return s.h.AddrAdd(l, a)
}

// route sends a network, or "" for all, through a gateway.
func (s *Space) route(cidr, via string) error {
	r := &netlink.Route{Gw: net.ParseIP(via)}
	if cidr != "" {
		_, dst, err := net.ParseCIDR(cidr)
		if err != nil {
			return err
		}
		r.Dst = dst
	}
	return s.h.RouteAdd(r)
}

// Index gives an interface's index.
func (s *Space) Index(name string) (int, error) {
	l, err := s.h.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// Remove deletes an interface.
func (s *Space) Remove(name string) error {
	l, err := s.h.LinkByName(name)
	if err == nil {
		err = s.h.LinkDel(l)
	}
	return err
}

// Rename gives an interface another name, for which it is down for a moment.
func (s *Space) Rename(name, to string) error {
	l, err := s.h.LinkByName(name)
	if err == nil {
		err = errors.Join(s.h.LinkSetDown(l), s.h.LinkSetName(l, to), s.h.LinkSetUp(l))
	}
	return err
}

// Pod is a namespace behind the node, with a veth pair to it.
type Pod struct {
	*Space
	Host string // the node's end
	Addr string
}

// AddPod makes pod number n, 1 to 250: routed by the node, or one port of a
// bridge that the node routes for.
func (l *Lab) AddPod(n int, bridged bool) (*Pod, error) {
	s, err := newSpace()
	if err != nil {
		return nil, err
	}
	l.pods = append(l.pods, s)
	p := &Pod{Space: s, Host: fmt.Sprintf("pod%d", n), Addr: fmt.Sprintf("10.78.%d.2", n)}
	if err := l.forward(); err != nil {
		return nil, err
	}
	if err := l.Node.veth(p.Host, s, "eth0"); err != nil {
		return nil, err
	}
	gateway, on := fmt.Sprintf("10.78.%d.1", n), p.Host
	if bridged {
		if on, err = l.Node.bridge(fmt.Sprintf("br%d", n), p.Host); err != nil {
			return nil, err
		}
	}
	if err := l.Node.address(on, gateway+"/24"); err != nil {
		return nil, err
	}
	if err := s.address("eth0", p.Addr+"/24"); err != nil {
		return nil, err
	}
	return p, s.route("0.0.0.0/0", gateway)
}

func (s *Space) bridge(name string, ports ...string) (string, error) {
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	b.Name = name
	if err := s.h.LinkAdd(b); err != nil {
		return "", fmt.Errorf("add bridge: %w", err)
	}
	for _, port := range ports {
		p, err := s.h.LinkByName(port)
		if err != nil {
			return "", err
		}
		if err := s.h.LinkSetMaster(p, b); err != nil {
			return "", err
		}
	}
	return name, s.up(name)
}

func (l *Lab) forward() error {
	return l.Node.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
}

// Limit bounds what the world sends to the node, as the link would.
func (l *Lab) Limit(bits uint64) error { return l.World.limit(Remote, bits) }

// limit bounds what leaves by an interface, behind a queue of 40 ms.
func (s *Space) limit(name string, bits uint64) error {
	index, err := s.Index(name)
	if err != nil {
		return err
	}
	rate := bits / 8
	return s.h.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: uint32(rate * 40 / 1000), Buffer: netlink.Xmittime(rate, uint32(rate/500)+70_000),
	})
}

// Process starts one in the namespace that does nothing.
func (s *Space) Process() (pid int, stop func(), err error) {
	cmd := exec.Command("sleep", "1000")
	if err := s.Do(cmd.Start); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, nil
}
