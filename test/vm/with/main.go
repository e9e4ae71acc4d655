// With boots a virtual machine, runs a command that uses it by test/vm/exec, and
// gives the command's exit code:
//
//	with [-kernel 6.1] [-cgroup v2] [-dir .cache/vm] [-init bin/vm/guest] -- go test -exec … ./…
//
// The kernels, busybox and QEMU come from `scripts/vm.sh setup`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/anole-os/anole/test/vm"
)

func main() {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "with:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run() (int, error) {
	kernel := flag.String("kernel", "6.1", "Debian's kernel: a directory below -dir")
	cgroup := flag.String("cgroup", "v2", "v2, or v1: hybrid with the controllers on v1")
	dir := flag.String("dir", ".cache/vm", "where scripts/vm.sh setup put things")
	init := flag.String("init", "bin/vm/guest", "the built test/vm/guest")
	flag.Parse()
	if flag.NArg() == 0 {
		return 2, errors.New("no command")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	began := time.Now()
	v, err := vm.Boot(ctx, vm.Options{
		Kernel: filepath.Join(*dir, *kernel), Busybox: filepath.Join(*dir, "busybox"), Init: *init, Cgroup: *cgroup,
	})
	if err != nil {
		return 1, err
	}
	defer v.Close()
	fmt.Fprintf(os.Stderr, "with: Linux %s, cgroup %s, booted in %.1f s\n", v.Release, *cgroup, time.Since(began).Seconds())
	return serve(ctx, v)
}

func serve(ctx context.Context, v *vm.VM) (int, error) {
	tmp, err := os.MkdirTemp("", "anole-vm-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(tmp)
	socket := filepath.Join(tmp, "exec")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return 1, err
	}
	served := make(chan error, 1)
	go func() { served <- v.Serve(ctx, l) }()
	cmd := exec.CommandContext(ctx, flag.Arg(0), flag.Args()[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), vm.SocketEnv+"="+socket)
	err = cmd.Run()
	_ = l.Close()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
