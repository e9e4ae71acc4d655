package qos

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
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

// lockAs has a user hold the lock.
func lockAs(t *testing.T, uid uint32, path string) *exec.Cmd {
	t.Helper()
	script := `$| = 1; open(F, "<", $ARGV[0]) && flock(F, 6) or die $!; print "locked\n"; sleep 1000`
	cmd := exec.Command(testkit.NeedTool(t, "perl"), "-e", script, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("lock %s: %q, %v", path, line, err)
	}
	return cmd
}
