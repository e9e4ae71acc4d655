package qos

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

const burnEnv = "ANOLE_QOS_BURN"

func TestMain(m *testing.M) {
	if os.Getenv(burnEnv) == "" {
		os.Exit(m.Run())
	}
	for { // 150 ms of CPU time about each second
		for until := spent() + 150*time.Millisecond; spent() < until; {
		}
		time.Sleep(800 * time.Millisecond)
	}
}

func spent() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		os.Exit(1)
	}
	return time.Duration(ts.Nano())
}

// burn starts a process in the group that works in bursts.
func burn(t *testing.T, g *groups.Group) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g.Run("env", burnEnv+"=1", exe)
}

const kubeSlices = "kubepods.slice/kubepods-burstable.slice"

// kubePod makes a pod as the kubelet does with the systemd driver, its limit in
// thousandths of a CPU the sum of its containers'.
func kubePod(n *groups.Node, seq int, containers ...int) (pod *groups.Group, boxes []*groups.Group) {
	n.Home("kubepods.slice")
	n.Home(kubeSlices)
	name := fmt.Sprintf("%s/kubepods-burstable-pod0123abcd_4567_89ef_0123_%012x.slice", kubeSlices, seq)
	pod = n.Make(name)
	sum := 0
	for _, c := range containers {
		sum += c
	}
	pod.Limit(sum*100, 100_000, 0)
	for i, c := range containers {
		b := n.Make(fmt.Sprintf("%s/cri-containerd-%063x%x.scope", name, seq, i))
		b.Limit(c*100, 100_000, 0)
		boxes = append(boxes, b)
	}
	return pod, boxes
}

// podPolicy has all containers in pods latency-sensitive.
func podPolicy(n *groups.Node, bank time.Duration) Policy {
	p := testPolicy(n)
	p.Rules[0].Match = matchPath(n.Prefix + "kubepods.slice/**")
	p.LS.Burst = BurstOff
	if bank > 0 {
		p.LS.Burst = BurstMode{Set: true, Budget: bank}
	}
	return p
}

// deep gives how much a group can save up.
func deep(g *groups.Group) int { return g.Quota() + g.Burst() }

func TestKernelPodHasTheBanksBelow(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	pod, boxes := kubePod(n, 1, 300, 200)
	all := append([]*groups.Group{pod}, boxes...)
	was := groups.Snapshot(all...)
	boxes[0].Sleep()
	boxes[1].Sleep()
	r := openRig(t, n, podPolicy(n, 300*time.Millisecond), nil)
	banked := func() bool {
		return boxes[0].Burst() > 0 && boxes[1].Burst() > 0 && deep(pod) >= deep(boxes[0])+deep(boxes[1])
	}
	r.until("banks", banked)
	if pod.Quota()*2 != pod.Period() {
		t.Errorf("the pod's rate is %d/%d, it was 0.5", pod.Quota(), pod.Period())
	}
	x, err := r.Explain(boxes[0].Rel)
	if err != nil || !strings.Contains(fmt.Sprint(x.Files), pod.Rel+"/") || !strings.Contains(fmt.Sprint(x.Decisions), "for 2 below") {
		t.Errorf("explain does not tell of the pod: %+v, %v", x, err)
	}
	r.steps(30)
	before := r.writes()
	r.steps(30)
	if got := r.writes() - before; got != 0 {
		t.Errorf("%d writes in a steady state", got)
	}
	// One container goes: the pod keeps what the other needs.
	boxes[1].Remove()
	r.until("less", func() bool { return deep(pod) < 600_000 && deep(pod) >= deep(boxes[0]) })
	r.set(func(p *Policy) { p.LS.Burst = BurstOff })
	r.until("none", func() bool { return pod.Burst() == 0 && boxes[0].Burst() == 0 })
	for f := range was {
		if strings.Contains(f, boxes[1].Rel+"/") {
			delete(was, f)
		}
	}
	same(t, was, pod, boxes[0])
	r.set(func(p *Policy) { p.LS.Burst = BurstMode{Set: true, Budget: 200 * time.Millisecond} })
	r.until("a bank again", func() bool { return boxes[0].Burst() > 0 && deep(pod) >= deep(boxes[0]) })
	if d := r.Status().Degraded; len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	r.close()
	same(t, was, pod, boxes[0])
}

func TestKernelForeignLimitOfAPodIsAdopted(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	pod, boxes := kubePod(n, 2, 300)
	boxes[0].Sleep()
	r := openRig(t, n, podPolicy(n, 300*time.Millisecond), nil)
	r.until("a bank", func() bool { return deep(pod) >= 300_000 })
	pod.Limit(80_000, 100_000, 0)
	theirs := groups.Snapshot(pod)
	r.until("a bank on theirs", func() bool { return deep(pod) >= 300_000 && pod.Quota()*10 == pod.Period()*8 })
	r.set(func(p *Policy) { p.LS.Burst = BurstOff })
	r.until("theirs again", func() bool { return len(groups.Differ(theirs, groups.Snapshot(pod))) == 0 })
	r.set(func(p *Policy) { p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond} })
	r.until("a bank", func() bool { return deep(pod) >= 300_000 })
	pod.Limit(90_000, 100_000, 0) // and the Engine does not get to see it
	theirs = groups.Snapshot(pod)
	r.close()
	same(t, theirs, pod)
	// A pod without a limit is none of ours.
	if n.Unified() {
		pod.Write("cpu.max", "max 100000")
	} else {
		pod.Write("cpu.cfs_quota_us", "-1")
	}
	theirs = groups.Snapshot(pod)
	r = openRig(t, n, podPolicy(n, 300*time.Millisecond), nil)
	r.until("a bank below", func() bool { return deep(boxes[0]) >= 300_000 })
	r.steps(5)
	same(t, theirs, pod)
	r.close()
	same(t, theirs, pod)
}

