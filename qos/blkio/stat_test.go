package blkio

import (
	"testing"
	"time"
)

func TestParseDiskStat(t *testing.T) {
	var s DiskStat
	b := []byte("   12345      10   987654   4321    222     33    44444     555        2     777      888       0        0        0        0        0        0\n")
	if err := ParseDiskStat(b, &s); err != nil {
		t.Fatal(err)
	}
	want := DiskStat{
		Flow:     Flow{ReadBytes: 987654 * 512, WriteBytes: 44444 * 512, ReadOps: 12345, WriteOps: 222},
		ReadTime: 4321 * time.Millisecond, WriteTime: 555 * time.Millisecond, Busy: 777 * time.Millisecond,
	}
	if s != want {
		t.Errorf("got %+v, want %+v", s, want)
	}
	for _, bad := range []string{"", "1 2 3", "1 2 3 4 5 6 7 8 9 x", "99999999999999999999999 1 1 1 1 1 1 1 1 1"} {
		if err := ParseDiskStat([]byte(bad), &s); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = ParseDiskStat(b, &s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParseIOStat(t *testing.T) {
	var g Group
	b := []byte("8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n8:0 rbytes=90430464 wbytes=299008000 rios=8950 wios=1252 dbytes=50331648 dios=3021 cost.usage=12 cost.wait=3\n254:0 \n259:1\n")
	if err := ParseIOStat(b, &g); err != nil {
		t.Fatal(err)
	}
	if got, want := g.Of("8:0"), (Flow{90430464, 299008000, 8950, 1252}); got != want {
		t.Errorf("8:0: %+v, want %+v", got, want)
	}
	if got := g.Of("8:16").ReadOps; got != 192 {
		t.Errorf("8:16: %d", got)
	}
	if got := g.Of("254:0"); got != (Flow{}) {
		t.Errorf("a disk without counters: %+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { _ = ParseIOStat(b, &g) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := ParseIOStat([]byte("rubbish here\n"), &g); err == nil {
		t.Error("rubbish is taken")
	}
	if err := ParseIOStat([]byte("8:0 rbytes=x\n"), &g); err == nil {
		t.Error("a word is taken for a number")
	}
}

func TestParseServiced(t *testing.T) {
	var g Group
	ops := []byte("7:0 Read 1200\n7:0 Write 3\n7:0 Sync 1203\n7:0 Async 0\n7:0 Discard 0\n7:0 Total 1203\n254:0 Read 5\nTotal 1208\n")
	bytes := []byte("7:0 Read 4915200\n7:0 Write 12288\n7:0 Total 4927488\nTotal 4927488\n")
	if err := ParseServiced(ops, false, &g); err != nil {
		t.Fatal(err)
	}
	if err := ParseServiced(bytes, true, &g); err != nil {
		t.Fatal(err)
	}
	if got, want := g.Of("7:0"), (Flow{4915200, 12288, 1200, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := g.Of("254:0").ReadOps; got != 5 {
		t.Errorf("254:0: %d", got)
	}
	if err := ParseServiced([]byte("7:0 Read many\n"), false, &g); err == nil {
		t.Error("a word is taken for a number")
	}
}

func TestFlowSince(t *testing.T) {
	was, now := Flow{10, 20, 3, 4}, Flow{15, 2, 3, 9}
	if got, want := now.Since(was), (Flow{5, 0, 0, 5}); got != want {
		t.Errorf("got %+v, want %+v: a counter that fell back was started anew", got, want)
	}
}

func FuzzParseDiskStat(f *testing.F) {
	f.Add([]byte("1 2 3 4 5 6 7 8 9 10 11"))
	f.Add([]byte("18446744073709551615 2 18446744073709551615 18446744073709551615 5 6 7 8 9 10"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s DiskStat
		if ParseDiskStat(b, &s) == nil && (s.ReadTime < 0 || s.WriteTime < 0 || s.Busy < 0) {
			t.Errorf("negative: %+v", s)
		}
	})
}

func FuzzParseIOStat(f *testing.F) {
	f.Add([]byte("8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0\n(unknown) \n"))
	f.Add([]byte("8:0 rbytes\n8:0 =\n8:0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var g Group
		_ = ParseIOStat(b, &g)
		_ = ParseServiced(b, false, &g)
		for _, d := range g.Disks {
			if !isNumber([]byte(d.Number)) {
				t.Errorf("disk %q", d.Number)
			}
		}
	})
}
