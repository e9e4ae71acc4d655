package tcprt

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/bpfx"
)

// Tier is how much of each request is seen, and at what cost.
type Tier uint8

// The tiers, each with all that those before it have.
const (
	// Auto is the highest that the kernel has, but for TxStamp.
	Auto Tier = iota
	// SockDiag polls connections: totals of each, not of its requests. It needs no
	// BPF. A Collector cannot have it, see package sockdiag.
	SockDiag
	// Lite times requests by their segments.
	Lite
	// Full sees programs read: how long a request lay in its socket, and whose it
	// was.
	Full
	// TxStamp has the kernel's time of each write's way out on connections made
	// since: into the qdisc, out of it, acknowledged.
	TxStamp
)

var tierNames = [...]string{"auto", "sockdiag", "lite", "full", "txstamp"}

// String is its name in config.
func (t Tier) String() string { return tierNames[min(int(t), len(tierNames)-1)] }

// ParseTier reads a name.
func ParseTier(name string) (Tier, error) {
	for i, n := range tierNames {
		if n == name {
			return Tier(i), nil
		}
	}
	return Auto, fmt.Errorf("read tier %q: want one of %s", name, strings.Join(tierNames[:], ", "))
}

// MarshalText gives its name.
func (t Tier) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a name.
func (t *Tier) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTier(string(b))
	return err
}

// Probe says whether the node can measure at a tier: nil, or an error that wraps a
// *feature.UnsupportedError.
func Probe(t Tier) error {
	if t == SockDiag {
		return nil
	}
	c, err := Open(Options{Ports: []uint16{1}, Tier: t})
	if err != nil {
		return err
	}
	return c.Close()
}

// explain says why the kernel does not take it.
func explain(doing string, err error) error {
	return bpfx.Explain("TCP request timing", "Linux 5.12 or later with BPF and BTF", doing, err)
}

func (t Tier) explain(doing string, err error) error {
	if t == TxStamp {
		return bpfx.Explain("times of writes", "Linux 6.15 or later", doing, err)
	}
	return explain(doing, err)
}

// stamp attaches the program of TxStamp.
func (c *Collector) stamp(o *Options) error {
	every := max(1, o.Stamp)
	if every&(every-1) != 0 {
		return fmt.Errorf("stamp one of %d connections: it is no power of two", every)
	}
	if err := c.set("stamp_mask", every-1); err != nil {
		return err
	}
	mount, err := cgroup2(o.Root, "times of writes")
	if err != nil {
		return err
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: mount, Attach: ebpf.AttachCGroupSockOps, Program: c.coll.Programs["stamp"]})
	if err != nil {
		return TxStamp.explain("attach to the sockets of "+mount, err)
	}
	c.links["stamp"] = l
	return nil
}

// cgroup2 is where the hierarchy is mounted that sockets belong to.
func cgroup2(root, what string) (string, error) {
	for _, at := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
		mount := filepath.Join("/", root, at)
		var st unix.Statfs_t
		if unix.Statfs(mount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return mount, nil
		}
	}
	return "", fmt.Errorf("find the root cgroup: %w", &feature.UnsupportedError{
		Feature: what, Reason: feature.NoKernel, Need: "a mounted cgroup2 hierarchy", Fix: "mount it: mount -t cgroup2 none /sys/fs/cgroup/unified",
	})
}

var errTier = errors.New("a Collector has the tiers auto, lite, full and txstamp")
