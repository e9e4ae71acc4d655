package qos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/memory"
)

// decide looks at everything once a second, and in each Step while a domain is
// near its target; else it says again what it said.
func (p *memoryPart) decide(out []control.Intent, now time.Time, _ time.Duration) []control.Intent {
	if !p.on || p.host.Total == 0 {
		return out
	}
	if slow := due(now, p.looked, memoryEvery); slow || p.fast {
		if slow {
			p.looked = now
			p.protect()
		}
		p.allowances(now)
		for _, mg := range p.node.be {
			p.hold(mg, now)
		}
		p.gather()
	}
	p.takeBack(now)
	return append(out, p.intents...)
}

// gather puts all intents in the order of their files.
func (p *memoryPart) gather() {
	p.intents = append(p.intents[:0], p.protections...)
	for _, mg := range p.node.be {
		if mg.boundWant.File != "" {
			p.intents = append(p.intents, mg.boundWant)
			if mg.waitKey != "" && p.mayWait(mg) {
				p.intents = append(p.intents, mg.wait())
			}
		}
		if in, ok := p.asWhole(mg); ok {
			p.intents = append(p.intents, in)
		}
	}
	slices.SortFunc(p.intents, func(a, b control.Intent) int { return strings.Compare(a.File, b.File) })
}

// wait asks that nobody be killed at the bound.
func (mg *memGroup) wait() control.Intent {
	if mg.waitWant.File == "" {
		mg.waitWant = control.Intent{
			Group: mg.g.w.ID, File: mg.waitKey, Value: "1", Controller: "memory", Why: "at a bound below its own limit it waits for the bound to rise instead of being killed",
		}
	}
	return mg.waitWant
}

// asWhole asks for memory.oom.group.
func (p *memoryPart) asWhole(mg *memGroup) (in control.Intent, ok bool) {
	if p.policy.OOMGroup == "off" || !mg.hasOOMGroup {
		return in, false
	}
	if mg.wholeWant.File == "" {
		key, _, err := p.memoryKnob(mg.g, kindOOMGroup, memory.FileOOMGroup)
		if err != nil {
			return in, false
		}
		mg.wholeWant = control.Intent{
			Group: mg.g.w.ID, File: key, Value: "1", Controller: "memory", Why: "best-effort work that runs out of memory goes as a whole",
		}
	}
	if p.e.knobs[mg.wholeWant.File] == nil { // it was put back meanwhile
		mg.wholeWant.File = ""
		return p.asWhole(mg)
	}
	return mg.wholeWant, true
}

// allowances says what each best-effort group may have: the least that any of
// its domains allows.
func (p *memoryPart) allowances(now time.Time) {
	p.fast = false
	for _, mg := range p.node.be {
		mg.allow, mg.allowWhy, mg.short = memory.None, "", false
	}
	p.readNode()
	p.e.totals.Memory.use(p.groups)
	if p.policy.Bound == "off" {
		return
	}
	p.allowIn(&p.node)
	for _, d := range p.limited {
		if p.readLimited(d, now) {
			p.allowIn(d)
		}
	}
}

func (p *memoryPart) allowIn(d *domain) {
	d.bounded = len(d.ls) > 0 && len(d.be) > 0 && !d.Ample(d.bounded)
	if p.e.tapped() {
		p.e.look("memory", "/"+d.rel, d.look(), d.bounded)
	}
	if !d.bounded {
		return
	}
	p.fast = p.fast || d.Free+d.Loose < 2*d.Target
	claims := make([]memory.Claim, len(d.be))
	for i, mg := range d.be {
		claims[i] = memory.Claim{Used: mg.used, Pinned: mg.pinned(), Limit: min(mg.ceiling, d.limit)}
	}
	why := d.describe()
	for i, n := range d.Allow(claims) {
		mg := d.be[i]
		mg.short = mg.short || d.Short() > 0
		if n < mg.allow {
			mg.allow, mg.allowWhy = n, why
		}
	}
}

func (d *domain) describe() string {
	if d.rel == "" {
		return "the node has " + d.Why()
	}
	return fmt.Sprintf("%s has %s", d.rel, d.Why())
}

