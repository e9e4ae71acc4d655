package procfs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func fixture(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const statLine = "4242 (a) b) S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 987654 1000 2 18446744073709551615 0 0\n"

func TestStartTime(t *testing.T) {
	if n, err := parseStartTime([]byte(statLine)); err != nil || n != 987654 {
		t.Fatalf("%d, %v", n, err)
	}
	for _, s := range []string{"", "1 (a", "1 (a) S 1 2", strings.Replace(statLine, "987654", "x", 1), "1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3"} {
		if n, err := parseStartTime([]byte(s)); err == nil {
			t.Errorf("%q started at %d", s, n)
		}
	}
	me, err := StartTime(os.Getpid())
	if err != nil || me == 0 {
		t.Fatalf("%d, %v", me, err)
	}
	if again, _ := StartTime(os.Getpid()); again != me {
		t.Fatal("the start time changed")
	}
	if _, err := StartTime(1 << 30); !os.IsNotExist(err) {
		t.Fatalf("error %v", err)
	}
}

func TestCPU(t *testing.T) {
	root := fixture(t, map[string]string{"proc/stat": "cpu  10 20 30 400 50 6 7 80 9 0\ncpu0 1 2 3\ncpu1 1 2 3\nintr 1\ncpufoo 1\n"})
	f, err := OpenStat(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := f.Read()
	want := CPU{User: 10 * tick, Nice: 20 * tick, System: 30 * tick, Idle: 400 * tick, IOWait: 50 * tick, IRQ: 6 * tick, SoftIRQ: 7 * tick, Steal: 80 * tick}
	if err != nil || c != want {
		t.Fatalf("%+v, %v; want %+v", c, err, want)
	}
	if c.Busy() != 730*time.Millisecond || c.Total() != 6030*time.Millisecond || c.Sub(c) != (CPU{}) {
		t.Fatalf("busy %s of %s", c.Busy(), c.Total())
	}
	if n, err := CPUs(root); err != nil || n != 2 {
		t.Fatalf("%d CPUs, %v", n, err)
	}
	for _, s := range []string{"", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  1 2 3\n", "cpu  1 2 3 4 5 6 7 x\n", "cpu  1 2 3 4 5 6 7 12345678901234567\n", "cpu  -1 2 3 4 5 6 7 8\n"} {
		if c, err := parseCPU([]byte(s)); err == nil {
			t.Errorf("%q was read as %+v", s, c)
		}
	}
}

// TestCPUOfLargeNode: the sums of a node with thousands of CPU years do not fit
// a Duration, but their differences are right.
func TestCPUOfLargeNode(t *testing.T) {
	a, err1 := parseCPU([]byte("cpu  900000000000 0 0 1800000000000 0 0 0 0 0 0\n"))
	b, err2 := parseCPU([]byte("cpu  900000000100 0 0 1800000000300 0 0 0 0 0 0\n"))
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if d := b.Sub(a); d.Busy() != time.Second || d.Total() != 4*time.Second {
		t.Fatalf("busy %s of %s", d.Busy(), d.Total())
	}
}

func TestRealStat(t *testing.T) {
	f, err := OpenStat("")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := f.Read()
	if err != nil || a.Total() <= 0 || a.Busy() <= 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = f.Read() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n, err := CPUs(""); err != nil || n < 1 {
		t.Fatalf("%d CPUs, %v", n, err)
	}
}

func TestExeAndCgroup(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Exe("", os.Getpid()); err != nil || got != exe {
		t.Fatalf("%q, %v; want %q", got, err, exe)
	}
	root := fixture(t, map[string]string{"proc/7/cgroup": "4:cpu:/a\n0::/b:c d\n", "proc/8/cgroup": "4:cpu:/a\n"})
	if err := os.Symlink("/bin/x (deleted)", filepath.Join(root, "proc/7/exe")); err != nil {
		t.Fatal(err)
	}
	if got, err := Exe(root, 7); err != nil || got != "/bin/x" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := UnifiedCgroup(root, 7); err != nil || got != "/b:c d" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, pid := range []int{8, 9} {
		if got, err := UnifiedCgroup(root, pid); err == nil {
			t.Fatalf("process %d is in %q", pid, got)
		}
	}
}

func FuzzStartTime(f *testing.F) {
	f.Add([]byte(statLine))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := parseStartTime(b)
		if err == nil && !strings.Contains(string(b), strings.TrimLeft(strconv.FormatUint(n, 10), "0")) {
			t.Fatalf("%d is nowhere in %q", n, b)
		}
	})
}

func FuzzCPU(f *testing.F) {
	f.Add([]byte("cpu  10 20 30 400 50 6 7 80 9 0\ncpu0 1"))
	f.Add([]byte("cpu 1 2 3 4 5 6 7 9999999999999999"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCPU(b); err == nil && c.Sub(c) != (CPU{}) {
			t.Fatalf("%+v", c)
		}
	})
}

func FuzzCgroupPath(f *testing.F) {
	f.Add([]byte("5:net_cls,net_prio:/a:b\n0::/c\n"), "net_prio")
	f.Add([]byte("1:name=systemd:/\n:cpu:"), "cpu")
	f.Fuzz(func(t *testing.T, b []byte, controller string) {
		path, ok := cgroupPath(b, func(_, c string) bool { return c == controller })
		if ok && !strings.Contains(string(b), ":"+controller+":"+path) || !ok && path != "" {
			t.Fatalf("%q of %q in %q", path, controller, b)
		}
	})
}
