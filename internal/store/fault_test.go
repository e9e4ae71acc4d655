package store

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// filled runs a store until it has a block and a log, then closes it.
func filled(t *testing.T) (dir string, now time.Time) {
	t.Helper()
	r := newRig(t, func(o *Options) { o.Retention = 40 * time.Minute }) // blocks of 10 min
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "g", Help: "."}, []string{"i"})
	r.reg.MustRegister(g)
	for i := range 50 {
		g.WithLabelValues(strings.Repeat("x", i+1)).Set(float64(i))
	}
	r.steps(12 * 25)
	if err := r.session().housekeep(); err != nil {
		t.Fatal(err)
	}
	r.steps(12)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if len(blocks(t, r.opt.Dir)) == 0 {
		t.Fatal("no block was cut")
	}
	return r.opt.Dir, r.clock.Now()
}

func blocks(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if isBlockName(e.Name()) {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

// segments lists the log's segments that have content, oldest first.
func segments(t *testing.T, dir string) (out []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "wal", "[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if info, err := os.Stat(p); err == nil && info.Size() > 0 {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	if len(out) == 0 {
		t.Fatal("the log is empty")
	}
	return out
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCorruption(t *testing.T) {
	garbage := bytes.Repeat([]byte("\xde\xad\xbe\xefgarbage"), 20000)
	for name, damage := range map[string]func(t *testing.T, dir string){
		"garbage log":       func(t *testing.T, dir string) { write(t, segments(t, dir)[0], garbage) },
		"short garbage log": func(t *testing.T, dir string) { write(t, segments(t, dir)[0], []byte("garbage")) },
		"bit flip early in the log": func(t *testing.T, dir string) {
			p := segments(t, dir)[0]
			raw, err := os.ReadFile(p)
			if err != nil || len(raw) < 2*logPage {
				t.Fatalf("segment of %d bytes, %v", len(raw), err)
			}
			raw[100] ^= 0x40
			write(t, p, raw)
		},
		"log is a file": func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "wal")); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "wal"), garbage)
		},
		"garbage meta":   func(t *testing.T, dir string) { write(t, blocks(t, dir)[0]+"/meta.json", garbage) },
		"empty meta":     func(t *testing.T, dir string) { write(t, blocks(t, dir)[0]+"/meta.json", nil) },
		"no meta":        func(t *testing.T, dir string) { remove(t, blocks(t, dir)[0]+"/meta.json") },
		"cut index":      func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0]+"/index", 100) },
		"empty index":    func(t *testing.T, dir string) { cut(t, blocks(t, dir)[0]+"/index", 0) },
		"no index":       func(t *testing.T, dir string) { remove(t, blocks(t, dir)[0]+"/index") },
		"garbage chunks": func(t *testing.T, dir string) { write(t, blocks(t, dir)[0]+"/chunks/000001", garbage) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, now := filled(t)
			old := dir + asideMark + "20200101T000000.000Z"
			if err := os.Mkdir(old, 0o700); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			r := newRig(t, func(o *Options) { o.Dir, o.Retention = dir, 40*time.Minute })
			r.clock.now = now
			r.steps(1)
			r.wantState(Ready)
			if n := r.Health().Note; !strings.Contains(n, asideMark) || !strings.Contains(r.log.String(), "moved to") {
				t.Errorf("note = %q, log = %s", n, r.log)
			}
			aside, err := filepath.Glob(dir + asideMark + "*")
			if err != nil || len(aside) != 1 || aside[0] == old {
				t.Errorf("moved aside: %v, %v; want one new directory", aside, err)
			}
			if got := r.values("count_over_time(up[1h])", "job"); got["anole"] != "1" {
				t.Errorf("samples in the fresh history = %v, want 1", got)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, n int64) {
	t.Helper()
	if err := os.Truncate(path, n); err != nil {
		t.Fatal(err)
	}
}

// TestTornLog: the last record is unfinished, as after kill -9 or a power cut.
func TestTornLog(t *testing.T) {
	dir, now := filled(t)
	segs := segments(t, dir)
	last := segs[len(segs)-1]
	info, err := os.Stat(last)
	if err != nil {
		t.Fatal(err)
	}
	cut(t, last, info.Size()-5)
	r := newRig(t, func(o *Options) { o.Dir, o.Retention = dir, 40*time.Minute })
	r.clock.now = now
	r.steps(1)
	r.wantState(Ready)
	if n := r.Health().Note; !strings.Contains(n, "repaired") {
		t.Errorf("note = %q, want it to speak of a repair", n)
	}
	// 312 steps before, of which the torn one may be lost, and one now.
	if got := r.values("count_over_time(up[1h])", "job"); got["anole"] != "312" && got["anole"] != "313" {
		t.Errorf("samples = %v, want 312 or 313", got)
	}
}

// TestKilled opens a copy of the files of a running store: what kill -9 leaves.
func TestKilled(t *testing.T) {
	r := newRig(t)
	r.steps(30)
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(r.opt.Dir)); err != nil {
		t.Fatal(err)
	}
	again := newRig(t, func(o *Options) { o.Dir = copied })
	again.clock.now = r.clock.Now()
	again.step()
	again.wantState(Ready)
	if got := again.values("count_over_time(up[10m])", "job"); got["anole"] != "30" {
		t.Errorf("samples = %v, want 30", got)
	}
}

func TestDirIsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	write(t, path, []byte("precious"))
	r := newRig(t, func(o *Options) { o.Dir = path })
	r.steps(3)
	r.wantState(Off)
	h := r.Health()
	if h.Err() == nil || !strings.Contains(h.Err().Error(), path) {
		t.Errorf("reason = %q, want it to name %s", h.Reason, path)
	}
	for _, ep := range []string{"query?query=up", "query_range?query=up&start=0&end=1&step=1", "labels", "series?match[]=up", "label/job/values", "status/tsdb"} {
		resp, err := http.Get(r.url + "/api/v1/" + ep)
		if rep := r.decode(resp, err); rep.code != http.StatusServiceUnavailable || rep.ErrorType != "unavailable" || rep.Status != "error" {
			t.Errorf("%s: %d %s, want 503 unavailable", ep, rep.code, rep.ErrorType)
		}
	}
	if n := strings.Count(r.log.String(), "metrics history off"); n != 1 {
		t.Errorf("logged %d times, want once: %s", n, r.log)
	}
	if raw, _ := os.ReadFile(path); string(raw) != "precious" {
		t.Error("the file was touched")
	}
	remove(t, path)
	r.steps(1)
	r.wantState(Ready)
}

// TestTwoStores: the second on one directory must leave the first's data alone.
func TestTwoStores(t *testing.T) {
	r := newRig(t)
	r.steps(2)
	second := newRig(t, func(o *Options) { o.Dir = r.opt.Dir })
	second.steps(1)
	second.wantState(Off)
	if !strings.Contains(second.Health().Reason, "lock") {
		t.Errorf("reason = %q, want the lock", second.Health().Reason)
	}
	r.steps(1)
	r.wantState(Ready)
}

// tmpfs mounts one of the given size, or skips.
func tmpfs(t *testing.T, size string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "tmpfs mount", Reason: feature.NoPrivilege, Need: "root"})
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "tmpfs mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill writes to path until the disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}

// many registers enough series that each gather needs new pages of the log.
func many(reg *prometheus.Registry) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "many", Help: "."}, []string{"i"})
	reg.MustRegister(g)
	for i := range 1000 {
		g.WithLabelValues(strings.Repeat("y", i%50) + string(rune('a'+i/50))).Set(float64(i) * 1.1)
	}
}

func TestDiskFull(t *testing.T) {
	mnt := tmpfs(t, "64m")
	r := newRig(t, func(o *Options) { o.Dir = mnt + "/history" })
	many(r.reg)
	r.steps(130) // more than a chunk per series, so that closing must write chunks
	r.wantState(Ready)
	fill(t, mnt+"/filler")
	r.steps(5)
	r.wantState(Off)
	if !strings.Contains(r.Health().Reason, "no space left") {
		t.Errorf("reason = %q, want it to say that no space is left", r.Health().Reason)
	}
	if rep := r.get("query", "query", "up"); rep.code != http.StatusServiceUnavailable {
		t.Errorf("query on a full disk: %d, want 503", rep.code)
	}
	remove(t, mnt+"/filler")
	r.steps(1)
	r.wantState(Ready)
	if got := r.values("count_over_time(up[1h])", "job"); got["anole"] != "131" {
		t.Errorf("samples = %v, want the 130 before and 1 now", got)
	}
}

// TestDiskFullWithinWrite skips the look at free space: the write itself fails.
func TestDiskFullWithinWrite(t *testing.T) {
	mnt := tmpfs(t, "64m")
	r := newRig(t, func(o *Options) { o.Dir = mnt + "/history" })
	many(r.reg)
	r.steps(130)
	fill(t, mnt+"/filler")
	var err error
	for i := 0; i < 200 && err == nil; i++ {
		r.clock.add(5 * time.Second)
		err = r.sample(r.session())
	}
	if !environment(err) {
		t.Fatalf("error = %v, want the full disk", err)
	}
	if err := r.session().housekeep(); !environment(err) {
		t.Errorf("housekeeping: %v, want the full disk as an error, not a panic", err)
	}
	r.fail(err)
	r.wantState(Off)
	r.steps(3)
	r.wantState(Off)
	remove(t, mnt+"/filler")
	r.steps(1)
	r.wantState(Ready)
	if got := r.values("count_over_time(up[1h]) >= bool 130", "job"); got["anole"] != "1" {
		t.Errorf("samples from before were lost: %v, note %q", got, r.Health().Note)
	}
}

func TestReadOnly(t *testing.T) {
	mnt := tmpfs(t, "64m")
	if err := os.Mkdir(mnt+"/history", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.Dir = mnt + "/history" })
	r.steps(2)
	r.wantState(Off)
	if !strings.Contains(r.Health().Reason, "read-only") {
		t.Errorf("reason = %q", r.Health().Reason)
	}
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	r.steps(1)
	r.wantState(Ready)
}
