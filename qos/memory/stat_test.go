package memory

import (
	"strings"
	"testing"
)

const statV1 = `cache 209985536
rss 4096
inactive_file 100
active_file 50
pgmajfault 5
hierarchical_memory_limit 268435456
hierarchical_memsw_limit 9223372036854771712
total_cache 209985536
total_rss 8192
total_workingset_refault_file 7
total_pgmajfault 9
total_inactive_file 209981440
total_active_file 4096
total_unevictable 0
`

const statV2 = `anon 1327104
file 5586944
kernel 1040384
file_mapped 2297856
inactive_file 4681728
active_file 905216
workingset_refault_anon 0
workingset_refault_file 3
pgfault 12345
pgmajfault 42
thp_fault_alloc 0
`

func TestStatOfBothVersions(t *testing.T) {
	for _, c := range []struct {
		src  string
		want Stat
	}{
		{statV1, Stat{Anon: 8192, Cache: 209985536, MajorFaults: 9, Refaults: 7, Limit: 268435456}},
		{statV2, Stat{Anon: 1327104, Cache: 5586944, MajorFaults: 42, Refaults: 3, Limit: None}},
		{"", Stat{Limit: None}},
		{"something_new 7\nanon 1", Stat{Anon: 1, Limit: None}},
	} {
		var s Stat
		if err := ParseStat([]byte(c.src), &s); err != nil || s != c.want {
			t.Errorf("%+v, %v; want %+v", s, err, c.want)
		}
	}
	for _, src := range []string{"anon x\n", "anon -5\n", "anon 18446744073709551616\n", "inactive_file 18446744073709551615\nactive_file 1\n"} {
		var s Stat
		if err := ParseStat([]byte(src), &s); err == nil || !strings.Contains(err.Error(), "memory.stat") {
			t.Errorf("%q: %+v, %v", src, s, err)
		}
	}
}

func TestStatAllocatesNothing(t *testing.T) {
	src := []byte(statV1)
	if n := testing.AllocsPerRun(100, func() {
		var s Stat
		_ = ParseStat(src, &s)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEventsOfBothVersions(t *testing.T) {
	for src, want := range map[string]Events{
		"low 0\nhigh 3\nmax 4\noom 1\noom_kill 2\noom_group_kill 1\n": {High: 3, Max: 4, OOMKill: 2},
		"oom_kill_disable 0\nunder_oom 0\noom_kill 5\n":               {OOMKill: 5},
	} {
		var e Events
		if err := ParseEvents([]byte(src), &e); err != nil || e != want {
			t.Errorf("%+v, %v; want %+v", e, err, want)
		}
	}
}

const meminfo = `MemTotal:       24684092 kB
MemFree:        23671820 kB
MemAvailable:   23766176 kB
Buffers:             272 kB
SwapTotal:             4 kB
HugePages_Total:       0
`

func TestInfo(t *testing.T) {
	var i Info
	if err := ParseInfo([]byte(meminfo), &i); err != nil || i != (Info{24684092 << 10, 23671820 << 10, 23766176 << 10, 4096}) {
		t.Errorf("%+v, %v", i, err)
	}
	for _, src := range []string{"", "MemTotal: 5 kB\n", strings.Replace(meminfo, "23671820", "2367x820", 1), strings.Replace(meminfo, "24684092", "18446744073709551615", 1)} {
		if err := ParseInfo([]byte(src), &i); err == nil || !strings.Contains(err.Error(), "meminfo") {
			t.Errorf("%q: %v", src, err)
		}
	}
}

func TestWatermarks(t *testing.T) {
	const zones = `Node 0, zone      DMA
  pages free     2816
        min      45
        low      56
        high     67
        managed  3840
      cpu: 0
              count:    0
              high:     0
              high_min: 28
Node 0, zone    DMA32
        high     13676
Node 0, zone   Normal
        high     11595
`
	if n, err := ParseWatermarks([]byte(zones)); err != nil || n != 67+13676+11595 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := ParseWatermarks([]byte("  high 18446744073709551615\n")); err == nil {
		t.Error("accepted")
	}
}

func TestHostOfThisMachine(t *testing.T) {
	h, err := OpenHost("")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.Read(at(0)); err != nil {
		t.Fatal(err)
	}
	if h.Total < 16*MiB || h.Free > h.Total || h.Available > h.Total || h.High == 0 || h.High > h.Total {
		t.Errorf("%+v", h.Info)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(statV1))
	f.Add([]byte(statV2))
	f.Add([]byte(meminfo))
	f.Add([]byte("Node 0, zone DMA\n high 67\n"))
	f.Add([]byte("high 3\noom_kill 2\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Stat
		var e Events
		var i Info
		if err := ParseStat(b, &s); err == nil && s.Cache == None && !strings.Contains(string(b), "max") && !strings.Contains(string(b), "-1") && !strings.Contains(string(b), "18446744073709551615") {
			t.Errorf("cache of nowhere: %q", b)
		}
		_ = ParseEvents(b, &e)
		if err := ParseInfo(b, &i); err == nil && (i.Total > None>>1 && i.Total&1023 != 0) {
			t.Errorf("%+v", i)
		}
		if n, err := ParseWatermarks(b); err == nil && n > None>>1 {
			t.Errorf("watermark %d", n)
		}
	})
}
