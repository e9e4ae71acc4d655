// Package vm runs programs in small virtual machines with Debian's kernels, so
// that tests of the real kernel run on others than the machine's own: QEMU with
// KVM where it can be used, or else its emulator. The guest is one program
// (test/vm/guest) and busybox; a boot takes some seconds.
package vm

import (
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
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/anole-os/anole/test/vm/wire"
)

// Options of a machine. Kernel, Busybox and Init are needed.
type Options struct {
	Kernel  string // a directory with vmlinuz and lib/modules, from `scripts/vm.sh setup`
	Busybox string // a static busybox
	Init    string // the built test/vm/guest
	Cgroup  string // "v2", the default, or "v1": hybrid, the controllers on v1
	CPUs    int    // 2 when 0
	Memory  int    // MiB; 1024 when 0
	QEMU    string // qemu-system-x86_64 when empty
	Accel   string // "kvm" or "tcg"; what Accelerator says when empty
	Console string // a file for all that the console says; none when empty
	// Silence is after how long without a heartbeat the guest hangs; two minutes
	// when 0. The heart beats each second, and slowly where many share a CPU.
	Silence time.Duration
	// Programs are files of this machine that the guest has too, by their paths
	// there, without the first slash. What dynamic ones are linked with is taken
	// from System, a directory of unpacked packages.
	Programs map[string]string
	System   string
}

// VM is a running machine. One program runs at a time; its methods are safe for
// concurrent use.
type VM struct {
	Release string        // of its kernel
	Quiet   time.Duration // for programs that Serve runs, as in Program

	dir     string
	silence time.Duration
	cmd     *exec.Cmd
	console *console
	dead    chan struct{} // closed when QEMU ended
	closed  chan struct{}
	conn    net.Conn
	in      chan wire.Message // closed when the guest is gone

	mu   sync.Mutex // of one question and its answer
	out  *gob.Encoder
	lost error // no answer can be trusted any more, because
}

// Boot starts a machine and waits until it answers. Close ends it; so does the
// end of this process. Without QEMU, a kernel or memory for it the error is, or
// wraps, a *feature.UnsupportedError.
func Boot(ctx context.Context, o Options) (*VM, error) {
	o.CPUs, o.Memory, o.Cgroup = cmp.Or(o.CPUs, 2), cmp.Or(o.Memory, 1024), cmp.Or(o.Cgroup, "v2")
	o.QEMU, o.Silence = cmp.Or(o.QEMU, "qemu-system-x86_64"), cmp.Or(o.Silence, 2*time.Minute)
	if err := o.lack(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "anole-vm-")
	if err != nil {
		return nil, err
	}
	v := &VM{dir: dir, silence: o.Silence, console: &console{}, dead: make(chan struct{}), closed: make(chan struct{}), in: make(chan wire.Message)}
	if err := v.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("boot %s: %w", o.Kernel, err), v.Close())
	}
	return v, nil
}

func (v *VM) start(ctx context.Context, o Options) error {
	initrd, socket := filepath.Join(v.dir, "initrd"), filepath.Join(v.dir, "port")
	disk, err := image(&o)
	if err == nil {
		err = os.WriteFile(initrd, disk, 0o600)
	}
	if err == nil && o.Console != "" {
		v.console.file, err = os.Create(o.Console)
	}
	if err != nil {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	defer l.Close()
	if o.Accel == "" {
		o.Accel = Accelerator(ctx, o.QEMU)
	}
	v.cmd = exec.Command(o.QEMU, o.args(initrd, socket)...)
	v.cmd.Stdout, v.cmd.Stderr = v.console, v.console
	if err := v.launch(); err != nil {
		return err
	}
	go func() { <-v.dead; _ = l.Close() }()
	if v.conn, err = l.Accept(); err != nil {
		return fmt.Errorf("QEMU ended: %w%s", err, v.console)
	}
	v.out = gob.NewEncoder(v.conn)
	go v.listen()
	return v.hello(ctx)
}

// launch starts QEMU in a group of its own, so that a ^C is for those who ask
// it for things, and has it killed with this process: by the thread that
// started it, which is therefore kept.
func (v *VM) launch() error {
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := v.cmd.Start()
		started <- err
		if err == nil {
			_ = v.cmd.Wait()
		}
		close(v.dead)
	}()
	return <-started
}

