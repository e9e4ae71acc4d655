package bpfx

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/anole-os/anole/feature"
)

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason feature.Reason
	}{
		{fmt.Errorf("x: %w", btf.ErrNotFound), feature.NoKernel},
		{fmt.Errorf("x: %w", ebpf.ErrNotSupported), feature.NoKernel},
		{syscall.ENOSYS, feature.NoKernel},
		{os.ErrPermission, feature.NoPrivilege},
		{syscall.EPERM, feature.NoPrivilege},
		{fmt.Errorf("load: %w", errors.Join(&ebpf.VerifierError{Cause: syscall.EACCES})), ""},
		{syscall.ENOSPC, ""},
	} {
		got := Explain("thing", "Linux 99", "load it", c.err)
		var u *feature.UnsupportedError
		if errors.As(got, &u) != (c.reason != "") || u != nil && u.Reason != c.reason || !errors.Is(got, c.err) {
			t.Errorf("%v became %v, want reason %q", c.err, got, c.reason)
		}
	}
}
