// Package vm runs programs in small virtual machines with Debian's kernels, so
// that tests of the real kernel run on others than the machine's own: QEMU with
// KVM where it can be used, or else its emulator. The guest is one program
// (test/vm/guest) and busybox; a boot takes some seconds.
package vm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anole-os/anole/test/vm/wire"
)

// Kernel is one that `scripts/setup.sh vm` has unpacked.
type Kernel struct {
	Image   string // vmlinuz
	Modules string // a directory with the .ko files, uncompressed
}

// Options of a machine. Kernel, Busybox and Init are needed.
type Options struct {
	Kernel  Kernel
	Busybox string // a static busybox
	Init    string // the built test/vm/guest
	Cgroup  string // "v2", the default, or "v1": hybrid, the controllers on v1
	CPUs    int    // 2 when 0
	Memory  int    // MiB; 1024 when 0
	QEMU    string // qemu-system-x86_64 when empty
}

// VM is a running machine. One program runs at a time; its methods are safe for
// concurrent use.
type VM struct {
	Release string // of its kernel

	dir     string
	cmd     *exec.Cmd
	console *tail
	dead    chan struct{} // closed when QEMU ended

	mu   sync.Mutex
	conn net.Conn
	out  *gob.Encoder
	in   *gob.Decoder
}

// bootTime is what the slowest boot takes. With KVM it is a second or two; where
// that hangs, as nested in some hosts, there is the emulator.
func bootTime(accel string) time.Duration {
	if accel == "kvm" {
		return 15 * time.Second
	}
	return 3 * time.Minute
}

// Boot starts a machine and waits until it answers. Close ends it; so does the
// end of this process.
func Boot(ctx context.Context, o Options) (*VM, error) {
	dir, err := os.MkdirTemp("", "anole-vm-")
	if err != nil {
		return nil, err
	}
	disk, err := image(o.Kernel, o.Busybox, o.Init)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "initrd"), disk, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("boot %s: %w", o.Kernel.Image, err), os.RemoveAll(dir))
	}
	var failed []error
	for _, accel := range accelerators() { // what QEMU does not get along with is emulated
		v := &VM{dir: dir, console: &tail{}, dead: make(chan struct{})}
		err := v.start(ctx, o, accel)
		if err == nil {
			return v, nil
		}
		failed = append(failed, fmt.Errorf("with %s: %w", accel, err))
		v.end()
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(fmt.Errorf("boot %s: %w", o.Kernel.Image, errors.Join(failed...)), os.RemoveAll(dir))
}

// accelerators are KVM, where this process may use it, and QEMU's emulator.
func accelerators() []string {
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		_ = f.Close()
		return []string{"kvm", "tcg"}
	}
	return []string{"tcg"}
}

func (v *VM) start(ctx context.Context, o Options, accel string) error {
	initrd, socket := filepath.Join(v.dir, "initrd"), filepath.Join(v.dir, "port-"+accel)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	v.cmd = exec.Command(cmp.Or(o.QEMU, "qemu-system-x86_64"), o.args(accel, initrd, socket)...)
	v.cmd.Stdout, v.cmd.Stderr = v.console, v.console
	v.cmd.SysProcAttr = diesWithUs()
	if err := v.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = v.cmd.Wait(); close(v.dead); _ = l.Close() }()
	if v.conn, err = l.Accept(); err != nil {
		return fmt.Errorf("QEMU ended: %w", err)
	}
	v.out, v.in = gob.NewEncoder(v.conn), gob.NewDecoder(v.conn)
	ctx, cancel := context.WithTimeout(ctx, bootTime(accel))
	defer cancel()
	hello, err := v.read(ctx)
	v.Release = hello.Text
	return err
}

func (o *Options) args(accel, initrd, socket string) []string {
	cpus, memory, cgroup := cmp.Or(o.CPUs, 2), cmp.Or(o.Memory, 1024), cmp.Or(o.Cgroup, "v2")
	return []string{
		// Without arch-capabilities: nested hosts tell of a register that they do not let QEMU write.
		"-M", "pc", "-accel", accel, "-cpu", "max,-arch-capabilities", "-smp", fmt.Sprint(cpus), "-m", fmt.Sprint(memory),
		"-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-serial", "stdio",
		"-chardev", "socket,id=port,path=" + socket, "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=port,name=" + wire.Port,
		"-kernel", o.Kernel.Image, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1 psi=1 anole.cgroup=" + cgroup,
	}
}

// read takes one message, or says what ended the machine meanwhile.
func (v *VM) read(ctx context.Context) (m wire.Message, err error) {
	stop := context.AfterFunc(ctx, func() { _ = v.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err = v.in.Decode(&m); err == nil {
		return m, nil
	}
	if ctx.Err() != nil {
		return m, fmt.Errorf("wait for the guest: %w", context.Cause(ctx))
	}
	return m, fmt.Errorf("the guest is gone: %w%s", err, v.console)
}

// ask sends one message and takes the answer; output goes to stdout and stderr.
func (v *VM) ask(ctx context.Context, m wire.Message, stdout, stderr io.Writer) (wire.Message, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.out.Encode(m); err != nil {
		return m, fmt.Errorf("the guest is gone: %w%s", err, v.console)
	}
	for {
		a, err := v.read(ctx)
		switch {
		case err != nil:
			return a, err
		case a.Kind == wire.Done && a.Text != "":
			return a, errors.New(a.Text)
		case a.Kind == wire.Done:
			return a, nil
		case a.Err:
			_, err = stderr.Write(a.Data)
		default:
			_, err = stdout.Write(a.Data)
		}
		if err != nil {
			return a, err
		}
	}
}

// Put writes a file in the guest, and the directories above it.
func (v *VM) Put(ctx context.Context, path string, mode os.FileMode, data []byte) error {
	_, err := v.ask(ctx, wire.Message{Kind: wire.Put, Path: path, Mode: uint32(mode), Data: data}, nil, nil)
	return err
}

// Get reads a file of the guest.
func (v *VM) Get(ctx context.Context, path string) ([]byte, error) {
	a, err := v.ask(ctx, wire.Message{Kind: wire.Get, Path: path}, nil, nil)
	return a.Data, err
}

// Program is what Run runs.
type Program struct {
	Argv, Env      []string
	Dir            string
	Stdout, Stderr io.Writer // discarded when nil
}

// Run runs a program in the guest and gives its exit code: 128 and the signal
// if it was killed. The error is for one that could not be run, or whose
// machine ended.
func (v *VM) Run(ctx context.Context, p Program) (code int, err error) {
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	a, err := v.ask(ctx, wire.Message{Kind: wire.Run, Argv: p.Argv, Env: p.Env, Dir: p.Dir}, p.Stdout, p.Stderr)
	return a.Code, err
}

// Close ends the machine.
func (v *VM) Close() error {
	v.end()
	return os.RemoveAll(v.dir)
}

func (v *VM) end() {
	if v.out != nil {
		_ = v.conn.SetWriteDeadline(time.Now().Add(time.Second))
		_ = v.out.Encode(wire.Message{Kind: wire.Off})
	}
	if v.cmd != nil && v.cmd.Process != nil {
		select {
		case <-v.dead:
		case <-time.After(5 * time.Second):
			_ = v.cmd.Process.Kill()
			<-v.dead
		}
	}
	if v.conn != nil {
		_ = v.conn.Close()
	}
}

// tail keeps the end of the guest's console.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > 2*tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(p), nil
}

// String gives what there is as lines to put behind an error.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(t.b, []byte("?"))))
	if text == "" {
		return ""
	}
	return "\nits console ended with:\n" + text
}