// hold steps the bound of one best-effort group. While the kernel is reclaiming
// for the last step, that stands.
func (p *memoryPart) hold(mg *memGroup, now time.Time) {
	if mg.boundKey == "" || p.busy(mg.files.Dir.Path()) {
		return
	}
	p.fast = p.fast || mg.waitKey != "" && mg.near()
	s := memory.BoundSample{Now: now, Used: mg.used, Pinned: mg.pinned(), Limit: mg.ceiling, Allow: mg.allow, Why: mg.allowWhy}
	value, why := mg.bound.Step(s, memory.DefaultBound())
	if p.e.tapped() {
		p.e.look("memory.bound", mg.g.w.ID, boundLook{Used: s.Used, Pinned: s.Pinned, Limit: s.Limit}, value)
	}
	if value == memory.None {
		mg.boundWant = control.Intent{}
		return
	}
	if err := p.boundKnob(mg); err != nil {
		mg.boundWant = control.Intent{} // it went away
		return
	}
	if uint64(mg.boundWant.Number) != value || mg.boundWant.File == "" {
		mg.boundWant = control.Intent{
			Group: mg.g.w.ID, File: mg.boundKey, Value: number(value), Number: float64(value), Controller: "memory", Why: why,
		}
	}
}

// protect sizes the protections of all latency-sensitive groups and of the
// cgroups above them, without which theirs would be void.
func (p *memoryPart) protect() {
	p.protections = p.protections[:0]
	if p.policy.Protect == "off" {
		for _, mg := range p.node.ls {
			mg.protected = 0
		}
		return
	}
	wants := make([]memory.Want, len(p.node.ls))
	for i, mg := range p.node.ls {
		if mg.protectFile != "" && !mg.usedAt.IsZero() {
			wants[i] = memory.Want{Hard: mg.protectFile == memory.FileMin, Used: mg.used, Limit: mg.ceiling, Held: mg.protected}
		}
	}
	most := share(p.host.Total, p.policy.Most)
	up := map[string]uint64{} // of the cgroups above, by key
	for i, n := range memory.Protect(memory.Budget{Most: most, Hard: most / 2}, wants) {
		if n > 0 {
			p.shelter(p.node.ls[i], n, up)
		} else {
			p.node.ls[i].protected = 0
		}
	}
	for key, n := range up {
		file, rel, _ := strings.Cut(key, " ")
		if k, err := p.parentKnob(key, rel, file); err == nil {
			p.ask(k, key, rel, n, "what is protected below it counts up to this only")
		}
	}
}

// shelter asks for n bytes of protection for one group, and adds them to those
// of the cgroups above it.
func (p *memoryPart) shelter(mg *memGroup, n uint64, up map[string]uint64) {
	file := mg.protectFile
	key, k, err := p.memoryKnob(mg.g, file, file)
	if err != nil {
		return // it went away
	}
	mg.protected = n
	p.ask(k, key, mg.g.w.ID, n, "latency-sensitive work uses about that much")
	for _, rel := range parents(mg.g.w.Path) {
		up[file+" "+rel] += n
	}
}

// ask adds the intent for a protection, unless the cgroup has as much of its
// own.
func (p *memoryPart) ask(k *fileKnob, key, group string, n uint64, why string) {
	own, err := k.own()
	if err != nil || own >= n {
		return
	}
	p.protections = append(p.protections, control.Intent{
		Group: group, File: key, Value: number(n), Number: float64(n), Controller: "memory", Why: why,
	})
}

// marks are the watermarks of background reclaim: parts of what the group may
// have.
func (mg *memGroup) marks(w *WatermarkPolicy) (high, low uint64) {
	may := min(mg.allow, mg.ceiling)
	if may == memory.None {
		return memory.None, memory.None
	}
	return share(may, w.High), share(may, w.Low)
}

// takeBack has the worker reclaim a piece from the next group that is above its
// watermark.
func (p *memoryPart) takeBack(now time.Time) {
	if p.policy.Reclaim == "off" || p.worker != nil && !p.worker.Idle() {
		return
	}
	n := len(p.node.be)
	for i := range n {
		mg := p.node.be[(p.turn+i)%n]
		if mg.reclaims && p.takeFrom(mg, now) {
			p.turn = (p.turn + i + 1) % n
			return
		}
	}
}