func TestKernelPodMadeAnewIsAnother(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	var r *rig
	for round := range 3 {
		pod, boxes := kubePod(n, 3, 300)
		boxes[0].Sleep()
		if r == nil {
			r = openRig(t, n, podPolicy(n, 300*time.Millisecond), nil)
		}
		r.until("a bank", func() bool { return deep(pod) >= 300_000 && deep(boxes[0]) >= 300_000 })
		boxes[0].Remove()
		pod.Remove()
		if round == 2 { // and nobody looks before the end
			pod, boxes = kubePod(n, 3, 400)
			theirs := groups.Snapshot(pod, boxes[0])
			r.close()
			same(t, theirs, pod, boxes[0])
		}
	}
}

// The limits of pods and their containers change in one Step in an order that
// the kernel takes: nothing is refused, whatever the policy jumps to.
func TestKernelPodsChangeInOrder(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	var all []*groups.Group
	for i := range 3 {
		pod, boxes := kubePod(n, 10+i, 300, 100+50*i)
		boxes[0].Sleep()
		boxes[1].Sleep()
		all = append(append(all, pod), boxes...)
	}
	was := groups.Snapshot(all...)
	r := openRig(t, n, podPolicy(n, 300*time.Millisecond), nil)
	r.steps(3)
	for i := range 40 {
		r.set(func(p *Policy) {
			p.LS.Burst = []BurstMode{BurstOff, {Set: true, Budget: 300 * time.Millisecond}, {Set: true, Budget: 50 * time.Millisecond}, BurstAuto, {Set: true, Budget: time.Second}}[i%5]
			p.Rules[0].Class = []class.Class{class.LS, class.LS, class.BE}[i%3]
			p.LS.Stall = 0
			if i%4 == 3 {
				p.LS.Stall = p.Control.Settle / 10
			}
		})
		r.steps(2)
	}
	for _, d := range r.Status().Decisions {
		if strings.HasPrefix(d.Result, "error") {
			t.Errorf("%+v", d)
		}
	}
	if d := r.Status().Degraded; len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	if w := r.Totals().Writes; len(w) == 0 {
		t.Error("nothing was written: this tests nothing")
	}
	r.close()
	same(t, was, all...)
}

// A container that works in bursts is not throttled at its pod's limit, as it is
// where nobody banks for the group above.
func TestKernelPodDoesNotThrottleABurst(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	pod, boxes := kubePod(n, 20, 300)
	plain := n.Make("plain.slice") // the same, but no pod
	plain.Limit(30_000, 100_000, 0)
	box := n.Make("plain.slice/ls.service")
	box.Limit(30_000, 100_000, 0)
	was := groups.Snapshot(pod, boxes[0], plain, box)
	p := podPolicy(n, 300*time.Millisecond)
	p.Rules = append([]Rule{{Match: matchPath(box.Rel), Class: class.LS}}, p.Rules...)
	r := openRig(t, n, p, nil)
	burn(t, boxes[0])
	burn(t, box)
	r.until("banks", func() bool { return deep(pod) >= 300_000 && deep(boxes[0]) >= 300_000 && deep(box) >= 300_000 })
	all := []*groups.Group{pod, boxes[0], plain, box}
	before := throttles(t, all)
	r.until("the group above that has no bank runs out of quota", func() bool { return throttles(t, all)[2] >= before[2]+12 })
	got := throttles(t, all)
	for i := range got {
		got[i] -= before[i]
	}
	t.Logf("throttled periods: pod %d, its container %d; slice without a bank %d, its service %d", got[0], got[1], got[2], got[3])
	if 4*got[0] > got[2] || 4*got[1] > got[2] { // a slow machine makes bursts longer than the bank
		t.Errorf("the pod was throttled in %d periods, its container in %d", got[0], got[1])
	}
	if plain.Burst() != 0 {
		t.Error("a group above that is no pod was changed")
	}
	r.close()
	same(t, was, all...)
}

// throttles gives nr_throttled of groups.
func throttles(t *testing.T, gs []*groups.Group) (out []int) {
	t.Helper()
	for _, g := range gs {
		var s cgroup.CPUStat
		if err := cgroup.ParseCPUStat([]byte(g.Read("cpu.stat")+"\n"), &s); err != nil {
			t.Fatal(err)
		}
		out = append(out, int(s.Throttled))
	}
	return out
}
