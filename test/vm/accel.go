package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
)

// Fix is the command that fetches what a machine needs.
const Fix = "run scripts/vm.sh setup as root, online"

// base are QEMU's arguments for every machine.
func base(accel string) []string {
	if accel == "tcg" {
		// One thread for all virtual CPUs: with one each, QEMU 7.2 may translate
		// code while another CPU patches it, as the kernel does at each static
		// key, and run the old code from then on: int3 oopses, hangs.
		accel = "tcg,thread=single"
	}
	// Without arch-capabilities: nested hosts tell of a register that they do not let QEMU write.
	return []string{"-M", "pc", "-accel", accel, "-cpu", "max,-arch-capabilities", "-display", "none", "-nodefaults", "-no-user-config"}
}

// AccelEnv holds what Accelerator answers, once somebody knows it.
const AccelEnv = "ANOLE_VM_ACCEL"

// Accelerator is "kvm" where it is of use, or else "tcg", QEMU's emulator. A
// /dev/kvm proves little: some hosts interpret what the guest's kernel runs, at
// a thousandth of the speed. So a program of a few bytes must count to 2^24,
// which takes some ms, within two seconds.
func Accelerator(ctx context.Context, qemu string) string {
	if a := os.Getenv(AccelEnv); a != "" {
		return a
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err != nil {
		return "tcg"
	} else {
		_ = f.Close()
	}
	if err := try(ctx, qemu, "kvm", 2*time.Second); err != nil {
		return "tcg"
	}
	return "kvm"
}

// try runs the counting program.
func try(ctx context.Context, qemu, accel string, limit time.Duration) error {
	dir, err := os.MkdirTemp("", "anole-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rom := filepath.Join(dir, "rom")
	if err := os.WriteFile(rom, counter(), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = exec.CommandContext(ctx, qemu, append(base(accel), "-m", "16", "-bios", rom, "-device", "isa-debug-exit,iobase=0x501,iosize=1")...).Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == counted<<1|1 {
		return nil
	}
	return fmt.Errorf("run a program in QEMU with %s: %w", accel, errors.Join(err, ctx.Err()))
}

// counted is what the program tells isa-debug-exit, which has QEMU exit with
// twice that and one.
const counted = 0x20

// counter is a ROM in place of the BIOS: 16-bit code that counts down.
func counter() []byte {
	rom := make([]byte, 1<<16)
	copy(rom, []byte{
		0x66, 0xb9, 0, 0, 0, 1, // mov ecx, 1<<24
		0x66, 0x49, // dec ecx
		0x75, 0xfc, // jnz the line before
		0xba, 0x01, 0x05, // mov dx, 0x501
		0xb0, counted, // mov al, counted
		0xee,       // out dx, al
		0xf4,       // hlt
		0xeb, 0xfd, // jmp the line before
	})
	copy(rom[0xfff0:], []byte{0xe9, 0x0d, 0}) // where the CPU begins: jmp 0
	return rom
}

// lack says what is missing for the machine.
func (o *Options) lack() error {
	no := func(reason feature.Reason, need, fix string, err error) error {
		return &feature.UnsupportedError{Feature: "virtual machine", Reason: reason, Need: need, Fix: fix, Err: err}
	}
	if _, err := exec.LookPath(o.QEMU); err != nil {
		return no(feature.NoPeer, "the program "+o.QEMU, Fix, err)
	}
	for _, path := range []string{filepath.Join(o.Kernel, "vmlinuz"), filepath.Join(o.Kernel, "lib/modules"), o.Busybox, o.Init} {
		if _, err := os.Stat(path); err != nil {
			return no(feature.NoPeer, path, Fix, err)
		}
	}
	meminfo, err := os.ReadFile("/proc/meminfo")
	if free, ok := available(string(meminfo)); ok && err == nil && free < o.Memory+overhead {
		return no(feature.NoHardware, fmt.Sprintf("%d MiB of memory, available are %d", o.Memory+overhead, free), "end something, or give the machine less", nil)
	}
	return nil
}

// overhead is what QEMU takes beside the guest's memory, in MiB.
const overhead = 256

// available is the memory that can be had without swapping, in MiB.
func available(meminfo string) (mib int, ok bool) {
	for line := range strings.Lines(meminfo) {
		if n, err := fmt.Sscanf(line, "MemAvailable: %d kB", &mib); n == 1 && err == nil {
			return mib >> 10, true
		}
	}
	return 0, false
}
