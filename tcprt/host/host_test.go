package host

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt/blame"
)

func tree(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSince(t *testing.T) {
	begin := time.Unix(1000, 0)
	for name, c := range map[string]struct{ stat, pressure string }{
		"v2": {"sys/fs/cgroup/pod/web/cpu.stat", "sys/fs/cgroup/pod/web/"},
		"v1": {"sys/fs/cgroup/cpu/pod/web/cpu.stat", "proc/pressure/"},
	} {
		t.Run(name, func(t *testing.T) {
			suffix := ".pressure"
			if name == "v1" {
				suffix = ""
			}
			root := t.TempDir()
			put := func(periods, throttled, some, full, ran, waited string) Counters {
				tree(t, root, map[string]string{
					c.stat:                       "usage_usec 1\nnr_periods " + periods + "\nnr_throttled " + throttled + "\n",
					c.pressure + "io" + suffix:   "some avg10=0.00 avg60=0.00 avg300=0.00 total=" + some + "\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=" + full + "\n",
					"proc/7/task/7/schedstat":    ran + " " + waited + " 3\n",
					"proc/7/task/8/schedstat":    "junk\n",
					"sys/fs/cgroup/pod/cpu.stat": "nr_periods 5\nnr_throttled 0\n",
				})
				begin = begin.Add(time.Second)
				return Read(root, "/pod/web", 7, begin)
			}
			a := put("100", "10", "1000", "0", "1000", "500")
			b := put("110", "14", "501000", "250000", "4000", "1500")
			got, want := b.Since(&a), blame.Pressure{Throttled: 0.4, RunDelay: 0.25, Waited: 1e-6, IOSome: 0.5, IOFull: 0.25}
			for i, d := range []float64{got.Throttled - want.Throttled, got.RunDelay - want.RunDelay, got.Waited - want.Waited, got.IOSome - want.IOSome, got.IOFull - want.IOFull, got.CPUSome, got.MemoryFull} {
				if math.Abs(d) > 1e-9 {
					t.Errorf("%d: %+v, want %+v", i, got, want)
				}
			}
			if back := a.Since(&b); back != (blame.Pressure{}) {
				t.Errorf("of the past: %+v", back)
			}
		})
	}
	none := Read(t.TempDir(), "", 0, begin)
	if none != (Counters{At: begin}) {
		t.Errorf("of nothing: %+v", none)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add([]byte("some avg10=0.00 total=12\nfull total=7\n"))
	f.Add([]byte("nr_periods 7\nnr_throttled x\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		stalls(b)
		new(Counters).quota(b)
	})
}
