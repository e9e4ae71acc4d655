package qos

import (
	"testing"
	"time"

	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/runq"
)

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
