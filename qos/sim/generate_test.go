package sim

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestGenerateKeepsToItsShape(t *testing.T) {
	s := Shape{Seed: 1, Nodes: 40, Hours: 24, Sample: 600}
	f := generate(t, s)
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(f, generate(t, s)) {
		t.Error("the same shape gives another fleet")
	}
	i := f.info()
	near(t, "batch work", i.Work, 0.4, 0.01)
	near(t, "requests", i.Request, 0.6, 0.02)
	r := run(t, f, Options{Seed: 1, Tick: 10 * time.Second}) // the day's shape needs no seconds
	alone := r.find(t, Alone)
	near(t, "LS use", alone.CPU.LS, 0.2, 0.04)
	var low, high float64 = 1, 0
	for _, v := range alone.Series.LS {
		low, high = min(low, v), max(high, v)
	}
	if high < 1.8*low {
		t.Errorf("LS use from %v to %v: no day", low, high)
	}
}

func TestGenerateRefuses(t *testing.T) {
	for want, s := range map[string]Shape{
		"nodes -1":         {Nodes: -1},
		"hours 1e+09":      {Hours: 1e9},
		"ls 0.7":           {LS: 0.7},
		"services 100000":  {Services: 100000},
		"seconds 0.5":      {Seconds: 0.5},
		"swing 2":          {Swing: 2},
		"sample 100000":    {Sample: 100000},
		"GiB: want fewer":  {Nodes: 1e6, Hours: 1000},
		"cpus -3: want 1":  {CPUs: -3},
		"request -1: want": {Request: -1},
	} {
		if _, err := Generate(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}
