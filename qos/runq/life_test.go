package runq

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

func TestReadAllocatesNothing(t *testing.T) {
	tr := open(t, Options{Unclassed: true})
	s := new(Snapshot)
	n := testing.AllocsPerRun(100, func() {
		if err := tr.Read(s); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("Read allocates %v times", n)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	eachSource(t, func(t *testing.T, source Source) {
		tr := open(t, Options{Source: source})
		var ids []ebpf.ProgramID
		for _, p := range tr.coll.Programs {
			info, err := p.Info()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			ids = append(ids, id)
		}
		if len(ids) != len(programs[source]) {
			t.Fatalf("%d programs loaded, want %d", len(ids), len(programs[source]))
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			poll(t, fmt.Sprintf("program %d gone", id), func() bool { return !loaded(id) })
		}
	})
}

func TestKilledProcessLeavesNothing(t *testing.T) {
	_ = open(t, Options{}).Close() // skips where it cannot work
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), tracerEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var id ebpf.ProgramID
	_, scanErr := fmt.Fscan(out, &id)
	if scanErr == nil && !loaded(id) {
		t.Error("the child's program is not in the kernel while the child lives")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if scanErr != nil {
		t.Fatal(scanErr)
	}
	poll(t, fmt.Sprintf("program %d gone", id), func() bool { return !loaded(id) })
}

// holdTracer is the child: it opens a Tracer, says its program's id and waits
// to be killed.
func holdTracer() {
	tr, err := Open(Options{})
	if err != nil {
		os.Exit(3)
	}
	info, err := tr.coll.Programs["stamp_switch"].Info()
	if err != nil {
		os.Exit(4)
	}
	id, _ := info.ID()
	fmt.Println(id)
	_ = tr.Read(new(Snapshot))
	time.Sleep(10 * patience)
}

// loaded tells whether the kernel knows a program of this id.
func loaded(id ebpf.ProgramID) bool {
	p, err := ebpf.NewProgramFromID(id)
	if err == nil {
		_ = p.Close()
	}
	return !errors.Is(err, os.ErrNotExist)
}

func TestClosedTracerSaysSo(t *testing.T) {
	tr := open(t, Options{})
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	_, cost := tr.Cost()
	for _, err := range []error{tr.Read(new(Snapshot)), tr.SetClass(1, 1), tr.Unset(1), cost} {
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	if err := tr.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestSetClassRefusals(t *testing.T) {
	tr := open(t, Options{MaxCgroups: 2})
	for _, class := range []uint8{0, 16, 255} {
		if tr.SetClass(1, class) == nil {
			t.Errorf("class %d was taken", class)
		}
	}
	var err error
	for id := uint64(1 << 40); err == nil && id < 1<<40+64; id++ {
		err = tr.SetClass(id, 1)
	}
	if err == nil {
		t.Error("no end to the number of cgroups")
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	for _, o := range []Options{{MaxCgroups: -1}, {Source: 9}} {
		if tr, err := Open(o); err == nil {
			_ = tr.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestCostCountsRuns(t *testing.T) {
	tr := open(t, Options{Source: Stamps, Stats: true})
	dir, id := cpuCgroup(t)
	if err := tr.SetClass(id, 1); err != nil {
		t.Fatal(err)
	}
	startPingPong(t, dir, 0)
	poll(t, "costs", func() bool {
		c, err := tr.Cost()
		if err != nil {
			t.Fatal(err)
		}
		return c.Switch.Runs > 1000 && c.Wakeup.Runs > 1000 && c.Switch.PerRun() > 0 && c.Wakeup.PerRun() > 0
	})
}

func TestProbe(t *testing.T) {
	err := Probe()
	var no *feature.UnsupportedError
	if errors.As(err, &no) {
		if no.Reason == "" || no.Need == "" {
			t.Errorf("a no without reason or need: %v", no)
		}
		testkit.Need(t, no)
	}
	if err != nil {
		t.Errorf("could not tell: %v", err)
	}
}

func TestCgroupID(t *testing.T) {
	dir := t.TempDir()
	if id, err := CgroupID(dir); err != nil || id == 0 {
		t.Errorf("id %d, %v", id, err)
	}
	if _, err := CgroupID(dir + "/none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CgroupID(dir + "/file"); err == nil {
		t.Error("a plain file has a cgroup id")
	}
}
