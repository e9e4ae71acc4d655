package qos

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/runq"
	"github.com/anole-os/anole/workload"
)

// What failed once and works again degrades nothing any more.
func TestIOTroublesEnd(t *testing.T) {
	root := t.TempDir()
	put := func(path, content string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("proc/self/mountinfo", "30 1 0:26 / /cg rw - cgroup2 cgroup2 rw\n")
	put("cg/cgroup.controllers", "cpu io\n")
	put("cg/w/io.stat", "8:0 rbytes=x\n")
	put("sys/block", "not a directory")
	tree, err := cgroup.Detect(root)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{root: root, tree: tree, log: slog.New(slog.DiscardHandler), degraded: map[string]Degradation{}, knobs: map[string]knob{}}
	p := newIOPart(e)
	p.kernel, p.asked = blkio.Kernel{Unified: true}, true
	g := &group{w: &workload.Workload{ID: "w", Path: "/w"}}
	x, u, now := &ioGroup{g: g}, &ioUnit{rel: "/w", key: "io /w", lines: []keyedLine{{file: "io.max"}}}, time.Unix(1000, 0)
	p.groups[g] = x
	step := func() {
		p.scan(now)
		p.readGroup(x, now)
		if k := p.open(u, now); k != nil {
			_ = k.dir.Close()
		}
		now = now.Add(10 * time.Second)
	}
	step()
	for _, key := range []string{"io disks", "io of w", "io /w"} {
		if _, bad := e.degraded[key]; !bad {
			t.Errorf("%s is not degraded: %+v", key, e.degraded)
		}
	}
	put("cg/w/io.stat", "8:0 rbytes=1 wbytes=1 rios=1 wios=1 dbytes=0 dios=0\n")
	put("cg/w/io.max", "")
	if err := os.Remove(filepath.Join(root, "sys/block")); err != nil {
		t.Fatal(err)
	}
	put("sys/block/README", "")
	step()
	if len(e.degraded) > 0 {
		t.Errorf("still degraded: %+v", e.degraded)
	}
	put("cg/w/io.stat", "8:0 rbytes=x\n")
	if err := os.Remove(filepath.Join(root, "cg/w/io.max")); err != nil {
		t.Fatal(err)
	}
	step()
	if len(e.degraded) != 2 {
		t.Errorf("degraded: %+v", e.degraded)
	}
	p.units = []*ioUnit{u}
	p.drop(g) // the workload went
	p.arrange()
	if len(e.degraded) > 0 {
		t.Errorf("degraded by a workload that is gone: %+v", e.degraded)
	}
}

// Where cgroup v1 counts nothing for a group without a limit, its requests are
// told by those that were measured; where it counts, nothing is made up.
func TestUncountedIO(t *testing.T) {
	disk := blkio.Flow{ReadOps: 100, WriteOps: 300, ReadBytes: 400 << 10, WriteBytes: 300 << 20}
	sample := func(now time.Time, n int) *blkio.Sample {
		s := &blkio.Sample{Now: now, Waits: new(runq.Hist)}
		s.Disk.Flow = disk
		for range n {
			s.Waits.Add(time.Millisecond)
		}
		return s
	}
	var m ioMeter
	now := time.Unix(1000, 0)
	s := sample(now, 100)
	m.uncounted(s)
	if s.LS.Ops() != 0 || !m.lsAt.Equal(now) {
		t.Errorf("at once: %+v; the counters may just not have been read", s.LS)
	}
	now = now.Add(countWait)
	s = sample(now, 100)
	m.uncounted(s)
	if s.LS.Ops() != 100 || s.BE.Ops() != 300 || s.BE.WriteBytes <= s.LS.WriteBytes {
		t.Errorf("LS %+v, BE %+v of %+v", s.LS, s.BE, disk)
	}
	s = sample(now.Add(time.Second), 0)
	if m.uncounted(s); s.LS.Ops() != 0 {
		t.Errorf("without a request: %+v", s.LS)
	}
	m.counted = true
	s = sample(now.Add(2*time.Second), 100)
	if m.uncounted(s); s.LS.Ops() != 0 {
		t.Errorf("counted twice: %+v", s.LS)
	}
}

func TestDiskNumber(t *testing.T) {
	for s, want := range map[string]uint32{"8:16": 8<<20 | 16, "259:1": 259<<20 | 1} {
		if got, ok := diskNumber(s); !ok || got != want {
			t.Errorf("%s: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "8", "8:", ":1", "a:b", "-1:0", "99999999:0"} {
		if _, ok := diskNumber(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}
