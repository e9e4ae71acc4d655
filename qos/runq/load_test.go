package runq

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// The test binary is also its own children: with pongEnv set the half of a
// ping-pong, with tracerEnv a process that holds a Tracer.
const (
	pongEnv   = "ANOLE_RUNQ_TEST_PONG"
	tracerEnv = "ANOLE_RUNQ_TEST_TRACER"
)

func TestMain(m *testing.M) {
	if os.Getenv(tracerEnv) != "" {
		holdTracer()
	}
	if os.Getenv(pongEnv) != "" {
		runtime.LockOSThread()
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent has placed us
		pong()
	}
	os.Exit(m.Run())
}

// pong hands each byte from fd 3 on to fd 4, with blocking system calls.
func pong() {
	var b [1]byte
	for {
		if n, err := syscall.Read(3, b[:]); n != 1 || err != nil {
			os.Exit(0)
		}
		if _, err := syscall.Write(4, b[:]); err != nil {
			os.Exit(0)
		}
	}
}

// startSpinner runs a process of one thread that never sleeps.
func startSpinner(t testing.TB, cgroup string, cpu int) (pid int) {
	t.Helper()
	return start(t, exec.Command("sh", "-c", "read x; while :; do :; done"), cgroup, cpu)
}

// startPingPong runs two processes that wake each other as fast as they can.
func startPingPong(t testing.TB, cgroup string, cpu int) {
	t.Helper()
	var r, w [2]*os.File
	for i := range r {
		p := make([]int, 2)
		if err := syscall.Pipe2(p, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		r[i], w[i] = os.NewFile(uintptr(p[0]), "r"), os.NewFile(uintptr(p[1]), "w")
		defer r[i].Close()
		defer w[i].Close()
	}
	for i := range r {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), pongEnv+"=1", "GOMAXPROCS=1")
		cmd.ExtraFiles = []*os.File{r[i], w[1-i]}
		start(t, cmd, cgroup, cpu)
	}
	if _, err := w[0].Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
}

// start runs cmd in the cgroup directory, on cpu or, when that is -1, on any,
// until the test ends. The child waits for a line on its standard input, so
// that nothing of its work happens elsewhere.
func start(t testing.TB, cmd *exec.Cmd, cgroup string, cpu int) (pid int) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	pid = cmd.Process.Pid
	if err := os.WriteFile(cgroup+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
	if cpu >= 0 {
		pin(t, pid, cpu)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
	return pid
}

// pin binds every thread of the process to the CPU.
func pin(t testing.TB, pid, cpu int) {
	t.Helper()
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
}

// schedstat sums up, over all threads of the processes, what the kernel counts
// itself as time on run queues (Documentation/scheduler/sched-stats.rst).
func schedstat(t testing.TB, pids []int) (wait time.Duration) {
	t.Helper()
	for _, pid := range pids {
		files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if errors.Is(err, os.ErrNotExist) {
				testkit.Need(t, &feature.UnsupportedError{Feature: "schedstat", Reason: feature.NoKernel, Need: "CONFIG_SCHED_INFO"})
			}
			var run, w time.Duration
			if _, err := fmt.Sscan(string(b), &run, &w); err != nil {
				t.Fatalf("%s: %q: %v", f, b, err)
			}
			wait += w
		}
	}
	return wait
}