func (p *memoryPart) takeFrom(mg *memGroup, now time.Time) bool {
	high, low := mg.marks(&p.policy.Watermark)
	if mg.used <= low || mg.used <= high && !mg.reclaim.Active() {
		if mg.reclaim.Active() {
			_, _ = mg.reclaim.Step(memory.ReclaimSample{Now: now, Used: mg.used, High: high, Low: low}, p.policy.reclaim())
		}
		return false
	}
	began := !mg.reclaim.Active()
	ask, why := mg.reclaim.Step(memory.ReclaimSample{
		Now: now, Used: mg.used, Pinned: mg.pinned(), High: high, Low: low, Pressure: p.stall(mg, now), Short: mg.short, Edge: min(mg.allow, mg.ceiling),
	}, p.policy.reclaim())
	if ask == 0 {
		return false
	}
	if began {
		p.e.history.add(Decision{
			Time: time.Now().UnixMilli(), Controller: "memory", Workload: mg.g.w.ID, File: mg.path(memory.FileReclaim),
			Old: number(mg.used), New: number(low), Why: why, Result: "ok",
		})
	}
	return p.work().Do(memory.Job{Path: mg.files.Dir.Path(), Ino: mg.files.Dir.Ino(), File: memory.FileReclaim, Bytes: ask})
}

// stall gives the share of time in which tasks of the group waited for memory;
// on v1, which does not tell, of the node's.
func (p *memoryPart) stall(mg *memGroup, now time.Time) float64 {
	var v cgroup.Pressure
	if mg.files.Pressure(p.buf[:], &v) != nil {
		return p.nodePSI.share
	}
	return mg.psi.take(now, v)
}

// collect takes the outcome of the worker's last job.
func (p *memoryPart) collect() {
	if p.worker == nil {
		return
	}
	r, ok := p.worker.Result()
	if !ok {
		return
	}
	p.e.totals.Memory.Reclaimed[r.File] += r.Freed
	i := slices.IndexFunc(p.groups, func(mg *memGroup) bool { return mg.files.Dir.Ino() == r.Ino })
	if i < 0 {
		p.settle(&r)
		return
	}
	mg := p.groups[i]
	mg.usedAt = time.Time{} // it is another now
	if r.File == memory.FileReclaim || r.File == memory.FileEmptyV1 {
		p.reclaimed(mg, &r)
		return
	}
	k, ok := p.e.knobs[mg.boundKey].(*boundKnob)
	if !ok {
		return
	}
	if errors.Is(r.Err, unix.EBUSY) { // v1: what is left cannot be reclaimed
		if at, err := mg.files.Number(mg.boundFile); err == nil {
			mg.bound.Refused(p.e.last, at)
			if p.e.tapped() {
				p.e.look("memory.refused", mg.g.w.ID, at, nil)
			}
			mg.boundWant.Value, mg.boundWant.Number = number(at), float64(at)
		}
		r.Err = nil
		k.value = ""
		return
	}
	k.done(p.e, mg.boundKey, &r)
}

func (p *memoryPart) reclaimed(mg *memGroup, r *memory.Result) {
	feature := "reclaim /" + mg.g.w.ID
	switch {
	case r.Err == nil, cgroup.Gone(r.Err), errors.Is(r.Err, memory.ErrCancelled):
		delete(p.e.degraded, feature)
	default:
		p.e.degrade(feature, r.Err)
	}
	if r.File == memory.FileReclaim {
		mg.reclaim.Done(p.e.last, r.Bytes, r.Freed)
	}
}

// protectBy names the file that protects the group, "" where there is none.
func (mg *memGroup) protectBy() string {
	file := memory.FileLow
	if c := mg.g.Class; c == class.LSE || c == class.LSR {
		file = memory.FileMin
	}
	if !mg.g.Class.Sensitive() || !mg.files.Dir.Has(file) {
		return ""
	}
	return file
}
