package qos

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/test/fault/groups"
)

// Two agents with state directories of their own would undo each other's writes
// for ever: the second does not start, and says who is in its way.
func TestKernelOneEngineOnANode(t *testing.T) {
	n := groups.Open(t)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	try := func() error {
		e, err := Open(Options{Journal: j})
		if err == nil {
			err = e.Close()
		}
		return err
	}
	other := lockAs(t, 0, n.Tree.Mount("cpu"))
	if err := try(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", other.Process.Pid)) {
		t.Errorf("while process %d has the node: %v", other.Process.Pid, err)
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	if err := try(); err != nil {
		t.Errorf("after it ended: %v", err)
	}
	// Anyone may lock what he can read: that keeps nobody out.
	lockAs(t, 65534, n.Tree.Mount("cpu"))
	if err := try(); err != nil {
		t.Errorf("while another user has a lock: %v", err)
	}
}

// lockEnv has TestLock hold a lock on the file that it names.
const lockEnv = "ANOLE_LOCK"

// TestLock is the other process of TestKernelOneEngineOnANode.
func TestLock(t *testing.T) {
	path := os.Getenv(lockEnv)
	if path == "" {
		return // run as a test
	}
	f, err := os.Open(path)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	fmt.Println("locked:", err)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or its parent ends
}

// lockAs has a user hold the lock. The program is this one, by a name that
// needs no right to its directory.
func lockAs(t *testing.T, uid uint32, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestLock$")
	cmd.Env = append(os.Environ(), lockEnv+"="+path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.StdoutPipe()
	if err == nil {
		_, err = cmd.StdinPipe()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked: <nil>\n" {
		t.Fatalf("lock %s: %q, %v", path, line, err)
	}
	return cmd
}
