package lab

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Lose drops a share of the segments that leave by an interface, from 0 to 1, by
// chance, until it is called again or the interface goes. From then on they leave one
// by one, as on a wire. The sender is not told: a stack that is sends again at once.
func (s *Space) Lose(name string, share float64) error {
	const drop, pass = 4, 0 // TC_ACT_STOLEN, which is a success to the sender, and TC_ACT_OK
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "MIT",
		Instructions: asm.Instructions{
			asm.FnGetPrandomU32.Call(),
			asm.LoadImm(asm.R1, int64(share*(1<<32)), asm.DWord),
			asm.Mov.Reg32(asm.R2, asm.R0),
			asm.Mov.Imm(asm.R0, drop),
			asm.JLT.Reg(asm.R2, asm.R1, "out"),
			asm.Mov.Imm(asm.R0, pass),
			asm.Return().WithSymbol("out"),
		},
	})
	if err != nil {
		return fmt.Errorf("lose packets of %s: %w", name, err)
	}
	defer p.Close()
	index, err := s.Index(name)
	if err != nil {
		return fmt.Errorf("lose packets of %s: %w", name, err)
	}
	if err := s.h.LinkSetGSOMaxSegs(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}, 1); err != nil {
		return fmt.Errorf("have segments of %s leave one by one: %w", name, err)
	}
	q := &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}}
	if err := s.h.QdiscReplace(q); err != nil {
		return fmt.Errorf("lose packets of %s: %w", name, err)
	}
	f := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL},
		Fd:          p.FD(), Name: "lose", DirectAction: true,
	}
	if err := s.h.FilterReplace(f); err != nil {
		return fmt.Errorf("lose packets of %s: %w", name, err)
	}
	return nil
}
