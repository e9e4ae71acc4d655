package blkio

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anole-os/anole/feature"
)

// Mechanism is a means by which the kernel holds a cgroup's IO on a disk.
type Mechanism string

// Mechanisms, best first. Cost shares a disk by what requests cost it and keeps
// a latency objective by itself; Max and Throttle are limits, which a Governor
// moves; BFQ shares a disk by time.
const (
	Off      Mechanism = ""
	Cost     Mechanism = "io.cost"
	Max      Mechanism = "io.max"
	BFQ      Mechanism = "bfq"
	Throttle Mechanism = "throttle"
)

// Ladder lists the mechanisms, best first.
func Ladder() []Mechanism { return []Mechanism{Cost, Max, BFQ, Throttle} }

// Limits says whether the mechanism is a limit, that a Governor sets.
func (m Mechanism) Limits() bool { return m == Max || m == Throttle }

// Kernel is what the node's kernel has, whatever the disk.
type Kernel struct {
	Unified  bool // the io controller is on cgroup v2
	V1       bool // the blkio controller is on cgroup v1
	Cost     bool // io.cost.qos in the root (CONFIG_BLK_CGROUP_IOCOST)
	Throttle bool // io.max, or blkio.throttle.*
	// Weights says that BFQ's weights can be given by disk: io.bfq.weight, or
	// blkio.bfq.weight_device (Linux 5.4).
	Weights bool
}

// Choose gives the best mechanism for a disk, or the one that want names, and
// why. The error is a *feature.UnsupportedError when there is none.
func Choose(k Kernel, d *Disk, want string) (Mechanism, string, error) {
	switch want {
	case "off":
		return Off, "switched off by the policy", nil
	case "", "auto":
	default:
		m := Mechanism(want)
		if err := Supports(k, d, m); err != nil {
			return Off, "", err
		}
		return m, "the policy asks for it" + aside(k, m), nil
	}
	var over []string
	for _, m := range Ladder() {
		err := Supports(k, d, m)
		if err == nil {
			why := "the best that this disk and kernel have"
			if len(over) > 0 {
				why = strings.Join(over, "; ")
			}
			return m, why + aside(k, m), nil
		}
		over = append(over, "no "+string(m)+": "+need(err))
	}
	return Off, "", &feature.UnsupportedError{
		Feature: "IO isolation of " + d.Name, Reason: feature.NoKernel, Need: strings.Join(over, "; "),
		Fix: "boot a kernel with CONFIG_BLK_DEV_THROTTLING and have the io (v2) or blkio (v1) controller mounted",
	}
}

// aside says what a mechanism cannot do here.
func aside(k Kernel, m Mechanism) string {
	switch {
	case !k.Unified:
		return "; buffered writes are not held: cgroup v1 writes them back as nobody's"
	case m == BFQ:
		return ""
	}
	return "; buffered writes are held too where the file system tells whose they are (ext4, btrfs, xfs, f2fs)"
}

func need(err error) string {
	var u *feature.UnsupportedError
	if errors.As(err, &u) {
		return u.Need
	}
	return err.Error()
}

// Supports says whether a mechanism can be had for a disk: nil, or a
// *feature.UnsupportedError.
func Supports(k Kernel, d *Disk, m Mechanism) error {
	no := func(need, fix string) error {
		return &feature.UnsupportedError{Feature: string(m) + " on " + d.Name, Reason: feature.NoKernel, Need: need, Fix: fix}
	}
	switch m {
	case Cost:
		switch {
		case !k.Unified:
			return no("the io controller on cgroup v2", "boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=blkio")
		case !k.Cost:
			return no("CONFIG_BLK_CGROUP_IOCOST", "boot a kernel that has it")
		case !d.Multi:
			return no("a disk with a request queue (blk-mq)", "none: the driver has none; io.max serves")
		}
	case Max:
		switch {
		case !k.Unified:
			return no("the io controller on cgroup v2", "boot with systemd.unified_cgroup_hierarchy=1 or cgroup_no_v1=blkio")
		case !k.Throttle:
			return no("CONFIG_BLK_DEV_THROTTLING", "boot a kernel that has it")
		}
	case BFQ:
		return supportsBFQ(k, d, no)
	case Throttle:
		switch {
		case !k.V1:
			return no("the blkio controller on cgroup v1", "none needed on cgroup v2: io.max serves")
		case !k.Throttle:
			return no("CONFIG_BLK_DEV_THROTTLING", "boot a kernel that has it")
		}
	default:
		return fmt.Errorf("choose mechanism for %s: %q is none", d.Name, m)
	}
	return nil
}

func supportsBFQ(k Kernel, d *Disk, no func(need, fix string) error) error {
	switch {
	case !k.Unified && !k.V1:
		return no("the io or the blkio controller", "mount one")
	case d.Scheduler != "bfq" && slices.Contains(d.Choice, "bfq"):
		return no("bfq as the disk's scheduler (it is "+d.Scheduler+")", "set io.scheduler: bfq, or echo bfq > /sys/block/"+d.Name+"/queue/scheduler")
	case d.Scheduler != "bfq":
		return no("the bfq scheduler", "modprobe bfq, then set io.scheduler: bfq")
	case !k.Weights:
		return no("weights by disk (Linux 5.4)", "boot a later kernel")
	}
	return nil
}
