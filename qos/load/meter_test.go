package load

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// tree writes files below a fresh root.
func tree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func TestMeterSeparatesOwnFromForeign(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"proc/stat":        "cpu  100 0 50 1000 20 5 5 10 90 0\ncpu0 1 0 0 0\ncpu1 0 0 0 0 0\nctxt 7\n",
		"v1/cpuacct.usage": "1000000000\n",
		"v2/cpu.stat":      "nr_periods 0\nusage_usec 500000\nuser_usec 1\n",
		"proc/42/stat":     "42 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 10 5 0 0 20 0 1 0 0",
	})
	tree(t, root, map[string]string{"proc/stat": "cpu  100 0 50 1000 20 5 5 10 90 0\ncpu0 1 0 0 0 0\ncpu1 0 0 0 0 0\nctxt 7\n"})
	m, err := OpenMeter(MeterOptions{Root: root, PIDs: []int{42},
		Cgroups: []string{filepath.Join(root, "v1"), filepath.Join(root, "v2")}})
	if err != nil {
		t.Fatal(err)
	}
	// Two CPUs for 10 s are 2000 ticks: 1000 busy, 900 idle, 60 wait, 40 steal.
	tree(t, root, map[string]string{
		"proc/stat":        "cpu  900 0 150 1900 80 55 55 50 99 0\ncpu0 1 0 0 0 0\ncpu1 0 0 0 0 0\n",
		"v1/cpuacct.usage": "5000000000\n",                                                    // 4 s: 20 %
		"v2/cpu.stat":      "usage_usec 2500000\n",                                            // 2 s: 10 %
		"proc/42/stat":     "42 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 110 105 0 0 20 0 1 0 0 0 0 0", // 2 s: 10 %
	})
	u, err := m.Sample()
	if err != nil || u.CPUs != 2 || u.Wall != 10*time.Second || !near(u.Node, 50) || !near(u.Own, 40) ||
		!near(u.Foreign, 10) || !near(u.Steal, 2) || !near(u.IOWait, 3) {
		t.Fatalf("usage %+v, %v", u, err)
	}
	var disturbed *DisturbedError
	if err := DefaultLimits.Check(u); !errors.As(err, &disturbed) || disturbed.Usage != u {
		t.Fatalf("check: %v", err)
	}
	if err := (Limits{Foreign: 10.1, Steal: 2.1}).Check(u); err != nil {
		t.Fatal(err)
	}
}

func TestMeterKeepsWhatEnded(t *testing.T) {
	root := t.TempDir()
	tree(t, root, map[string]string{
		"proc/stat": "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0\n", "g/cpuacct.usage": "0",
	})
	if _, err := OpenMeter(MeterOptions{Root: root, Cgroups: []string{filepath.Join(root, "absent")}}); err == nil {
		t.Fatal("opened with an absent cgroup")
	}
	m, err := OpenMeter(MeterOptions{Root: root, Cgroups: []string{filepath.Join(root, "g")}})
	if err != nil {
		t.Fatal(err)
	}
	tree(t, root, map[string]string{"proc/stat": "cpu 50 0 0 50 0 0 0 0\ncpu0 0 0 0 0\n", "g/cpuacct.usage": "500000000"})
	if u, err := m.Sample(); err != nil || !near(u.Own, 50) {
		t.Fatalf("usage %+v, %v", u, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "g")); err != nil {
		t.Fatal(err)
	}
	tree(t, root, map[string]string{"proc/stat": "cpu 50 0 0 150 0 0 0 0\ncpu0 0 0 0 0\n"})
	if u, err := m.Sample(); err != nil || u.Own != 0 || u.Foreign != 0 {
		t.Fatalf("usage %+v, %v", u, err)
	}
}

func TestMeterCountsTheKernelsWork(t *testing.T) {
	root := t.TempDir()
	worker := func(ticks int) string {
		return fmt.Sprintf("7 (kworker/0:1-events) I 2 0 0 0 -1 69238880 0 0 0 0 0 %d 0 0 20 0 1 0", ticks)
	}
	stranger := func(ticks int) string {
		return fmt.Sprintf("9 (cc) R 1 0 0 0 -1 4194304 0 0 0 0 %d 0 0 0 20 0 1 0", ticks)
	}
	tree(t, root, map[string]string{
		"proc/stat": "cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0\n", "proc/7/stat": worker(50), "proc/9/stat": stranger(5),
	})
	m, err := OpenMeter(MeterOptions{Root: root, Kernel: true})
	if err != nil {
		t.Fatal(err)
	}
	// 20 of the worker, 10 of one born meanwhile, 7 of interrupts, 13 of a stranger.
	tree(t, root, map[string]string{
		"proc/stat": "cpu 13 0 30 50 0 3 4 0\ncpu0 0 0 0 0\n", "proc/7/stat": worker(70), "proc/8/stat": worker(10), "proc/9/stat": stranger(18),
	})
	if u, err := m.Sample(); err != nil || !near(u.Own, 37) || !near(u.Foreign, 13) {
		t.Fatalf("usage %+v, %v", u, err)
	}
	if err := os.RemoveAll(filepath.Join(root, "proc/8")); err != nil {
		t.Fatal(err)
	}
	tree(t, root, map[string]string{"proc/stat": "cpu 13 0 30 150 0 3 4 0\ncpu0 0 0 0 0\n"})
	if u, err := m.Sample(); err != nil || u.Own != 0 || u.Foreign != 0 {
		t.Fatalf("usage after a thread ended %+v, %v", u, err)
	}
}

func TestMeterOnThisNode(t *testing.T) {
	m, err := OpenMeter(MeterOptions{PIDs: []int{os.Getpid()}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Calibrate(false)
	if err != nil {
		t.Fatal(err)
	}
	spin(c.spins(300 * time.Millisecond))
	u, err := m.Sample()
	if err != nil || u.CPUs < 1 || u.Own <= 0 || u.Node <= 0 || u.Node > 100 {
		t.Fatalf("usage %+v, %v", u, err)
	}
}

func FuzzProcStat(f *testing.F) {
	f.Add([]byte("cpu  100 0 50 1000 20 5 5 10 90 0\ncpu0 1 0 0 0 0\n"))
	f.Add([]byte("42 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 10 5 0 0"))
	f.Add([]byte("usage_usec 9223372036854775807\n"))
	f.Add([]byte("-1"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := parseNodeStat(b); (err == nil) != (n.cpus > 0) {
			t.Fatalf("%+v, %v", n, err)
		}
		process := func(b []byte) (time.Duration, error) { p, err := parseProcessStat(b); return p.cpu, err }
		for _, parse := range []func([]byte) (time.Duration, error){process, parseNanoseconds, parseCPUStat} {
			if v, err := parse(b); v < 0 || (err != nil && v != 0) {
				t.Fatalf("%v, %v", v, err)
			}
		}
	})
}
