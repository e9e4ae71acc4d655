package sys

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Capable says whether the calling thread has a capability (unix.CAP_…) in
// effect, capget(2).
func Capable(capability int) (bool, error) {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // of capabilities 0 to 31 and 32 to 63
	if err := unix.Capget(&head, &sets[0]); err != nil {
		return false, fmt.Errorf("read capabilities: %w", err)
	}
	if capability < 0 || capability >= 64 {
		return false, nil
	}
	return sets[capability/32].Effective>>(capability%32)&1 == 1, nil
}
