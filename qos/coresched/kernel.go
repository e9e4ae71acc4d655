package coresched

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
)

// Kernel is core scheduling as prctl(2) has it. Where a thread id is 0, and
// where a cookie is shared, the calling thread is meant.
type Kernel interface {
	Cookie(tid int) (uint64, error) // 0 is none
	Create(tid int) error
	ShareTo(tid int) error
	ShareFrom(tid int) error
}

// Linux is the running kernel.
type Linux struct{}

// Cookie implements Kernel.
func (Linux) Cookie(tid int) (uint64, error) { return sys.CoreCookie(tid) }

// Create implements Kernel.
func (Linux) Create(tid int) error { return sys.CoreCreate(tid) }

// ShareTo implements Kernel.
func (Linux) ShareTo(tid int) error { return sys.CoreShareTo(tid) }

// ShareFrom implements Kernel.
func (Linux) ShareFrom(tid int) error { return sys.CoreShareFrom(tid) }

const featureName = "core scheduling"

// Probe asks whether the node whose /sys is below root has core scheduling and
// this process may use it on the threads of others. It changes nothing.
func Probe(root string, k Kernel) error {
	err := probe(k)
	if errors.Is(err, unix.EINVAL) && !smt(root) {
		return noSMT(nil) // what the kernel lacks is not needed here
	}
	if err = explain(err); err != nil {
		return err
	}
	may, err := sys.Capable(unix.CAP_SYS_PTRACE)
	if err == nil && !may {
		err = explain(unix.EPERM)
	}
	return err
}

func noSMT(err error) error {
	return &feature.UnsupportedError{
		Feature: featureName, Reason: feature.NoHardware, Need: "a CPU with SMT, switched on", Fix: "not needed where no CPU has a sibling", Err: err,
	}
}

// smt says whether CPUs have siblings; where that is not told they may.
func smt(root string) bool {
	b, err := os.ReadFile(filepath.Join(root, "/sys/devices/system/cpu/smt/active"))
	return err != nil || strings.TrimSpace(string(b)) != "0"
}

// probe asks for the caller's own cookie, which must be none: threads are taken
// back by sharing it.
func probe(k Kernel) error {
	own, err := k.Cookie(0)
	if err == nil && own != 0 {
		return &feature.UnsupportedError{
			Feature: featureName, Reason: feature.Conflict, Need: "an agent without a cookie of its own", Fix: "start it from outside of what is core-scheduled",
		}
	}
	return err
}

// explain turns the kernel's word into an answer.
func explain(err error) error {
	no := func(r feature.Reason, need, fix string) error {
		return &feature.UnsupportedError{Feature: featureName, Reason: r, Need: need, Fix: fix, Err: err}
	}
	var u *feature.UnsupportedError
	switch {
	case err == nil, errors.As(err, &u):
		return err
	case errors.Is(err, unix.ENODEV):
		return noSMT(err)
	case errors.Is(err, unix.EINVAL):
		return no(feature.NoKernel, "Linux 5.14 with CONFIG_SCHED_CORE", "boot a kernel that has it, or switch SMT off: echo off > /sys/devices/system/cpu/smt/control")
	case errors.Is(err, unix.EPERM):
		return no(feature.NoPrivilege, "CAP_SYS_PTRACE over the threads", "run the agent as root")
	}
	return fmt.Errorf("ask for %s: %w", featureName, err)
}
