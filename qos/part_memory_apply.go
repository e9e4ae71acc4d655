package qos

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/memory"
)

// How often a group's processes are looked at: soon again after the first look,
// which may have come before all were there; children inherit. A few new groups
// a Step, so that no Step is long, and another one each third: on a node with
// 200 it takes a minute to come round.
const (
	scanAgain   = 2 * time.Second
	scanSettled = 30 * time.Second
	firstsAStep = 4
)

// leastEmpty is what a finished group must still hold to be worth a reclaim.
const leastEmpty = 16 * memory.MiB

func (p *memoryPart) apply(now time.Time) {
	if !p.on || p.host.Total == 0 {
		return
	}
	firsts, again := firstsAStep, 0
	if p.scanTurn%3 == 0 {
		again = 1
	}
	for i := range p.groups {
		mg := p.groups[(p.scanTurn+i)%len(p.groups)]
		left := &again
		if mg.scans == 0 {
			left = &firsts
		}
		if *left > 0 && due(now, mg.scanned, mg.scanEvery()) && mg.classed() {
			*left--
			mg.scans, mg.scanned = mg.scans+1, now
			p.scan(mg)
		}
	}
	if len(p.groups) > 0 {
		p.scanTurn = (p.scanTurn + 1) % len(p.groups)
	}
	p.evict(now)
}

func (mg *memGroup) scanEvery() time.Duration {
	if mg.scans < 3 {
		return scanAgain
	}
	return scanSettled
}

func (mg *memGroup) classed() bool { return mg.bestEffort() || mg.g.Class.Sensitive() || mg.scored }

// scan looks at the processes of one group: their oom_score_adj, whether any
// was killed for lack of memory, whether any is left.
func (p *memoryPart) scan(mg *memGroup) {
	pids, err := mg.processes()
	if err != nil {
		return // it went away
	}
	if len(pids) == 0 && mg.empty > 0 { // nothing but its cache is left
		if mg.empty++; mg.bestEffort() {
			p.empty(mg)
		}
		return
	}
	p.score(mg, pids)
	if e, err := mg.files.Events(); err == nil {
		if mg.seen && e.OOMKill > mg.events.OOMKill {
			n := e.OOMKill - mg.events.OOMKill
			mg.kills += n
			p.e.totals.Memory.Class[mg.g.Class].OOMKills += n
		}
		mg.events, mg.seen = e, true
	}
	if len(pids) > 0 {
		mg.empty, mg.emptied = 0, false
		return
	}
	mg.empty++
}

// processes lists those of the group, with all below it unless that holds
// workloads of their own.
func (mg *memGroup) processes() ([]int, error) {
	if mg.nests {
		return mg.files.Dir.Procs()
	}
	return mg.files.Dir.AllProcs()
}

// empty has the kernel take back the page cache of a group without processes.
func (p *memoryPart) empty(mg *memGroup) {
	if mg.emptied || mg.used < leastEmpty || p.policy.Reclaim == "off" {
		return
	}
	job := memory.Job{Path: mg.files.Dir.Path(), Ino: mg.files.Dir.Ino()}
	switch {
	case mg.reclaims:
		job.File, job.Bytes = memory.FileReclaim, mg.used
	case mg.files.Dir.Has(memory.FileEmptyV1):
		job.File = memory.FileEmptyV1
	default:
		return
	}
	if mg.emptied = p.work().Do(job); mg.emptied {
		p.e.history.add(Decision{
			Time: time.Now().UnixMilli(), Controller: "memory", Workload: mg.g.w.ID, File: mg.path(job.File),
			Old: number(mg.used), New: "0", Why: "its processes have ended, its page cache stayed", Result: "ok",
		})
	}
}

// scoreFeature is what is degraded of one group.
func (mg *memGroup) scoreFeature() string { return "oom score of " + mg.g.w.ID }

// score sets oom_score_adj by class, or puts back what was there when the class
// or the policy is another one now.
func (p *memoryPart) score(mg *memGroup, pids []int) {
	to, wanted := p.scoreOf(mg.g)
	if !wanted || to != mg.scoreTo {
		p.unscore(mg)
	}
	if !wanted {
		return
	}
	kube := mg.g.w.KubeQoS != ""
	changes := memory.Changes(pids, func(now int) (int, bool) { return memory.Score(mg.g.Class, now, kube) })
	if len(changes) == 0 {
		return
	}
	if mg.scored { // those that ended since are no matter of the journal's any more
		p.e.journalled(memory.Forget(p.e.w))
	}
	mg.scored, mg.scoreTo = true, to
	n, err := memory.Apply(p.e.w, mg.files.Dir, pids, changes)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		err = unfavoured(err)
	}
	if err != nil {
		p.e.degrade(mg.scoreFeature(), err)
	} else {
		delete(p.e.degraded, mg.scoreFeature())
	}
	p.recordScore(mg, n, "0", strconv.Itoa(to), "by class "+mg.g.Class.String(), err)
}

// scoreOf gives the oom_score_adj of a group's class. To favour a process takes
// a capability that the agent may lack; then it is not tried.
func (p *memoryPart) scoreOf(g *group) (to int, ok bool) {
	if p.policy.OOMScore == "off" {
		return 0, false
	}
	if to, ok = memory.Score(g.Class, 0, false); !ok || to > 0 {
		return to, ok
	}
	if p.favour == nil {
		may, err := sys.Capable(unix.CAP_SYS_RESOURCE)
		p.favour = new(err == nil && may)
	}
	return to, *p.favour
}

