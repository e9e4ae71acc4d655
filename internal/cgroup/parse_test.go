package cgroup

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUint(t *testing.T) {
	for _, c := range []struct {
		in   string
		want uint64
	}{
		{"0\n", 0}, {"42", 42}, {" 7 \n", 7}, {"max\n", math.MaxUint64}, {"-1\n", math.MaxUint64}, {"18446744073709551615", math.MaxUint64},
		{"9223372036854771712\n", 9223372036854771712},
	} {
		if got, err := Uint([]byte(c.in)); err != nil || got != c.want {
			t.Errorf("%q: %d, %v; want %d", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"", "\n", "-2", "1e3", "0x1", "18446744073709551616", "99999999999999999999", "1 2", "NaN", "+1"} {
		if got, err := Uint([]byte(in)); err == nil {
			t.Errorf("%q was taken for %d", in, got)
		}
	}
}

func TestParseCPUStat(t *testing.T) {
	cases := []struct {
		name, in string
		want     CPUStat
	}{
		{
			"v1, Linux 6.18", "nr_periods 75\nnr_throttled 38\nthrottled_time 2500000001\nnr_bursts 3\nburst_time 4000\n",
			CPUStat{Periods: 75, Throttled: 38, ThrottledTime: 2500000001, Bursts: 3, BurstTime: 4000},
		},
		{"v1 before 5.14", "nr_periods 1\nnr_throttled 0\nthrottled_time 0\n", CPUStat{Periods: 1}},
		{
			"v2", "usage_usec 12\nuser_usec 10\nsystem_usec 2\nnice_usec 0\nnr_periods 5\nnr_throttled 1\nthrottled_usec 7\nnr_bursts 2\nburst_usec 9\n",
			CPUStat{Usage: 12 * time.Microsecond, Periods: 5, Throttled: 1, ThrottledTime: 7000, Bursts: 2, BurstTime: 9000},
		},
		{"v2 root", "usage_usec 12\nuser_usec 10\nsystem_usec 2", CPUStat{Usage: 12000}},
		{"beyond Go's time", "throttled_usec 18446744073709551615\nthrottled_time 18446744073709551615\n", CPUStat{ThrottledTime: math.MaxInt64}},
		{"empty", "", CPUStat{}},
	}
	for _, c := range cases {
		got := CPUStat{Usage: 99} // must not stay
		if err := ParseCPUStat([]byte(c.in), &got); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	var s CPUStat
	if err := ParseCPUStat([]byte("nr_periods 12x\n"), &s); err == nil {
		t.Error("12x was accepted")
	}
	b := []byte(cases[2].in)
	if n := testing.AllocsPerRun(100, func() { _ = ParseCPUStat(b, &s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParsePressure(t *testing.T) {
	const file = "some avg10=0.12 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=56\n"
	var p Pressure
	if err := ParsePressure([]byte(file), &p); err != nil || p != (Pressure{1234 * time.Microsecond, 56 * time.Microsecond}) {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := ParsePressure([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"), &p); err != nil || p != (Pressure{Some: 1000}) {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, in := range []string{"", "full avg10=0 total=1\n", "some avg10=0 total=\n", "some avg10=0 total=-1\n", "some avg10=0\n"} {
		if err := ParsePressure([]byte(in), &p); err == nil {
			t.Errorf("%q was accepted as %+v", in, p)
		}
	}
	b := []byte(file)
	if n := testing.AllocsPerRun(100, func() { _ = ParsePressure(b, &p) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestProcs(t *testing.T) {
	got, err := Procs([]byte("1\n0\n4194304\n\n77"))
	if err != nil || !slices.Equal(got, []int{1, 4194304, 77}) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, in := range []string{"x\n", "-1\n", "2147483648\n", "1 2\n"} {
		if got, err := Procs([]byte(in)); err == nil {
			t.Errorf("%q was accepted as %v", in, got)
		}
	}
}

func FuzzCPUStat(f *testing.F) {
	f.Add([]byte("nr_periods 75\nthrottled_time 2500000001\nusage_usec 1\n"))
	f.Add([]byte(" 1\n\n\x00 2\nnr_periods 18446744073709551616\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s CPUStat
		if ParseCPUStat(b, &s) == nil && (s.Usage < 0 || s.ThrottledTime < 0 || s.BurstTime < 0) {
			t.Fatalf("negative time in %+v", s)
		}
	})
}

func FuzzPressure(f *testing.F) {
	f.Add([]byte("some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull total=2"))
	f.Add([]byte("some total=total=18446744073709551615"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Pressure
		if ParsePressure(b, &p) == nil && (p.Some < 0 || p.Full < 0) {
			t.Fatalf("negative time in %+v", p)
		}
	})
}

func FuzzProcs(f *testing.F) {
	f.Add([]byte("1\n0\n2147483647\n"))
	f.Add([]byte("\n \n9\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pids, err := Procs(b)
		if err != nil {
			return
		}
		var text strings.Builder
		for _, p := range pids {
			if p <= 0 || p > math.MaxInt32 {
				t.Fatalf("process id %d", p)
			}
			fmt.Fprintln(&text, p)
		}
		if again, err := Procs([]byte(text.String())); err != nil || !slices.Equal(again, pids) {
			t.Fatalf("%v became %v, %v", pids, again, err)
		}
	})
}

func FuzzUint(f *testing.F) {
	f.Add([]byte("max\n"))
	f.Add([]byte("18446744073709551615"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := Uint(b)
		if err != nil || n == math.MaxUint64 {
			return
		}
		if again, err := Uint(fmt.Append(nil, n)); err != nil || again != n {
			t.Fatalf("%q is %d, which is %d, %v", b, n, again, err)
		}
	})
}

func FuzzLine(f *testing.F) {
	f.Add([]byte("8:0 rbps=1 wbps=max\n8:16 rbps=2\n"), "8:16")
	f.Add([]byte("default 100\n"), "default")
	f.Add([]byte(" \n8:0"), "8:0")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		rest := Line(b, key)
		if rest != "" && (!strings.Contains(string(b), key+" ") || !strings.Contains(string(b), rest)) {
			t.Fatalf("%q of %q in %q", rest, key, b)
		}
		if rest != "" && !Holds(rest, rest) {
			t.Fatalf("%q does not hold itself", rest)
		}
	})
}
