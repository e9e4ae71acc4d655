package actuate

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// CoreScheduling asks the kernel whether it can keep tasks of different
// cookies off sibling CPUs (prctl PR_SCHED_CORE, Linux 5.14 with
// CONFIG_SCHED_CORE). Without SMT the kernel answers ENODEV.
func CoreScheduling() error {
	var cookie uint64
	err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_GET, 0, 0, uintptr(unsafe.Pointer(&cookie)))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return &feature.UnsupportedError{Feature: "core scheduling", Reason: feature.NoHardware, Need: "a CPU with SMT", Fix: "not needed where no CPU has a sibling", Err: err}
	case errors.Is(err, unix.EINVAL):
		return &feature.UnsupportedError{Feature: "core scheduling", Reason: feature.NoKernel, Need: "CONFIG_SCHED_CORE", Fix: "boot a kernel that has it", Err: err}
	}
	return fmt.Errorf("ask for core scheduling: %w", err)
}
