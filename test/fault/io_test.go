package fault

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
)

func init() { roles["io"] = holdIO }

const diskEnv = "ANOLE_FAULT_DISK"

// holdIO is an agent that finds each latency-sensitive request on one disk too
// slow, says so once it limited best-effort IO there, and changes its mind from
// then on.
func holdIO(dir, prefix string) error {
	p := policy(prefix)
	strict := yamlx.Duration(time.Microsecond)
	p.IO.Devices = []qos.IODevice{{Match: os.Getenv(diskEnv), Use: "auto", Latency: &strict}}
	j, err := journal.Open(dir)
	if err != nil {
		return err
	}
	if rep := j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 {
		return rep.Failed[0]
	}
	e, err := qos.Open(qos.Options{Journal: j, Policy: &p})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 2))
	for said := false; ; time.Sleep(time.Millisecond) {
		e.Step(time.Now())
		if !said && wroteIO(e) {
			said = true
			fmt.Println("ready")
		}
		if said && rng.IntN(3) == 0 {
			p.IO.Devices = []qos.IODevice{{Match: os.Getenv(diskEnv), Use: []string{"auto", "off"}[rng.IntN(2)], Latency: &strict}}
			if err := e.SetPolicy(p); err != nil {
				return err
			}
		}
	}
}

func wroteIO(e *qos.Engine) bool {
	for _, d := range e.Status().Decisions {
		if d.Controller == "io" && d.Result == "ok" {
			return true
		}
	}
	return false
}

// After kill -9 while lines of a disk are written and taken back, the next start
// leaves them as they were, an operator's own among them.
func TestKillWhileIOIsHeld(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	d := disks.Any(t)
	ls, be := n.Make("ls.service"), n.Make("be.service")
	if n.Unified() {
		be.Write("io.max", d.Number+" rbps=77000000")
	} else {
		be.Write("blkio.throttle.read_bps_device", d.Number+" 77000000")
	}
	was := groups.Snapshot(ls, be)
	ls.Run("sh", "-c", d.Reader())
	be.Run("sh", "-c", d.Writer())
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	undone := 0
	for round := range 12 {
		cmd := child(t, "io", dir, n)
		cmd.Env = append(cmd.Env, diskEnv+"="+d.Name)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "ready" {
			t.Fatalf("round %d: %q, %v", round, line, err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond)))) // the moment that it dies at
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		undone += restore(t, dir).Restored
		if diff := groups.Differ(was, groups.Snapshot(ls, be)); len(diff) > 0 {
			t.Fatalf("round %d: not as it was:\n%s", round, strings.Join(diff, "\n"))
		}
	}
	t.Logf("%d lines put back", undone)
	if undone == 0 {
		t.Error("no kill left anything to undo: this tests nothing")
	}
}
