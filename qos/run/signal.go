package run

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that the runner passes on. Left out are those that
// cannot be caught, those that the kernel raises for the process's own faults,
// SIGCHLD, SIGPIPE, SIGTTIN and SIGTTOU, which concern the runner alone, and
// SIGURG, which the Go runtime uses.
func forwarded() []os.Signal {
	out := []os.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGCONT, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGPWR, syscall.SIGIO,
	}
	for n := syscall.Signal(34); n <= 64; n++ { // SIGRTMIN to SIGRTMAX of the C library
		out = append(out, n)
	}
	kept := out[:0]
	for _, s := range out {
		if !signal.Ignored(s) { // nohup: the command inherits that, and catching would end it
			kept = append(kept, s)
		}
	}
	return kept
}

// child is the command's process. Signals and the reaping of it exclude each
// other, so that none goes to a process that got the same id later.
type child struct {
	pid  int
	mu   sync.Mutex // guards gone, and the wait that sets it
	gone bool
}

// signal sends a signal if the process is not reaped yet.
func (c *child) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		_ = unix.Kill(c.pid, s)
	}
}

// forward passes a signal on unless the command had it from the terminal: the
// kernel sends what is typed, and a change of size, to the whole foreground
// process group, which the command shares with the runner. Go does not tell
// where a signal came from; so a SIGINT, SIGQUIT, SIGTSTP or SIGWINCH that
// another process sends to the runner alone, while it is in the foreground of a
// terminal, is not passed on.
func (c *child) forward(s syscall.Signal) {
	switch s {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTSTP, syscall.SIGWINCH:
		if foreground() && c.sharesGroup() {
			return
		}
	}
	c.signal(s)
}

func (c *child) sharesGroup() bool {
	g, err := unix.Getpgid(c.pid)
	return err == nil && g == unix.Getpgrp()
}

// wait blocks until the process ends. When the process is stopped under a
// terminal's job control, the runner stops itself too, so that the shell which
// waits for the runner sees the job stopped; it goes on when the shell
// continues the process group.
func (c *child) wait() (unix.WaitStatus, error) {
	for {
		for {
			if err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil); err != unix.EINTR {
				if err != nil {
					return 0, err
				}
				break
			}
		}
		ws, err := c.reap()
		if err != nil || ws.Exited() || ws.Signaled() {
			return ws, err
		}
		if ws.Stopped() && hasTerminal() && c.sharesGroup() {
			_ = unix.Kill(unix.Getpid(), unix.SIGSTOP)
		}
	}
}

func (c *child) reap() (ws unix.WaitStatus, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := wait4(c.pid, &ws, unix.WUNTRACED|unix.WNOHANG)
	if n == 0 { // it was stopped and goes on already
		return 0xffff, err // wait(2)'s word for continued
	}
	c.gone = err != nil || ws.Exited() || ws.Signaled()
	return ws, err
}

// attend passes signals on and ends the command when the context is done,
// until stop closes.
func (r *runner) attend(ctx context.Context, c *child, signals <-chan os.Signal, stop <-chan struct{}) {
	cancelled := done(ctx)
	var kill <-chan time.Time
	for {
		select {
		case <-stop:
			return
		case s := <-signals:
			if n, ok := s.(syscall.Signal); ok {
				c.forward(n)
			}
		case <-cancelled:
			cancelled = nil
			c.signal(syscall.SIGTERM)
			kill = time.After(r.o.Grace)
		case <-kill:
			kill = nil
			c.signal(syscall.SIGKILL)
		}
	}
}

// foreground says whether this process is in the foreground group of its
// controlling terminal. It is asked anew each time: a terminal can change hands,
// and hang up.
func foreground() bool {
	g, ok := foregroundGroup()
	return ok && g == unix.Getpgrp()
}

func hasTerminal() bool {
	_, ok := foregroundGroup()
	return ok
}

func foregroundGroup() (int, bool) {
	fd, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	g, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return g, err == nil
}