func unfavoured(err error) error {
	return &feature.UnsupportedError{
		Feature: "oom_score_adj of latency-sensitive work", Reason: feature.NoPrivilege, Need: "CAP_SYS_RESOURCE", Fix: "run the agent with it", Err: err,
	}
}

// unscore puts the group's processes back.
func (p *memoryPart) unscore(mg *memGroup) {
	if !mg.scored {
		return
	}
	err := errors.Join(memory.Restore(p.e.w, mg.files.Dir)...)
	p.recordScore(mg, 0, strconv.Itoa(mg.scoreTo), "as before", "no longer wanted", err)
	if err != nil {
		p.e.degrade(mg.scoreFeature(), err)
		return
	}
	mg.scored = false
	delete(p.e.degraded, mg.scoreFeature())
	p.e.journalled(memory.Forget(p.e.w))
}

func (p *memoryPart) recordScore(mg *memGroup, n int, from, to, why string, err error) {
	result := "ok"
	if err != nil {
		result = "error: " + err.Error()
	}
	p.e.totals.wrote("oom_score_adj", result)
	file := "oom_score_adj"
	if n > 0 {
		file = fmt.Sprintf("oom_score_adj of %d processes", n)
	}
	p.e.history.add(Decision{
		Time: time.Now().UnixMilli(), Controller: "memory", Workload: mg.g.w.ID, File: file, Old: from, New: to, Why: why, Result: result,
	})
}

// evict ends one best-effort group when available memory stays low.
func (p *memoryPart) evict(now time.Time) {
	if p.e.tapped() && len(p.node.be) > 0 {
		defer func(was uint64) {
			p.e.look("memory.evict", "/", evictLook{p.host.Available, p.host.Total}, p.e.totals.Memory.Evictions-was)
		}(p.e.totals.Memory.Evictions)
	}
	if p.policy.Evict != "kill" || len(p.node.be) == 0 {
		p.evictor = memory.Evictor{}
		return
	}
	p.fast = p.fast || float64(p.host.Available) < 1.5*p.policy.Below*float64(p.host.Total)
	goes, why := p.evictor.Step(now, p.host.Available, p.host.Total, p.policy.eviction())
	if !goes {
		return
	}
	all := make([]memory.Candidate, 0, len(p.node.be))
	for _, mg := range p.node.be {
		if pids, err := mg.files.Dir.AllProcs(); err == nil && len(pids) > 0 {
			all = append(all, mg.candidate(now))
		}
	}
	if len(all) == 0 {
		return
	}
	memory.Order(all)
	i := slices.IndexFunc(p.node.be, func(mg *memGroup) bool { return mg.g.w.ID == all[0].ID })
	p.kill(p.node.be[i], why)
}

// priorityLabel is Koordinator's priority of a pod within its class, a number.
const priorityLabel = "koordinator.sh/priority"

func (mg *memGroup) candidate(now time.Time) memory.Candidate {
	c := memory.Candidate{ID: mg.g.w.ID, Used: mg.used, Priority: memory.Priority(mg.g.w.Labels[priorityLabel])}
	if st, err := os.Stat(mg.files.Dir.Path()); err == nil {
		c.Age = max(0, now.Sub(st.ModTime()))
	}
	return c
}

func (p *memoryPart) kill(mg *memGroup, why string) {
	file, err := killAll(mg.files.Dir)
	result := "ok"
	if err != nil && !cgroup.Gone(err) {
		result = "error: " + err.Error()
		p.e.degrade("eviction", err)
	} else {
		delete(p.e.degraded, "eviction")
		p.e.totals.Memory.Evictions++
	}
	p.evictWhy = "last: " + mg.g.w.ID + ": " + why
	p.e.log.Warn("evicted", "workload", mg.g.w.ID, "why", why, "result", result)
	p.e.history.add(Decision{
		Time: time.Now().UnixMilli(), Controller: "memory", Workload: mg.g.w.ID, File: file, Old: number(mg.used), New: "killed", Why: why, Result: result,
	})
}

// fileKill ends all of a v2 cgroup at once, Linux 5.14.
const fileKill = "cgroup.kill"

// killAll kills every process of the cgroup and of all below it. Without
// cgroup.kill it looks again for those that were forked meanwhile.
func killAll(d *cgroup.Dir) (by string, err error) {
	if d.Has(fileKill) {
		return d.Path() + "/" + fileKill, d.Tell(fileKill, "1")
	}
	by = "SIGKILL to the processes of " + d.Path()
	for range 20 {
		pids, err := d.AllProcs()
		if err != nil || len(pids) == 0 {
			return by, err
		}
		if err := killThese(d, pids); err != nil {
			return by, err
		}
	}
	return by, nil // what is left is dying
}

// killThese kills processes that are still in the group when they can no longer
// be mistaken for others: once a file descriptor stands for each.
func killThese(d *cgroup.Dir, pids []int) error {
	held := map[int]int{}
	defer func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			held[pid] = fd
		} else if !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("open process %d: %w", pid, err)
		}
	}
	still, err := d.AllProcs()
	if err != nil {
		return err
	}
	for _, pid := range still {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return nil
}
