package run

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
)

// launch starts the command in its cgroups and gives its process id when it
// executes. The error is an *ExecError when the command itself is at fault.
func (r *runner) launch(path string) (pid int, err error) {
	v1, v2 := r.site.dirsOf(cgroup.V1), r.site.dirsOf(cgroup.V2)
	attr := &syscall.ProcAttr{Dir: r.o.Dir, Env: r.o.Env, Files: files(r.o.Stdin, r.o.Stdout, r.o.Stderr), Sys: &syscall.SysProcAttr{}}
	defer runtime.KeepAlive(r.o)
	if len(v2) == 1 {
		fd, err := unix.Open(v2[0], unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			return 0, fmt.Errorf("open cgroup %s: %w", v2[0], err)
		}
		defer unix.Close(fd)
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, fd
		if pid, err = r.direct(path, v1, attr); !errors.Is(err, errNoClone3) {
			return pid, err
		}
		attr.Sys = &syscall.SysProcAttr{}
	}
	return r.staged(path, append(v1, v2...), attr)
}

// errNoClone3 says that the kernel, or a seccomp filter, has no clone3 with
// CLONE_INTO_CGROUP (Linux 5.7).
var errNoClone3 = errors.New("no clone3")

// direct has the kernel put the new process into its v2 cgroup; those of v1
// need the stage all the same.
func (r *runner) direct(path string, v1 []string, attr *syscall.ProcAttr) (pid int, err error) {
	if len(v1) > 0 {
		pid, err = r.staged(path, v1, attr)
	} else {
		pid, err = syscall.ForkExec(path, r.o.Argv, attr)
	}
	switch {
	case err == nil:
		return pid, nil
	case errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.E2BIG) && len(v1) > 0, errors.Is(err, syscall.EOPNOTSUPP):
		return 0, errNoClone3
	case len(v1) > 0:
		return 0, err
	}
	switch err {
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EBUSY, syscall.ENODEV, syscall.EINVAL: // of clone3
		return 0, fmt.Errorf("start command in cgroup: %w", err)
	}
	return 0, &ExecError{Path: path, Err: err}
}

// staged starts the stage, which joins the cgroups and becomes the command.
func (r *runner) staged(path string, join []string, attr *syscall.ProcAttr) (pid int, err error) {
	if len(r.o.Stage) == 0 {
		return 0, errors.New("check options: Stage is needed on cgroup v1")
	}
	in, out, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make status pipe: %w", err)
	}
	defer in.Close()
	defer out.Close()
	slices.Reverse(join) // cpu last: its quota must not hold up the stage itself
	a := stageArgs{join: join, status: len(attr.Files), path: path, argv: r.o.Argv}
	with := *attr
	with.Files = slices.Concat(attr.Files, []uintptr{out.Fd()})
	pid, err = syscall.ForkExec(r.o.Stage[0], append(r.o.Stage[:len(r.o.Stage):len(r.o.Stage)], a.encode()...), &with)
	if err != nil {
		return 0, fmt.Errorf("start stage %s: %w", r.o.Stage[0], err)
	}
	_ = out.Close()
	if err := readReport(in, path); err != nil {
		var ws unix.WaitStatus
		_, _ = wait4(pid, &ws, 0)
		return 0, err
	}
	return pid, nil
}

// files lists the descriptors of the command: its streams, and whatever else
// this process inherited to pass on (a shell's 3<file), each under its own
// number. Package os opens everything close-on-exec, so that only inherited
// ones are left.
func files(std ...*os.File) []uintptr {
	var out []uintptr
	for _, f := range std {
		out = append(out, f.Fd())
	}
	for _, fd := range inherited() {
		for len(out) < fd {
			out = append(out, ^uintptr(0)) // closed, as it is here
		}
		out = append(out, uintptr(fd))
	}
	return out
}

// inherited lists the descriptors above 2 that are not close-on-exec, sorted.
func inherited() []int {
	entries, _ := os.ReadDir("/proc/self/fd")
	most := 2
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			most = max(most, n)
		}
	}
	var out []int
	for fd := 3; fd <= most; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			out = append(out, fd)
		}
	}
	return out
}

func wait4(pid int, ws *unix.WaitStatus, options int) (int, error) {
	for {
		n, err := unix.Wait4(pid, ws, options, nil)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