func (v *VM) hello(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, errors.New("it did not answer within three minutes"))
	defer cancel()
	for {
		select {
		case m, ok := <-v.in:
			if !ok {
				return fmt.Errorf("the guest is gone%s", v.console)
			}
			if m.Kind == wire.Hello {
				v.Release = m.Text
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("wait for the guest: %w%s", context.Cause(ctx), v.console)
		}
	}
}

func (o *Options) args(initrd, socket string) []string {
	return append(base(o.Accel),
		"-smp", strconv.Itoa(o.CPUs), "-m", strconv.Itoa(o.Memory), "-no-reboot", "-serial", "stdio",
		"-chardev", "socket,id=port,path="+socket, "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=port,name="+wire.Port,
		"-kernel", filepath.Join(o.Kernel, "vmlinuz"), "-initrd", initrd,
		// Without the check of the timer: an emulator that gets no CPU for a while fails it.
		"-append", "console=ttyS0 quiet panic=-1 oops=panic no_timer_check psi=1 anole.cgroup="+o.Cgroup,
	)
}

// listen takes what the guest says. A heartbeat is for who waits, if any.
func (v *VM) listen() {
	defer close(v.in)
	in := gob.NewDecoder(v.conn)
	for {
		var m wire.Message
		if err := in.Decode(&m); err != nil {
			return
		}
		if m.Kind == wire.Beat {
			select {
			case v.in <- m:
			default:
			}
			continue
		}
		select {
		case v.in <- m:
		case <-v.closed:
			return
		}
	}
}

// ask sends one message and takes the answer; a program's output goes to p.
func (v *VM) ask(ctx context.Context, m wire.Message, p *Program) (wire.Message, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.lost != nil {
		return m, v.lost
	}
	if err := v.say(m); err != nil {
		return m, v.lose(err)
	}
	w := newWatch(v, p.Quiet)
	defer w.stop()
	for {
		select {
		case a, ok := <-v.in:
			if !ok {
				return m, v.lose(fmt.Errorf("the guest is gone%s", v.console))
			}
			w.heard(a)
			switch {
			case a.Kind == wire.Beat:
			case a.Kind == wire.Done && a.Text != "":
				return a, errors.New(a.Text)
			case a.Kind == wire.Done:
				return a, w.err
			case a.Err:
				_, _ = p.Stderr.Write(a.Data) // who does not listen does not stop it
			default:
				_, _ = p.Stdout.Write(a.Data)
			}
		case <-w.silent.C:
			return m, v.lose(fmt.Errorf("the guest hangs: no heartbeat for %s%s", v.silence, v.console))
		case <-w.quiet.C:
			if !w.press() {
				return m, v.lose(fmt.Errorf("%w, and it does not die%s", w.err, v.console))
			}
		case <-ctx.Done():
			return m, v.lose(fmt.Errorf("wait for the guest: %w", context.Cause(ctx)))
		}
	}
}

func (v *VM) say(m wire.Message) error {
	_ = v.conn.SetWriteDeadline(time.Now().Add(v.silence))
	if err := v.out.Encode(m); err != nil {
		return fmt.Errorf("the guest is gone: %w%s", err, v.console)
	}
	return nil
}

func (v *VM) lose(err error) error {
	v.lost = err
	return err
}

// Put writes a file in the guest, and the directories above it.
func (v *VM) Put(ctx context.Context, path string, mode os.FileMode, data []byte) error {
	_, err := v.ask(ctx, wire.Message{Kind: wire.Put, Path: path, Mode: uint32(mode), Data: data}, &Program{})
	return err
}

// Get reads a file of the guest.
func (v *VM) Get(ctx context.Context, path string) ([]byte, error) {
	a, err := v.ask(ctx, wire.Message{Kind: wire.Get, Path: path}, &Program{})
	return a.Data, err
}

// Program is what Run runs.
type Program struct {
	Argv, Env      []string
	Dir            string
	Stdout, Stderr io.Writer // discarded when nil
	// Quiet is how long it may print nothing. Then its goroutines (SIGQUIT) and
	// the kernel's tasks (on the console) are dumped, and Run gives an error. 0
	// is for ever.
	Quiet time.Duration
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
	a, err := v.ask(ctx, wire.Message{Kind: wire.Run, Argv: p.Argv, Env: p.Env, Dir: p.Dir}, &p)
	return a.Code, err
}

// Close ends the machine.
func (v *VM) Close() error {
	close(v.closed)
	if v.conn != nil {
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
	return errors.Join(v.console.close(), os.RemoveAll(v.dir))
}
