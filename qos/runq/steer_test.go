package runq

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// Classes of these tests.
const (
	testLS = 3
	testBE = 4
)

func setClass(t testing.TB, tr *Tracer, id uint64, c uint8) {
	t.Helper()
	if err := tr.SetClass(id, c); err != nil {
		t.Fatal(err)
	}
}

func statsOf(t testing.TB, tr *Tracer, c int) *ClassStats {
	t.Helper()
	return &read(t, tr).Class[c]
}

// startNapper runs a process that works a little and sleeps a little.
func startNapper(t testing.TB, cgroup string, cpu int) (pid int) {
	t.Helper()
	return start(t, exec.Command("sh", "-c", "read x; while :; do i=0; while [ $i -lt 1500 ]; do i=$((i+1)); done; sleep 0.002; done"), cgroup, cpu)
}

func TestBlamesTheClassThatHadTheCPU(t *testing.T) {
	tr := open(t, Options{Blame: testBE})
	ls, lsID := cpuCgroup(t)
	be, beID := cpuCgroup(t)
	setClass(t, tr, lsID, testLS)
	setClass(t, tr, beID, testBE)
	for range 3 {
		startSpinner(t, ls, 0)
	}
	poll(t, "waits of spinners for each other", func() bool { return statsOf(t, tr, testLS).Wait.Count() > 30 })
	if n := statsOf(t, tr, testLS).Behind.Count(); n != 0 {
		t.Errorf("%d waits blamed on a class without tasks", n)
	}
	startSpinner(t, be, 0)
	startNapper(t, ls, 0)
	poll(t, "waits behind the blamed class", func() bool { return statsOf(t, tr, testLS).Behind.Count() > 5 })
	c := statsOf(t, tr, testLS)
	if c.Behind.Count() > c.Wait.Count() || c.Behind.SumNS > c.Wait.SumNS {
		t.Errorf("more blamed than waited: %d of %d waits", c.Behind.Count(), c.Wait.Count())
	}
}

func TestTimeOutOfQuotaIsNoWait(t *testing.T) {
	tr := open(t, Options{})
	dir, id := cpuCgroup(t)
	for file, v := range map[string]string{"cpu.cfs_quota_us": "10000", "cpu.max": "10000 100000"} {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); err == nil {
			if err := os.WriteFile(path, []byte(v), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	setClass(t, tr, id, 1)
	startSpinner(t, dir, -1)
	poll(t, "ten throttled periods", func() bool { return statsOf(t, tr, 1).Throttled >= 10 })
	c := statsOf(t, tr, 1)
	// A busy machine may make it wait for a CPU too, but not in most periods.
	if long := c.Wait.Count() - c.Wait.Below(50*time.Millisecond); long > c.Throttled/2 {
		t.Errorf("%d waits of 50 ms and more in %d throttled periods", long, c.Throttled)
	}
}

func TestSteersBehindNobody(t *testing.T) {
	if runtime.NumCPU() < 2 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "steering", Reason: feature.NoHardware, Need: "two CPUs"})
	}
	tr := open(t, Options{Blame: testBE, Steer: []uint8{testLS}})
	ls, lsID := cpuCgroup(t)
	be, beID := cpuCgroup(t)
	if err := os.WriteFile(filepath.Join(be, "cpu.idle"), []byte("1"), 0); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cpu.idle", Reason: feature.NoKernel, Need: "Linux 5.15", Err: err})
	}
	setClass(t, tr, lsID, testLS)
	setClass(t, tr, beID, testBE)
	slip := filepath.Join(t.TempDir(), "slip")
	s, err := tr.Steer(slip)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * runtime.NumCPU() {
		startSpinner(t, be, -1)
	}
	var pids []int
	for range 2 * runtime.NumCPU() {
		pids = append(pids, startNapper(t, ls, -1))
	}
	poll(t, "moves", func() bool { return s.Stats().Moved >= 5 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Failed > 0 || st.Moved > st.Told {
		t.Errorf("stats %+v", st)
	}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &all); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		var now unix.CPUSet
		if err := unix.SchedGetaffinity(pid, &now); err != nil || now != all {
			t.Errorf("process %d has affinity %v, want %v: %v", pid, now, all, err)
		}
	}
	if err := Recover(slip); err != nil {
		t.Error(err)
	}
}

func TestRecoverFreesTheConfined(t *testing.T) {
	var all, one, now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	if all.Count() < 2 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "steering", Reason: feature.NoHardware, Need: "two CPUs"})
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	path := filepath.Join(t.TempDir(), "slip")
	s, err := openSlip(path)
	if err != nil {
		t.Fatal(err)
	}
	s.write(cmd.Process.Pid, &all)
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(cmd.Process.Pid, &one); err != nil {
		t.Fatal(err)
	}
	// The process with the mapping is gone now, as after a kill.
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if err := Recover(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.SchedGetaffinity(cmd.Process.Pid, &now); err != nil || now != all {
		t.Errorf("affinity %v, want %v: %v", now, all, err)
	}
	if err := Recover(path); err != nil {
		t.Errorf("without a slip: %v", err)
	}
}

func TestSteerRefusals(t *testing.T) {
	for name, o := range map[string]Options{
		"steer without blame": {Steer: []uint8{1}},
		"no such class":       {Blame: 2, Steer: []uint8{16}},
		"accounting":          {Source: Accounting, Blame: 2},
	} {
		if tr, err := Open(o); err == nil {
			_ = tr.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzParseSlip(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, slipBytes))
	full := make([]byte, slipBytes)
	full[0], full[8] = 7, 3
	f.Add(full)
	f.Fuzz(func(t *testing.T, b []byte) {
		tid, own := parseSlip(b)
		if tid < 0 || tid > 1<<22 || (len(b) < slipBytes && (tid != 0 || own.Count() != 0)) {
			t.Errorf("tid %d, affinity %v from %d bytes", tid, own, len(b))
		}
		if own.Count() > 8*int(unsafe.Sizeof(own)) {
			t.Error("more CPUs than bits")
		}
	})
}
