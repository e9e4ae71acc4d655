package rivals

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/burst"
)

var base = burst.Bandwidth{Period: 100_000, Quota: 30_000}

func TestBoostSteps(t *testing.T) {
	b, err := NewBoost(BoostOptions{Base: base})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Duration(0)
	step := func(throttled bool, pool float64) burst.Micros {
		at += time.Second
		q, _ := b.Step(BoostSample{At: at, Throttled: throttled, PoolUse: pool})
		return q
	}
	if q := step(true, 0.2); q != 36_000 {
		t.Errorf("first step %v", q)
	}
	if q := step(false, 0.2); q != 36_000 {
		t.Errorf("not throttled: %v", q)
	}
	if q := step(true, 0.46); q != 36_000 {
		t.Errorf("cooling: %v", q)
	}
	if q, changed := b.Step(BoostSample{At: at + 500*time.Millisecond, Throttled: true}); changed || q != 36_000 {
		t.Errorf("within the second: %v %v", q, changed)
	}
	for range 20 {
		step(true, 0.2)
	}
	if b.Quota() != 90_000 {
		t.Errorf("ceiling %v", b.Quota())
	}
	if q := step(true, 0.5); q != 72_000 {
		t.Errorf("busy node: %v", q)
	}
	for range 20 {
		step(true, 0.9)
	}
	if b.Quota() != base.Quota {
		t.Errorf("floor %v", b.Quota())
	}
}

func TestBoostTokensRunOut(t *testing.T) {
	b, err := NewBoost(BoostOptions{Base: base, BurstLimit: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	most := burst.Micros(0)
	for i := range 40 {
		used := b.Quota().Duration() * 10 // all of the quota in every period
		q, _ := b.Step(BoostSample{At: time.Duration(i) * time.Second, Throttled: true, Used: used})
		most = max(most, q)
	}
	if most <= base.Quota || b.Quota() > base.Quota*12/10 {
		t.Errorf("rose to %v and ended at %v: the bucket must end the boost", most, b.Quota())
	}
}

func TestVolcanoPlan(t *testing.T) {
	if b, err := VolcanoPlan(0.3); err != nil || b != (burst.Bandwidth{Period: 100_000, Quota: 30_000, Burst: 30_000}) {
		t.Errorf("%+v %v", b, err)
	}
	if b, err := KubernetesPlan(0.3); err != nil || b != base {
		t.Errorf("%+v %v", b, err)
	}
	if _, err := VolcanoPlan(math.NaN()); !errors.Is(err, burst.ErrInvalid) {
		t.Errorf("NaN: %v", err)
	}
	for _, o := range []BoostOptions{{}, {Base: burst.Bandwidth{Period: 100_000, Quota: burst.Unlimited}}, {Base: base, Up: math.NaN()}, {Base: base, Down: 2}, {Base: base, Every: -1}} {
		if _, err := NewBoost(o); !errors.Is(err, burst.ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
