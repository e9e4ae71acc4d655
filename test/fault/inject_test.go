package fault

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/groups"
)

// flaky makes a share of the writes fail.
type flaky struct {
	mu    sync.Mutex
	rng   *rand.Rand
	share float64
	seen  int
}

var errnos = []error{unix.EINVAL, unix.EBUSY, unix.EACCES, unix.ENODEV}

func (f *flaky) fault(string, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rng.Float64() >= f.share {
		return nil
	}
	f.seen++
	return errnos[f.rng.IntN(len(errnos))]
}

func (f *flaky) set(share float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.share = share
}

func TestRefusedWritesAtRandom(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	var gs []*groups.Group
	for i := range 6 {
		ls, be := n.Make(fmt.Sprintf("ls%d.service", i)), n.Make(fmt.Sprintf("be%d.service", i))
		ls.Limit(30_000, 100_000, 0)
		ls.Sleep()
		be.Sleep()
		gs = append(gs, ls, be)
	}
	was := groups.Snapshot(gs...)
	p := policy(n.Prefix)
	p.LS.Burst = qos.BurstMode{Set: true, Budget: 300 * time.Millisecond}
	f := &flaky{rng: rand.New(rand.NewPCG(2, 3)), share: 1}
	e, j, err := engine(t.TempDir(), p, f.fault)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer e.Close()
	until(t, e, "refusals are shown", func() bool { return len(degraded(e, n.Prefix)) > 0 })
	errorsSeen := 0
	for _, d := range e.Status().Decisions {
		if strings.HasPrefix(d.Result, "error: ") || d.Result == "gone" {
			errorsSeen++
		}
	}
	if errorsSeen == 0 {
		t.Errorf("no decision tells of an error: %+v", e.Status().Decisions)
	}
	// The policy changes while half of all writes fail.
	f.set(0.5)
	for i := range 60 {
		p.BE.Priority, p.BE.Suppress = "cpu.idle", "quota"
		if i%2 == 0 {
			p.BE.Priority, p.BE.Suppress = "weight", "cpuset"
		}
		p.LS.Burst = qos.BurstMode{Set: true, Budget: time.Duration(i%3) * 100 * time.Millisecond}
		if err := e.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		e.Step(time.Now().Add(time.Duration(i) * 2 * time.Second)) // past all pauses between tries
	}
	if f.seen < 20 {
		t.Fatalf("only %d writes were refused", f.seen)
	}
	f.set(0)
	p = policy(n.Prefix)
	p.LS.Burst = qos.BurstMode{Set: true, Budget: 300 * time.Millisecond}
	if err := e.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(5 * time.Minute)
	for range 5 {
		now = now.Add(2 * time.Minute)
		e.Step(now)
		now = now.Add(20 * time.Millisecond)
		e.Step(now)
	}
	for _, g := range gs {
		if be := strings.Contains(g.Rel, "-be"); be && (g.Read("cpu.idle") != "1" || !g.Limited()) || !be && g.Burst() == 0 {
			t.Errorf("%s did not recover: %v", g.Rel, groups.Snapshot(g))
		}
	}
	if d := degraded(e, n.Prefix); len(d) > 0 {
		t.Errorf("still degraded: %v", d)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	same(t, was, gs...)
	if left := j.Pending(); len(left) > 0 {
		t.Errorf("%d entries left", len(left))
	}
}

func TestClockJumps(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	ls.Sleep()
	quiet := n.Make("be-quiet.service")
	quiet.Sleep()
	n.Make("be-other.service").Sleep()
	spin := n.Make("be-spin.service")
	spin.Spin()
	p := policy(n.Prefix)
	p.LS.Burst = qos.BurstMode{Set: true, Budget: 300 * time.Millisecond}
	e, j, err := engine(t.TempDir(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer e.Close()
	writes := func() (n uint64) {
		for _, v := range e.Totals().Writes {
			n += v
		}
		return n
	}
	until(t, e, "settled", func() bool { return ls.Burst() > 0 && e.Status().Cap != nil })
	now := time.Now()
	run := func(n int) {
		for range n {
			now = now.Add(20 * time.Millisecond)
			e.Step(now)
			time.Sleep(2 * time.Millisecond)
		}
	}
	// The spinner has what the others leave: nothing more is to be split.
	until(t, e, "shares settled", func() bool { return quiet.Quota() == 1000 })
	now = time.Now()
	run(100)
	for _, jump := range []time.Duration{-time.Hour, 24 * time.Hour, -24 * time.Hour, 0, -time.Millisecond, 290 * 365 * 24 * time.Hour} {
		before := writes()
		now = now.Add(jump)
		e.Step(now)
		e.Step(now)
		run(3)
		if got := writes() - before; got != 0 {
			t.Errorf("%d writes after a jump by %v: %+v", got, jump, e.Status().Decisions[:got])
		}
	}
	if d := e.Status().Degraded; len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
}
