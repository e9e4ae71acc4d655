package sys

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Kernels answer EINVAL without CONFIG_SCHED_CORE and ENODEV without SMT; with
// both a thread without a cookie has 0, and no other call may then fail either.
func TestCoreCookieOfThisKernel(t *testing.T) {
	id, err := CoreCookie(0)
	switch {
	case err == nil:
		if id != 0 {
			t.Logf("the test itself is core-scheduled: %x", id)
		}
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODEV):
		for name, call := range map[string]func(int) error{"create": CoreCreate, "share to": CoreShareTo, "share from": CoreShareFrom} {
			if got := call(0); !errors.Is(got, err) {
				t.Errorf("%s: %v, get says %v", name, got, err)
			}
		}
	default:
		t.Fatalf("neither a yes nor one of the kernel's two noes: %v", err)
	}
	t.Logf("cookie %x, %v", id, err)
}
