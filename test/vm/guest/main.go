// Guest is the first process of a test's virtual machine: it mounts what the
// tests need, and then writes files and runs programs as the host asks over a
// virtio serial port. It is of no use anywhere else.
package main

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/test/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest is the init of a test's virtual machine and nothing else")
		os.Exit(2)
	}
	if err := serve(); err != nil {
		fmt.Println("guest:", err) // the console, which the host shows when a machine dies
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

func serve() error {
	if err := leaveRootFS(); err != nil {
		return err
	}
	if err := mounts(); err != nil {
		return err
	}
	for _, m := range []string{"virtio_pci", "virtio_console"} {
		if out, err := exec.Command("/bin/modprobe", m).CombinedOutput(); err != nil {
			return fmt.Errorf("load module %s: %w: %s", m, err, out)
		}
	}
	if err := loopback(); err != nil {
		return err
	}
	port, err := openPort()
	if err != nil {
		return err
	}
	defer port.Close()
	g := &guest{out: gob.NewEncoder(port)}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	if err := g.send(wire.Message{Kind: wire.Hello, Text: unix.ByteSliceToString(u.Release[:])}); err != nil {
		return err
	}
	go g.beat()
	in := gob.NewDecoder(port)
	for {
		var m wire.Message
		if err := in.Decode(&m); err != nil {
			return fmt.Errorf("read from host: %w", err)
		}
		switch m.Kind {
		case wire.Off:
			return nil
		case wire.Dump:
			g.dump()
		case wire.Kill:
			_ = unix.Kill(-1, unix.SIGKILL)
		case wire.Run: // the host asks one thing at a time, but for the above
			go func() { _ = g.send(g.do(&m)) }()
		default:
			if err := g.send(g.do(&m)); err != nil {
				return err
			}
		}
	}
}

// beat shows the host that this machine is alive.
func (g *guest) beat() {
	for range time.Tick(time.Second) {
		_ = g.send(wire.Message{Kind: wire.Beat})
	}
}

// dump has the kernel tell on the console what its tasks wait for and what the
// CPUs do, and the program print its goroutines, which ends it.
func (g *guest) dump() {
	_ = os.WriteFile("/proc/sys/kernel/printk", []byte("8"), 0)
	for _, key := range []string{"w", "l", "t"} { // Documentation/admin-guide/sysrq.rst
		_ = os.WriteFile("/proc/sysrq-trigger", []byte(key), 0)
	}
	if pid := g.pid.Load(); pid > 0 {
		_ = unix.Kill(int(pid), unix.SIGQUIT)
	}
}

// leaveRootFS makes the initial RAM disk a mount of its own: its kind of root
// cannot be left by pivot_root(2), which container runtimes do.
func leaveRootFS() error {
	const at = "/sys" // empty yet
	if err := unix.Mount("/", at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind the root: %w", err)
	}
	if err := os.Chdir(at); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	return os.Chdir("/")
}

// mount is one file system.
type mount struct{ what, on, opts string }

func mounts() error {
	list := []mount{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", ""}, {"tmpfs", "/tmp", ""}, {"tmpfs", "/run", ""},
		{"devpts", "/dev/pts", ""}, {"tmpfs", "/dev/shm", ""}, {"bpf", "/sys/fs/bpf", ""}, {"tracefs", "/sys/kernel/tracing", ""},
	}
	for _, m := range list {
		if err := m.do(); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} { // crun reads its input there
		if err := os.Symlink(to, "/dev/"+name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	if strings.Contains(string(cmdline), "anole.cgroup=v1") {
		return cgroupV1()
	}
	if err := (mount{"cgroup2", "/sys/fs/cgroup", ""}).do(); err != nil {
		return err
	}
	return handDown("/sys/fs/cgroup")
}

// handDown enables all controllers for the groups below the root, as systemd
// does for those that its units ask for.
func handDown(dir string) error {
	names, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(names)) {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0); err != nil {
			return fmt.Errorf("hand down the controller %s: %w", c, err)
		}
	}
	return nil
}

func (m mount) do() error {
	if err := os.MkdirAll(m.on, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(m.what, m.on, m.what, 0, m.opts); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s on %s: %w", m.what, m.on, err)
	}
	return nil
}

// cgroupV1 mounts each controller of its own, and cgroup2 without controllers
// beside, as a systemd host in hybrid mode has it.
func cgroupV1() error {
	if err := (mount{"tmpfs", "/sys/fs/cgroup", "mode=755"}).do(); err != nil {
		return err
	}
	for _, c := range []string{"cpu,cpuacct", "cpuset", "memory", "blkio", "devices", "freezer", "pids", "net_cls,net_prio", "perf_event"} {
		at := "/sys/fs/cgroup/" + c
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
		if err := unix.Mount("cgroup", at, "cgroup", 0, c); err != nil { // not built in, or a module
			_ = os.Remove(at)
			continue
		}
		if one, _, many := strings.Cut(c, ","); many {
			_ = os.Symlink(c, "/sys/fs/cgroup/"+one)
			_, two, _ := strings.Cut(c, ",")
			_ = os.Symlink(c, "/sys/fs/cgroup/"+two)
		}
	}
	at := "/sys/fs/cgroup/unified"
	return mount{"cgroup2", at, ""}.do()
}

// loopback brings the interface lo up.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r)
}

