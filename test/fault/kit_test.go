package fault

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

// childEnv names the role in which the test binary runs itself again.
const childEnv = "ANOLE_FAULT_CHILD"

var roles = map[string]func(dir, prefix string) error{}

func TestMain(m *testing.M) {
	role := roles[os.Getenv(childEnv)]
	if role == nil {
		os.Exit(m.Run())
	}
	if err := role(os.Getenv("ANOLE_FAULT_DIR"), os.Getenv("ANOLE_FAULT_PREFIX")); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// child prepares the test binary in a role.
func child(t *testing.T, role, dir string, n *groups.Node) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+role, "ANOLE_FAULT_DIR="+dir, "ANOLE_FAULT_PREFIX="+n.Prefix)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// answer runs the role to its end and gives what it printed.
func answer(t *testing.T, cmd *exec.Cmd) []string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var lines []string
	for sc := bufio.NewScanner(strings.NewReader(string(out))); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return lines
}

// policy classes the groups of one test by their names and leaves the rest of
// the node alone.
func policy(prefix string) qos.Policy {
	p := qos.DefaultPolicy()
	p.Rules = []qos.Rule{
		{Match: workload.Match{Path: prefix + "ls*"}, Class: class.LS},
		{Match: workload.Match{Path: prefix + "be*"}, Class: class.BE},
		{Match: workload.Match{Path: "/**"}, Class: class.None},
	}
	p.Control.RunQueue, p.Control.PressureFrom, p.IO.Use = "off", "off", "off"
	p.Control.RunQueueP99, p.Control.Pressure, p.Control.Throttled = 0, 0, 0
	p.Control.Interval = yamlx.Duration(20 * time.Millisecond)
	p.Control.Deadband = 1
	return p
}

// engine opens an Engine and its journal; done closes both.
func engine(dir string, p qos.Policy, fault func(path, value string) error) (e *qos.Engine, j *journal.Journal, err error) {
	if j, err = journal.Open(dir); err != nil {
		return nil, nil, err
	}
	if e, err = qos.Open(qos.Options{Journal: j, Policy: &p, Fault: fault}); err != nil {
		_ = j.Close()
		return nil, nil, err
	}
	return e, j, nil
}

// restore does what the next start of the agent does.
func restore(t *testing.T, dir string) journal.Report {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	rep := j.Restore(context.Background(), cgroup.Undo)
	for _, err := range rep.Failed {
		t.Error(err)
	}
	if left := j.Pending(); len(left) > 0 {
		t.Errorf("%d entries left", len(left))
	}
	return rep
}

// until steps until the condition holds, generously.
func until(t *testing.T, e *qos.Engine, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within 30 s: %s\n%+v", what, e.Status())
		}
		e.Step(time.Now())
		time.Sleep(5 * time.Millisecond)
	}
}

func same(t *testing.T, was map[string]string, gs ...*groups.Group) {
	t.Helper()
	if diff := groups.Differ(was, groups.Snapshot(gs...)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
}

func degraded(e *qos.Engine, part string) (out []string) {
	for _, d := range e.Status().Degraded {
		if strings.Contains(d.Feature, part) {
			out = append(out, d.Feature+": "+d.Detail)
		}
	}
	return out
}
