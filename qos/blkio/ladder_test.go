package blkio

import (
	"errors"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

var (
	v2Full  = Kernel{Unified: true, Cost: true, Throttle: true, Weights: true}
	v1Full  = Kernel{V1: true, Throttle: true, Weights: true}
	queued  = Disk{Name: "sda", Multi: true, Scheduler: "mq-deadline", Choice: []string{"none", "mq-deadline", "bfq"}}
	onBFQ   = Disk{Name: "sda", Multi: true, Scheduler: "bfq", Choice: []string{"none", "bfq"}}
	stacked = Disk{Name: "md1"}
)

func TestLadder(t *testing.T) {
	without := func(k Kernel, cost, throttle, weights bool) Kernel {
		k.Cost, k.Throttle, k.Weights = k.Cost && cost, k.Throttle && throttle, k.Weights && weights
		return k
	}
	for _, c := range []struct {
		name string
		k    Kernel
		d    Disk
		want string
		m    Mechanism
	}{
		{"v2", v2Full, queued, "auto", Cost},
		{"v2, bfq", v2Full, onBFQ, "auto", Cost},
		{"v2 without io.cost", without(v2Full, false, true, true), onBFQ, "auto", Max},
		{"v2, no request queue", v2Full, stacked, "auto", Max},
		{"v2 without limits", without(v2Full, false, false, true), onBFQ, "auto", BFQ},
		{"v1", v1Full, queued, "auto", Throttle},
		{"v1, bfq", v1Full, onBFQ, "auto", BFQ},
		{"v1, bfq before Linux 5.4", without(v1Full, true, true, false), onBFQ, "auto", Throttle},
		{"v1, no request queue", v1Full, stacked, "auto", Throttle},
		{"forced", v2Full, onBFQ, "bfq", BFQ},
		{"forced limit", v2Full, onBFQ, "io.max", Max},
		{"off", v2Full, onBFQ, "off", Off},
	} {
		m, why, err := Choose(c.k, &c.d, c.want)
		if err != nil || m != c.m || why == "" {
			t.Errorf("%s: %q because %q, %v; want %q", c.name, m, why, err, c.m)
		}
	}
}

func TestLadderSaysWhyNot(t *testing.T) {
	for _, c := range []struct {
		name string
		k    Kernel
		d    Disk
		want string
		need string
	}{
		{"nothing at all", Kernel{}, queued, "auto", "the io controller on cgroup v2"},
		{"the scheduler is not switched unasked", v1Full, queued, "bfq", "bfq as the disk's scheduler (it is mq-deadline)"},
		{"bfq is not built", v2Full, Disk{Name: "sda", Multi: true, Scheduler: "none", Choice: []string{"none"}}, "bfq", "the bfq scheduler"},
		{"io.cost on a stacked disk", v2Full, stacked, "io.cost", "a disk with a request queue (blk-mq)"},
		{"v1 has no io.max", v1Full, queued, "io.max", "the io controller on cgroup v2"},
		{"v2 has no v1 throttle", v2Full, queued, "throttle", "the blkio controller on cgroup v1"},
	} {
		m, _, err := Choose(c.k, &c.d, c.want)
		var u *feature.UnsupportedError
		if m != Off || !errors.As(err, &u) || !strings.Contains(u.Need, c.need) || u.Fix == "" {
			t.Errorf("%s: %q, %v; want the need of %q", c.name, m, err, c.need)
		}
	}
}

func TestBufferedWritesAreNotPromisedOnV1(t *testing.T) {
	for _, d := range []Disk{queued, onBFQ} {
		if _, why, _ := Choose(v1Full, &d, "auto"); !strings.Contains(why, "buffered writes are not held") {
			t.Errorf("v1: %q", why)
		}
	}
	if _, why, _ := Choose(v2Full, &queued, "io.max"); !strings.Contains(why, "buffered writes are held too") {
		t.Errorf("v2: %q", why)
	}
}
