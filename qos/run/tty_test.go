package run

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
)

// jobsMain is a shell with job control, as far as it takes: it runs a runner in
// the foreground of its terminal, says when it stopped, continues it, and ends
// it. It writes to descriptor 3.
func jobsMain(args []string) error {
	out := os.NewFile(3, "log")
	cmd := exec.Command(exe(), "t-runner", args[0])
	cmd.Stdout, cmd.Stderr, cmd.Stdin = out, out, os.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	for {
		var ws unix.WaitStatus
		if _, err := wait4(pid, &ws, unix.WUNTRACED); err != nil {
			return err
		}
		if !ws.Stopped() {
			fmt.Fprintf(out, "exit %d\n", ws.ExitStatus())
			return nil
		}
		fmt.Fprintln(out, "stopped")
		if err := unix.Kill(-pid, unix.SIGCONT); err != nil {
			return err
		}
		if err := unix.Kill(pid, unix.SIGTERM); err != nil {
			return err
		}
	}
}

// terminals opens a pair of a pseudo terminal.
func terminals(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "pseudo terminals", Reason: feature.NoKernel, Need: "/dev/ptmx", Err: err})
	}
	master = os.NewFile(uintptr(fd), "ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = master.Close(), slave.Close() })
	return master, slave
}

// What is typed reaches the command once, and a stop reaches the shell.
func TestTerminal(t *testing.T) {
	node(t)
	master, slave := terminals(t)
	o := order{Class: class.LS, Name: uniqueName(), RunDir: t.TempDir(), Argv: self("t-count")}
	arg, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	log := newLines(t)
	shell := exec.Command(exe(), "t-jobs", string(arg))
	shell.Stdin, shell.Stdout, shell.Stderr, shell.ExtraFiles = slave, slave, slave, []*os.File{log.f}
	shell.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = shell.Process.Kill()
		_ = shell.Wait()
		eventually(t, "nothing is left", func() bool { return len(directories(o.Name)) == 0 })
		nothingLeft(t, o.Name, o.RunDir)
	})
	log.until(t, "ready")
	typed := func(s string) {
		if _, err := master.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	typed("\x03")
	log.until(t, "got interrupt\n")
	typed("\x1c")
	log.until(t, "got quit\n")
	typed("\x1a")
	log.until(t, "stopped\n") // it is continued, and gets SIGTERM through the runner
	log.until(t, "exit 7\n")
	if out := log.text(); strings.Count(out, "got interrupt") != 1 || strings.Count(out, "got quit") != 1 || strings.Count(out, "got terminated") != 1 {
		t.Errorf("not once each:\n%s", out)
	}
}
