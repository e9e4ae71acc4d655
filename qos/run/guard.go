package run

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"
)

// leave is what a runner tells its guard when there is nothing left to do.
const leave = 'q'

// guard is the runner's end of a guard process.
type guard struct {
	cmd   *exec.Cmd
	pipe  *os.File // the guard's standard input; only this process has it
	ready *os.File
}

// startGuard starts the guard of the record at path. The guard holds nothing of
// the runner's: no terminal, streams, directory or session.
func startGuard(argv []string, record string) (*guard, error) {
	if len(argv) == 0 {
		return nil, nil
	}
	in, pipe, err := os.Pipe() // close-on-exec, as all pipes of package os: the command does not get it
	if err != nil {
		return nil, fmt.Errorf("make guard's pipe: %w", err)
	}
	defer in.Close()
	ready, out, err := os.Pipe()
	if err != nil {
		_ = pipe.Close()
		return nil, fmt.Errorf("make guard's pipe: %w", err)
	}
	defer out.Close()
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], record)...)
	cmd.Stdin, cmd.Stdout, cmd.Dir = in, out, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_, _ = pipe.Close(), ready.Close()
		return nil, fmt.Errorf("start guard: %w", err)
	}
	return &guard{cmd, pipe, ready}, nil
}

// await returns when the guard watches.
func (g *guard) await() error {
	if g == nil {
		return nil
	}
	defer g.ready.Close()
	_ = g.ready.SetReadDeadline(time.Now().Add(30 * time.Second))
	var b [1]byte
	if _, err := io.ReadFull(g.ready, b[:]); err != nil {
		return fmt.Errorf("start guard: it did not report: %w", err)
	}
	return nil
}

// dismiss lets the guard go. With done it has nothing left to do, else it
// cleans up what the runner could not.
func (g *guard) dismiss(done bool) {
	if g == nil {
		return
	}
	if done {
		_, _ = g.pipe.Write([]byte{leave})
	}
	_, _ = g.pipe.Close(), g.ready.Close()
	if !done {
		go func() { _ = g.cmd.Wait() }()
		return
	}
	hung := time.AfterFunc(5*time.Second, func() { _ = g.cmd.Process.Kill() }) // stopped by somebody
	defer hung.Stop()
	_ = g.cmd.Wait()
}

// GuardMain is the guard process: it blocks until the runner that started it
// ends, and removes the runner's workload if the runner did not get to. args is
// what Run appended to Options.Guard. Standard input and output are the
// runner's pipes. It ignores all signals that can be.
func GuardMain(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("guard: got %d arguments, want the path of a record", len(args))
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	// Held open from now on: a later record under the same name is another file.
	h, err := openRecord(args[0])
	if err != nil {
		return fmt.Errorf("guard: %w", err)
	}
	defer h.release()
	debug.FreeOSMemory() // it waits for as long as the command runs: hold little
	// A runner that does not hear of it any more is gone, and standard input says so.
	_, _ = os.Stdout.Write([]byte{leave})
	_ = os.Stdout.Close()
	var b [1]byte
	if n, _ := os.Stdin.Read(b[:]); n == 1 && b[0] == leave {
		return nil
	}
	return bury(h)
}

// bury removes the workload of a runner that is gone, unless that was done.
func bury(h *held) error {
	err := h.lock(true)
	if errors.Is(err, errGone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take over workload: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	r, err := h.read()
	if err != nil {
		return err
	}
	return h.clean(r, boot)
}
