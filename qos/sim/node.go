package sim

import (
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/memory"
)

// slots is how many bundles a node holds.
const slots = 16

// node is one machine under one policy.
type node struct {
	w        *world
	cpus     float64
	memory   float64
	queue    servers
	services []service
	watched  []watched // services, as the controllers see them
	bundles  []bundle  // in the order of their coming
	spare    []*control.Member
	members  []*control.Member // of ctl: services, then bundles
	ctl      *control.Node     // nil in a baseline
	quota    bool              // the cap is enforced
	evictor  memory.Evictor

	requests float64 // of all services, cores
	enforced float64 // periods of all limited services in a second
	calm     float64 // LS use over about a minute, for placement
	asked    float64 // by the bundles, cores
	held     float64 // their memory

	// Of the last tick, in cores.
	arrived, ls, be, wanted float64
	behind                  time.Duration // p99 of LS waits behind BE
	lsMemory                float64

	// Since the last step of the controllers.
	since    int
	busy     float64
	out      []event // for the scheduler
	ledger   ledger
	tally    tally
	bin      bin
	failed   *ConservationError // the first breach
	violated int                // service-ticks in the last tick
	capped   bool               // some bundle is held by its quota
	troubled bool               // some service has a backlog or runs out of quota
}

// service is an LS service on a node: what each tick needs of it, so as to fill
// few cache lines. The same index of node.watched has its control.Member.
type service struct {
	limit     float64 // cores, 0 without one
	period    float64 // of enforcement, s
	quota     float64 // core-s a period
	burst     float64 // core-s
	left      float64 // in the bank, core-s
	backlog   float64 // core-s
	given     float64 // cores, in this tick
	over      float64 // share of periods out of quota in this tick
	depth     float64 // core-s used beyond the limit lately
	used      float64 // core-s since the controllers' last step
	throttled float64 // periods, likewise
	stalled   float64 // s, likewise
	stall     float64 // the longest wait for quota, s
	calm      float64 // cores of demand up to which no period runs out of quota
}

// watched is a service as the controllers see it.
type watched struct {
	m    control.Member
	gen  uint64 // of the plan in force
	wait int    // steps until it is looked at though nothing happens
}

// bundle is a best-effort workload: instances of one task.
type bundle struct {
	m     *control.Member
	n     int32 // instances
	task  int32
	cpu   float64 // cores asked for
	mem   float64
	work  float64 // core-s in all
	left  float64 // core-s to do
	since float64 // s of starvation
	want  float64 // cores in this tick
	used  float64 // core-s since the controllers' last step
	short float64 // s held below what it wanted by its quota, likewise
	born  int     // tick
}

// event tells the scheduler what became of a bundle.
type event struct {
	task int32
	n    int32
	work float64 // done, core-s
	why  fate
}

type fate uint8

const (
	done    fate = iota
	evicted      // memory
	starved
)

func (n *node) init(w *world, m *Machine, l *load) {
	*n = node{w: w, cpus: m.CPUs, memory: m.Memory, queue: newServers(m.CPUs), services: make([]service, len(l.services))}
	n.out = make([]event, 0, 2*slots)
	n.members = make([]*control.Member, 0, len(l.services)+slots)
	n.watched = make([]watched, 0, len(l.services))
	for i := range n.services {
		s, in := &n.services[i], &l.services[i]
		s.limit, s.period = in.Limit, 0.1
		s.quota = s.limit * s.period
		n.limited(s, 1)
		if w.policy != nil {
			n.watched = append(n.watched, watched{m: control.Member{ID: in.ID, Class: class.LS, Mode: w.burst}, wait: i % lookEvery})
		}
		n.requests += in.Request
		n.calm += in.Request * float64(in.CPU[0]) / Full
	}
	n.bundles = make([]bundle, 0, slots)
	members := make([]control.Member, slots)
	for i := range members {
		members[i].ID = slotNames[i]
		n.spare = append(n.spare, &members[i])
	}
	if w.policy != nil {
		n.govern()
	}
}

// limited books a service among those with a limit, or takes it out by -1.
func (n *node) limited(s *service, sign float64) {
	if s.limit > 0 {
		n.enforced += sign / s.period
		s.stall = s.period * (1 - min(1, s.limit/n.cpus))
		s.calm = fits(s.quota, n.w.service) / s.period
	}
}

var slotNames = func() (out [slots]string) {
	for i := range out {
		out[i] = "be/" + string(rune('a'+i))
	}
	return out
}()

// run moves the node by a round of ticks.
func (n *node) run(l *load, from, to int) {
	k := len(n.services)
	for t := from; t < to; t++ {
		i := t - from
		n.tick(l.round[i*k:(i+1)*k], l.held[i], t)
	}
}

