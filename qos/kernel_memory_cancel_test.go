package qos

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

// slowRig has a best-effort group whose bound is being lowered, which the kernel
// does not end before release is closed.
func slowRig(t *testing.T) (r *rig, b box, free string, release chan struct{}) {
	t.Helper()
	n := groups.Open(t)
	b = makeBox(t, n, 256*mib)
	b.be.Write(boundFile(n), strconv.Itoa(250*mib))
	free = b.be.Read(boundFile(n))
	b.ls.Touch(b.file, 0, 150*mib, 50*time.Millisecond)
	b.reader = b.be.Stream(b.file, 1<<30, 1<<30, 0)
	eventually(t, "the box is full", func() bool { return usage(b.be) > 60*mib })
	release = make(chan struct{})
	var at atomic.Bool
	be := b.be
	p := memoryOnly(n)
	p.Memory.Reclaim, p.Memory.Watermark.Free = "off", 0.2 // nothing but a step of the bound, and a large one
	r = openRig(t, n, p, func(path, value string) error {
		if to, err := strconv.Atoi(value); err == nil && path == be.Path(boundFile(n)) && to < usage(be)-mib {
			at.Store(true)
			<-release
		}
		return nil
	})
	r.until("its bound is being lowered", at.Load)
	return r, b, free, release
}

// A group that is of another class now does not make the Engine wait for the
// kernel, and has its limit back when that is done.
func TestKernelMemoryNobodyWaitsForTheKernel(t *testing.T) {
	r, b, free, release := slowRig(t)
	began := time.Now()
	r.set(func(p *Policy) { p.Rules = []Rule{{Match: matchPath("/**"), Class: class.None}} })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the Engine was held up for %v", took)
	}
	r.steps(20)
	close(release)
	r.until("its own limit is back", func() bool { return b.be.Read(boundFile(r.n)) == free })
	r.until("nothing of it is in the journal", func() bool { return r.pending(b.be) == 0 })
	r.steps(20)
	if now := b.be.Read(boundFile(r.n)); now != free {
		t.Errorf("%s, not %s", now, free)
	}
	if d := r.degradedBy("memory"); len(d) > 0 {
		t.Errorf("degraded: %q", d)
	}
}

func TestKernelMemoryGroupGoesWhileTheKernelIsAtIt(t *testing.T) {
	r, b, free, release := slowRig(t)
	b.be.Remove()
	r.until("let go", func() bool { return r.class(b.be) == "" })
	b.be = r.n.Make("box/be.service")
	b.be.Write(boundFile(r.n), free)
	b.be.Sleep()
	r.until("another one is there", func() bool { return r.class(b.be) == "BE" })
	r.steps(20)
	close(release)
	r.until("it is served", func() bool { return r.of(b.be).Memory != nil })
	r.close()
	if now := b.be.Read(boundFile(r.n)); now != free {
		t.Errorf("%s, not %s", now, free)
	}
}

// A stop while the kernel does not come back says so, and leaves what it could
// not put back to the next start.
func TestKernelMemoryStopWhileTheKernelIsAtIt(t *testing.T) {
	r, b, free, release := slowRig(t)
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "still at it") {
		t.Errorf("error %v", err)
	}
	if r.pending(b.be) == 0 {
		t.Error("what is under way was forgotten")
	}
	before := b.be.Read(boundFile(r.n))
	_ = b.reader.Process.Kill() // on a slow machine it may fill the group as fast as the kernel empties it
	close(release)
	eventually(t, "the write is over", func() bool { return b.be.Read(boundFile(r.n)) != before })
	if rep := r.j.Restore(t.Context(), cgroup.Undo); len(rep.Failed) > 0 {
		t.Error(rep.Failed)
	}
	if now := b.be.Read(boundFile(r.n)); now != free {
		t.Errorf("%s, not %s", now, free)
	}
}

// pending counts the journal's entries of a group's bound.
func (r *rig) pending(g *groups.Group) (n int) {
	for _, e := range r.j.Pending() {
		if boundOf(&e) == filepath.Dir(g.Path(boundFile(r.n))) {
			n++
		}
	}
	return n
}
