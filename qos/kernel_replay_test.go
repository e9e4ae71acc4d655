package qos

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

// recordSteps records while do runs.
func (r *rig) record(do func()) *bytes.Buffer {
	r.t.Helper()
	tap, err := r.Tap()
	if err != nil {
		r.t.Fatal(err)
	}
	var buf bytes.Buffer
	w := record.NewWriter(&buf)
	head := tap.Header()
	if err := w.Write(&record.Line{Header: &head}); err != nil {
		r.t.Fatal(err)
	}
	taken := make(chan error, 1)
	go func() {
		var err error
		for lines := range tap.Lines() {
			for _, l := range lines {
				err = errors.Join(err, w.Write(l))
			}
		}
		taken <- err
	}()
	do()
	tap.Close()
	if err := errors.Join(<-taken, tap.Err()); err != nil {
		r.t.Fatal(err)
	}
	return &buf
}

func replay(t *testing.T, rec []byte, p *Policy) *Replay {
	t.Helper()
	rd, err := record.NewReader(bytes.NewReader(rec), "rec")
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	out, err := ReplayRecording(context.Background(), rd, ReplayOptions{Policy: p})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What the agent decided on a real node is what its recording decides again, to
// the last digit; another policy decides otherwise.
func TestKernelReplayRepeatsTheAgent(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be, late := n.Make("ls.service"), n.Make("be.service"), "be2.service"
	ls.Limit(30_000, 100_000, 0)
	ls.Spin()
	be.Spin()
	p := testPolicy(n)
	p.Control.Deadband, p.Control.Throttled = 0.02, 0.2
	r := openRig(t, n, p, nil)
	rec := r.record(func() {
		r.until("a share and a bank", func() bool { return be.Quota() > 0 && ls.Burst() > 0 })
		r.steps(50)
		n.Make(late).Spin()
		r.steps(100)
		r.set(func(p *Policy) { p.BE.Floor = 0.3 })
		r.steps(50)
	})
	own := replay(t, rec.Bytes(), nil)
	if own.Steps < 150 || own.Same != 1 || own.Agree != 1 || own.CutOff {
		t.Errorf("%d steps, %v of them identical, %v agree, cut off %v", own.Steps, own.Same, own.Agree, own.CutOff)
	}
	if own.Now.Plans == 0 || own.Now.CapMoves == 0 || own.Now.Plans != own.Then.Plans || own.Now.CapMoves != own.Then.CapMoves || own.Now.MeanCap != own.Then.MeanCap {
		t.Errorf("replayed %+v, recorded %+v", own.Now, own.Then)
	}
	other := p
	other.BE.Floor, other.Control.Target = 0.8, 0.9
	got := replay(t, rec.Bytes(), &other)
	if got.Now.LeastCap < 0.8*got.CPUs-1e-9 || got.Then.LeastCap >= got.Now.LeastCap || got.Own {
		t.Errorf("a floor of 80 %%: replayed %+v, recorded %+v", got.Now, got.Then)
	}
	other.Rules = []Rule{{Match: workload.Match{Path: "/**"}, Class: class.BE}}
	if got = replay(t, rec.Bytes(), &other); got.Now.Capped != 0 {
		t.Errorf("a cap though nobody is latency-sensitive: %+v", got.Now)
	}
	for _, m := range got.Members {
		if m.Class != class.BE {
			t.Errorf("%s is %s by a policy that says BE to all", m.ID, m.Class)
		}
	}
}

func TestKernelTapThatNobodyTakesEnds(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r := openRig(t, n, testPolicy(n), nil)
	tap, err := r.Tap()
	if err != nil {
		t.Fatal(err)
	}
	for range tapDepth + 5 {
		r.Step(time.Now())
	}
	steps := 0
	for range tap.Lines() {
		steps++
	}
	if tap.Err() != ErrSlow || steps != tapDepth {
		t.Errorf("%d steps, then %v", steps, tap.Err())
	}
	tap.Close()
	if _, err := r.Tap(); err != nil {
		t.Errorf("no recording after one that ended: %v", err)
	}
}

// What was decided on a disk is decided again; another floor gives another
// limit.
func TestKernelReplayRepeatsTheDisks(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	be.Run("sh", "-c", d.Writer())
	p := ioPolicyFor(n, d, use)
	r := start(t, n, d, ls, be, p)
	rec := r.record(func() {
		r.steps(5)
		ls.Run("sh", "-c", d.Reader())
		r.until("best-effort IO is limited", func() bool { return r.status().Limit != nil })
		r.steps(50)
	})
	of := func(x *Replay) ReplayDisk {
		for _, one := range x.Disks {
			if one.Name == d.Name {
				return one
			}
		}
		t.Fatalf("disk %s is not in %+v", d.Name, x.Disks)
		return ReplayDisk{}
	}
	own := of(replay(t, rec.Bytes(), nil))
	if own.Same != 1 || own.Now != own.Then || own.Now.Moves == 0 || own.Now.Limited == 0 {
		t.Errorf("replayed %+v", own)
	}
	p.IO.Floor = 0.9
	if other := of(replay(t, rec.Bytes(), &p)).Now; other == own.Now || other.Limited > 0 && other.WriteBytes <= own.Now.WriteBytes {
		t.Errorf("a floor of 90 %% limits as much: %+v, recorded %+v", other, own.Now)
	}
	p.IO.Devices[0].Use = "off"
	if other := of(replay(t, rec.Bytes(), &p)); other.Now.Limited != 0 || other.Mechanism != "off" {
		t.Errorf("switched off: %+v", other)
	}
}

// What best-effort work was bound to is decided again; another watermark bounds
// it otherwise.
func TestKernelReplayRepeatsTheMemory(t *testing.T) {
	n := groups.Open(t)
	b := makeBox(t, n, 256*mib)
	b.ls.Touch(b.file, 0, 150*mib, 100*time.Millisecond)
	b.be.Stream(b.file, 1<<30, 32*mib, 64*mib)
	p := memoryOnly(n)
	r := openRig(t, n, p, nil)
	free := b.be.Read(boundFile(n))
	rec := r.record(func() {
		r.until("bounded", func() bool { return b.be.Read(boundFile(n)) != free })
		r.steps(50)
	})
	of := func(x *Replay) ReplayBound {
		if x.Memory != nil {
			for _, g := range x.Memory.Groups {
				if g.ID == b.be.Rel[1:] {
					return g
				}
			}
		}
		t.Fatalf("%s is not in %+v", b.be.Rel, x.Memory)
		return ReplayBound{}
	}
	own := of(replay(t, rec.Bytes(), nil))
	if own.Same != 1 || own.Now != own.Then || own.Now.Bounded == 0 {
		t.Errorf("replayed %+v", own)
	}
	p.Memory.Watermark.Free = 0.2
	if other := of(replay(t, rec.Bytes(), &p)).Now; other.Mean >= own.Now.Mean {
		t.Errorf("20 %% kept free: %+v, recorded %+v", other, own.Now)
	}
	p.Memory.Bound = "off"
	if other := of(replay(t, rec.Bytes(), &p)).Now; other.Bounded != 0 {
		t.Errorf("switched off: %+v", other)
	}
	p.Memory = DefaultPolicy().Memory
	p.Memory.Evict, p.Memory.Below, p.Memory.After = "kill", 1, yamlx.Duration(0)
	if m := replay(t, rec.Bytes(), &p).Memory; m.NowEvictions == 0 || m.ThenEvictions != 0 {
		t.Errorf("eviction below 100 %% of the memory: %d, recorded %d", m.NowEvictions, m.ThenEvictions)
	}
}
