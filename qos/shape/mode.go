package shape

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/netlinkx"
)

// Mode is how outgoing packets are held to their rates.
type Mode string

// Modes.
const (
	EDT Mode = "edt" // a time of departure for each packet, kept by fq
	HTB Mode = "htb" // the token buckets of HTB
)

// Modes lists them, best first.
func Modes() []Mode { return []Mode{EDT, HTB} }

// Choose gives the best mode that the kernel has, and why it is that one. It
// tries in a network namespace of its own, which is gone afterwards.
func Choose() (m Mode, why string, err error) {
	err = Supports(EDT)
	if err == nil {
		return EDT, "fq keeps a time of departure for each packet: no lock that all CPUs share", nil
	}
	why = "no edt: " + err.Error()
	if err = Supports(HTB); err == nil {
		return HTB, why, nil
	}
	return "", why, err
}

// Supports says whether the kernel has a mode: nil, or a
// *feature.UnsupportedError, or another error where that could not be told.
func Supports(m Mode) error {
	coll, err := load()
	if err != nil {
		return err
	}
	defer coll.Close()
	return explain(m, netlinkx.Scratch(func(c *netlinkx.Conn) error {
		if err := install(c, m, loopback); err != nil {
			return err
		}
		if err := c.AddClsact(loopback); err != nil {
			return err
		}
		return c.SetProgram(loopback, netlinkx.Out, m.program(), coll.Programs[m.program()].FD())
	}))
}

const loopback = 1 // index of lo in every network namespace

// install makes the mode's root qdisc, without classes.
func install(c *netlinkx.Conn, m Mode, index int) error {
	if m == EDT {
		return c.SetFQ(index)
	}
	return c.SetHTB(index, Rest.minor())
}

// program is the one that classifies outgoing packets.
func (m Mode) program() string { return "egress_" + string(m) }

// needs says what of the kernel's configuration a mode needs.
func (m Mode) needs() string {
	if m == EDT {
		return "CONFIG_NET_SCH_FQ, CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"
	}
	return "CONFIG_NET_SCH_HTB, CONFIG_NET_SCH_INGRESS and CONFIG_NET_CLS_BPF"
}

// explain makes a refusal whose cause is clear a typed "no".
func explain(m Mode, err error) error {
	u := &feature.UnsupportedError{Feature: "network shaping by " + string(m), Err: err}
	var typed *feature.UnsupportedError
	switch {
	case err == nil || errors.As(err, &typed):
		return err
	case errors.Is(err, os.ErrPermission):
		u.Reason, u.Need, u.Fix = feature.NoPrivilege, "CAP_NET_ADMIN and CAP_SYS_ADMIN", "run as root; in a unit of systemd: RestrictNamespaces=net"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		u.Reason, u.Need, u.Fix = feature.NoKernel, m.needs(), "boot a kernel with it, or load the modules"
	default:
		return fmt.Errorf("probe network shaping by %s: %w", m, err)
	}
	return u
}

// explainLoad does so for the loading of programs.
func explainLoad(err error) error {
	u := &feature.UnsupportedError{Feature: "network shaping", Err: err}
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier):
		return fmt.Errorf("load bpf programs: %w", err) // its EACCES is no lack of privilege
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EPERM):
		u.Reason, u.Need, u.Fix = feature.NoPrivilege, "CAP_BPF and CAP_NET_ADMIN", "run as root"
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL):
		u.Reason, u.Need, u.Fix = feature.NoKernel, "Linux 5.10 or later with CONFIG_BPF_SYSCALL, CONFIG_CGROUPS and CONFIG_SOCK_CGROUP_DATA", "boot such a kernel"
	default:
		return fmt.Errorf("load bpf programs: %w", err)
	}
	return u
}