// openPort waits for the port that carries wire.Port as its name.
func openPort() (*os.File, error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, n := range names {
			if b, _ := os.ReadFile(n); strings.TrimSpace(string(b)) == wire.Port {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(n)), os.O_RDWR, 0)
			}
		}
	}
	return nil, errors.New("no virtio serial port called " + wire.Port + " came up within a minute")
}

type guest struct {
	mu  sync.Mutex
	out *gob.Encoder
	pid atomic.Int64 // of the program that runs
}

func (g *guest) send(m wire.Message) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out.Encode(m)
}

func (g *guest) do(m *wire.Message) wire.Message {
	answer := wire.Message{Kind: wire.Done}
	var err error
	switch m.Kind {
	case wire.Put:
		err = put(m)
	case wire.Get:
		answer.Data, err = os.ReadFile(m.Path)
	case wire.Run:
		answer.Code, err = g.run(m)
	default:
		err = fmt.Errorf("a message of kind %d", m.Kind)
	}
	if err != nil {
		answer.Text = err.Error()
	}
	return answer
}

func put(m *wire.Message) error {
	if err := os.MkdirAll(filepath.Dir(m.Path), 0o755); err != nil {
		return err
	}
	if fs.FileMode(m.Mode).IsDir() {
		return os.MkdirAll(m.Path, 0o755)
	}
	_ = os.Remove(m.Path) // it may be a program that runs still
	return os.WriteFile(m.Path, m.Data, fs.FileMode(m.Mode))
}

// run runs a program and gives its exit code. The first process of a machine
// inherits all orphans and must collect them at once, or what waits for their
// end waits for ever; so it waits for any child, and not only for its own.
func (g *guest) run(m *wire.Message) (int, error) {
	cmd := exec.Command(m.Argv[0], m.Argv[1:]...)
	cmd.Env, cmd.Dir = m.Env, m.Dir
	cmd.Stdout, cmd.Stderr = stream{g, false}, stream{g, true}
	cmd.WaitDelay = time.Second // an orphan may hold the pipes
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	g.pid.Store(int64(cmd.Process.Pid))
	defer g.pid.Store(0)
	var ws unix.WaitStatus
	for {
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 127, err
		}
		if pid == cmd.Process.Pid {
			break
		}
	}
	_ = cmd.Wait() // ECHILD; it waits for the pipes
	if ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return ws.ExitStatus(), nil
}

// stream sends what is written to it to the host.
type stream struct {
	g   *guest
	err bool
}

var _ io.Writer = stream{}

func (s stream) Write(p []byte) (int, error) {
	return len(p), s.g.send(wire.Message{Kind: wire.Out, Data: bytes.Clone(p), Err: s.err})
}
