// Package bpfx has what all eBPF programs of this module share in user space.
package bpfx

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/anole-os/anole/feature"
)

// Explain says why a program of a feature does not load or attach: a wrapped
// *feature.UnsupportedError where the kernel, of which kernel tells what is
// needed, or the process's privileges do not allow it. doing is verb and object.
func Explain(name, kernel, doing string, err error) error {
	u := &feature.UnsupportedError{Feature: name, Err: err}
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, btf.ErrNotFound):
		u.Reason, u.Need, u.Fix = feature.NoKernel, kernel, "boot such a kernel"
	case errors.As(err, &verifier):
		return fmt.Errorf("%s: %w", doing, err) // its EACCES is no lack of privilege
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EPERM):
		u.Reason, u.Need, u.Fix = feature.NoPrivilege, "CAP_BPF and CAP_PERFMON", "run as root"
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, syscall.ENOSYS):
		u.Reason, u.Need, u.Fix = feature.NoKernel, kernel, "boot such a kernel"
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, u)
}