// tick moves the node by one, in which services want cores and hold memory.
func (n *node) tick(cores []float64, memory float64, t int) {
	o := &n.w.o
	dt := n.w.dt
	infl := 1 + o.Interference*n.be/n.cpus
	want := n.serve(cores, infl, dt)
	n.wanted = n.wants(dt)
	n.divide(want)
	if want > n.ls {
		n.squeeze(n.ls/want, dt)
	}
	n.ledger.arrived += n.arrived * dt
	n.ledger.served += n.ls * dt
	n.objectives(want, infl)
	n.work(dt)
	n.lsMemory = memory
	n.fit()
	n.calm += (n.ls - n.calm) * min(1, dt/60)
	n.busy += (n.ls + n.be) * dt
	n.since++
	if o.tamper != nil {
		o.tamper(n.w, n, t)
	}
	if n.check(t); n.failed != nil {
		return // the round ends with it
	}
	n.count(dt)
	if n.since >= n.w.every {
		if n.ctl != nil {
			n.control(t)
		}
		n.since, n.busy = 0, 0
	}
}

// serve gives each service what it wants and its quota allows, as if the node
// had it, and keeps queue and bank; it returns the sum.
func (n *node) serve(cores []float64, infl, dt float64) (sum float64) {
	n.arrived, n.troubled = 0, false
	rate := 1 / dt
	for i, d := range cores {
		s := &n.services[i]
		d *= infl
		n.arrived += d
		got := d + s.backlog*rate
		s.over = 0
		if s.limit > 0 {
			got = n.bank(s, d, got, rate, dt)
		} else {
			s.backlog = 0
		}
		s.given = got
		s.used += got * dt
		sum += got
		if s.backlog > 0 || s.over > 0.01 {
			n.troubled = true
		}
	}
	return sum
}

// bank is the part of serve for a limited service, which has a demand of d and
// wants what it wants: its quota comes at its rate, and what is not used is kept
// up to the burst.
func (n *node) bank(s *service, d, want, rate, dt float64) (got float64) {
	if d > s.calm {
		s.over = overrun(d*s.period, s.quota+s.left, n.w.service)
	}
	got = want
	if top := s.limit + s.left*rate; want > top {
		got = top
		s.backlog += (d - got) * dt
		s.left, s.over = 0, 1
	} else {
		s.backlog = 0
		s.left = min(s.left+(s.limit-got)*dt, s.burst)
	}
	if got > s.limit || s.depth > 0 {
		s.depth = max(0, s.depth+(got-s.limit)*dt)
	}
	if s.over > 0 {
		periods := s.over * dt / s.period
		s.throttled += periods
		n.tally.throttled += periods
		s.stalled += s.over * dt * max(0, 1-s.limit/max(d, s.limit*1.1))
	}
	return got
}

// squeeze leaves each service the part of what serve gave that the node has.
func (n *node) squeeze(part, dt float64) {
	n.troubled = true
	for i := range n.services {
		s := &n.services[i]
		cut := s.given * (1 - part)
		s.given -= cut
		s.used -= cut * dt
		s.backlog += cut * dt
		if s.limit > 0 {
			s.left = min(s.left+cut*dt, s.burst)
		}
	}
}

// wants puts what each best-effort workload wants, and its quota allows, into want.
func (n *node) wants(dt float64) (sum float64) {
	rate := 1 / dt
	n.capped = false
	for i := range n.bundles {
		b := &n.bundles[i]
		b.want = min(b.cpu, b.left*rate)
		if n.quota && b.m.Share > 0 && b.m.Share < b.want {
			b.want = b.m.Share
			b.short += dt
			n.capped = true
		}
		sum += b.want
	}
	return sum
}

// divide gives the CPUs to LS and BE.
func (n *node) divide(want float64) {
	may := n.cpus
	if n.w.weight > 0 && want+n.wanted > n.cpus {
		// By weight in proportion to requests; what BE does not want is left.
		asked := n.asked * n.w.weight
		may = max(n.cpus*n.requests/(n.requests+asked), n.cpus-n.wanted)
	}
	n.ls = min(want, may)
	n.be = min(n.wanted, n.cpus-n.ls)
}

