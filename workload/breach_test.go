package workload

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func TestBreachesLastUntilTheirTime(t *testing.T) {
	var b Breaches
	now := time.Unix(1000, 0)
	if got := b.Current(now); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
	report := func(id string, p99, lasts time.Duration) {
		t.Helper()
		if !b.Report(Breach{ID: id, P99: p99, Until: now.Add(lasts)}, now) {
			t.Errorf("%s was not taken", id)
		}
	}
	report("b", 1, 5*time.Second)
	report("a", 2, 3*time.Second)
	report("b", 3, 5*time.Second)
	if got := b.Current(now); len(got) != 2 || got[0].ID != "a" || got[1].P99 != 3 {
		t.Errorf("%+v", got)
	}
	now = now.Add(3 * time.Second)
	if got := b.Current(now); len(got) != 1 || got[0].ID != "b" {
		t.Errorf("three seconds later: %+v", got)
	}
	report("b", 4, 5*time.Second)
	now = now.Add(4 * time.Second)
	if got := b.Current(now); len(got) != 1 {
		t.Errorf("said again, and gone: %+v", got)
	}
	if got := b.Current(now.Add(time.Second)); got != nil {
		t.Errorf("nobody says it any more: %+v", got)
	}
}

func TestBreachesAreBounded(t *testing.T) {
	var b Breaches
	now := time.Unix(1000, 0)
	until := now.Add(time.Second)
	for i := range MostBreaches {
		b.Report(Breach{ID: fmt.Sprint(i), Until: until}, now)
	}
	if b.Report(Breach{ID: "one more", Until: until}, now) || len(b.Current(now)) != MostBreaches {
		t.Error("more than there is room for")
	}
	if !b.Report(Breach{ID: "1", P99: 7, Until: until}, now) {
		t.Error("one that is known has no room")
	}
	if now = until; !b.Report(Breach{ID: "one more", Until: now.Add(1)}, now) || len(b.Current(now)) != 1 {
		t.Error("what is void takes room")
	}
}

func TestNoBreaches(t *testing.T) {
	var b *Breaches
	if b.Report(Breach{ID: "a"}, time.Now()) || b.Current(time.Now()) != nil {
		t.Error("nil has some")
	}
	if new(Breaches).Report(Breach{Until: time.Now().Add(time.Hour)}, time.Now()) {
		t.Error("nobody's was taken")
	}
}

func TestBreachesAtOnce(t *testing.T) {
	var b Breaches
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 500 {
				now := time.Now()
				b.Report(Breach{ID: fmt.Sprint(i), Until: now.Add(time.Second)}, now)
				b.Current(now)
			}
		})
	}
	all.Wait()
	if got := b.Current(time.Now()); len(got) != 4 {
		t.Errorf("%+v", got)
	}
}

func TestWhoseProcessesACgroupHolds(t *testing.T) {
	for _, c := range []struct {
		of   Workload
		path string
		want bool
	}{
		{Workload{Kind: KindContainer, Path: "/kubepods/x"}, "/kubepods/x", true},
		{Workload{Kind: KindContainer, Path: "/kubepods/x"}, "/kubepods/x/init.scope", true},
		{Workload{Kind: KindContainer, Path: "/kubepods/x"}, "/kubepods/xy", false},
		{Workload{Kind: KindContainer, Path: "/kubepods/x"}, "/kubepods", false},
		{Workload{Kind: KindSlice, Path: "/system.slice"}, "/system.slice/a.service", false},
		{Workload{Kind: KindSlice, Path: "/system.slice"}, "/system.slice", true},
		{Workload{Kind: KindAnole, Path: "/anole-ls/web"}, "", false},
	} {
		if got := c.of.Holds(c.path); got != c.want {
			t.Errorf("%s %s and %q: %v", c.of.Kind, c.of.Path, c.path, got)
		}
	}
}

func TestShadow(t *testing.T) {
	for path, want := range map[string]bool{"/anole-psi-ls": true, "/anole-net-be": true, "/anole-ls/web": false, "/": false, "": false, "/system.slice/a.service": false} {
		if got := Shadow(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