// objectives counts the services whose p99 is beyond the objective.
func (n *node) objectives(want, infl float64) {
	w := n.w
	room := n.cpus
	if w.weight > 0 {
		room = max(n.ls, n.cpus-n.be)
	}
	wait := 0.0
	if room > 0 {
		q := n.queue
		q.c = max(1, room)
		wait = q.wait99(want/room) * w.service * infl
	}
	behind := n.behind99()
	n.behind = time.Duration(behind * 1e9)
	slack := (w.o.SLO-infl)*ln100*w.service - wait - behind
	n.violated = 0
	switch {
	case slack < 0:
		n.violated = len(n.services)
	case !n.troubled:
		return
	}
	for i := range n.services {
		s := &n.services[i]
		late := 0.0
		if s.backlog > 0 {
			n.giveUp(s)
			late = s.backlog / max(s.given, 1e-9)
		}
		if s.over > 0.01 {
			late += s.stall
		}
		if late > slack && slack >= 0 {
			n.violated++
		}
	}
}

// giveUp drops what has waited for too long.
func (n *node) giveUp(s *service) {
	if most := n.w.timeout * max(s.given, n.w.least); s.backlog > most {
		n.ledger.lost += s.backlog - most
		s.backlog = most
	}
}

// behind99 is the p99 of the time a waking LS thread waits for BE to leave the
// CPU: it must where all CPUs are busy.
func (n *node) behind99() float64 {
	if n.be == 0 {
		return 0
	}
	busy := (n.ls + n.be) / n.cpus
	if busy < n.queue.quiet {
		return 0
	}
	share := n.be / (n.ls + n.be) // of the CPUs, held by BE
	mean := n.w.leave * (1 + n.w.crowd*max(0, n.wanted-n.be)/n.cpus)
	return log100(n.queue.waits(busy)*share) * mean
}

// work lets best-effort work get on.
func (n *node) work(dt float64) {
	part := 1.0
	if n.wanted > n.be {
		part = n.be / n.wanted
	}
	n.ledger.beServed += n.be * dt
	for i := 0; i < len(n.bundles); i++ {
		b := &n.bundles[i]
		got := b.want * part * dt
		b.left -= got
		b.used += got
		if got < starving*b.cpu*dt && b.left > got {
			b.since += dt
		} else {
			b.since = 0
		}
		switch {
		case b.left <= b.work*1e-9:
			n.free(i, done)
			i--
		case b.since >= n.w.starve:
			n.free(i, starved)
			i--
		}
	}
}

// starving is the share of what it asks for below which work starves.
const starving = 0.05

// fit lets the kernel kill best-effort work while memory does not suffice.
func (n *node) fit() {
	for n.lsMemory+n.held > n.memory && len(n.bundles) > 0 {
		n.free(n.victim(), evicted)
	}
}

// victim is the bundle that the kernel kills first: the largest (oom_badness),
// of equal ones the youngest. Services come after, in all scenarios: kubelet sets
// oom_score_adj so, as does the agent.
func (n *node) victim() (at int) {
	for i := range n.bundles {
		if n.bundles[i].mem >= n.bundles[at].mem {
			at = i
		}
	}
	return at
}

// free ends a bundle.
func (n *node) free(i int, why fate) {
	b := &n.bundles[i]
	ran := b.work - b.left
	n.out = append(n.out, event{task: b.task, n: b.n, work: ran, why: why})
	n.ledger.closed += ran
	n.spare = append(n.spare, b.m)
	n.bundles = append(n.bundles[:i], n.bundles[i+1:]...)
	n.sum()
	n.enlist()
}

// sum adds up what the bundles ask for and hold, anew, so that no rounding
// gathers.
func (n *node) sum() {
	n.asked, n.held = 0, 0
	for i := range n.bundles {
		n.asked += n.bundles[i].cpu
		n.held += n.bundles[i].mem
	}
}

// full says that the node takes no further bundle.
func (n *node) full() bool { return len(n.bundles) == slots }

// place puts instances of a task onto the node.
func (n *node) place(task int32, t *Task, count int32, tick int) {
	m := n.spare[len(n.spare)-1]
	n.spare = n.spare[:len(n.spare)-1]
	*m = control.Member{ID: m.ID, Class: class.BE, Mode: burst.ModeOff}
	c := float64(count)
	n.bundles = append(n.bundles, bundle{m: m, n: count, task: task, cpu: t.CPU * c, mem: t.Memory * c, work: t.Work() * c, left: t.Work() * c, born: tick})
	n.sum()
	n.enlist()
}

// enlist tells the controllers who is here.
func (n *node) enlist() {
	if n.ctl == nil {
		return
	}
	n.members = n.members[:0]
	for i := range n.watched {
		n.members = append(n.members, &n.watched[i].m)
	}
	for i := range n.bundles {
		n.members = append(n.members, n.bundles[i].m)
	}
	n.ctl.SetMembers(n.members)
}
