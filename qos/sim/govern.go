package sim

import (
	"math"
	"time"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
)

// mechanism is by what best-effort work yields on the model's kernel, a stock
// one from Linux 5.15 on.
func mechanism(p *qos.Policy) actuate.Mechanism {
	switch p.BE.Priority {
	case "auto":
		return actuate.Idle
	case "off":
		return ""
	}
	return actuate.Mechanism(p.BE.Priority)
}

// govern gives the node the agent's decisions.
func (n *node) govern() {
	n.ctl = control.NewNode(n.w.policy.Controls(n.cpus, burst.Mainline(), mechanism(n.w.policy)))
	n.quota = true
	n.enlist()
	for i := range n.watched {
		_ = n.ctl.SetLimit(&n.watched[i].m, n.services[i].limit) // why there is no bank is in Bank.Refused
		n.adopt(i)
	}
}

// lookEvery is after how many steps of the controllers a service is shown to
// its learner that stayed below its limit: what it sees then cannot change what
// it learned, see burst.Auto, and it forgets by the time of the next look.
const lookEvery = 120

// control shows the controllers what they would see, and does what they say.
func (n *node) control(tick int) {
	dt := float64(n.since) * n.w.dt
	in := control.Signals{
		Now: time.Unix(0, 0).Add(time.Duration(tick+1) * n.w.o.Tick), Dt: time.Duration(n.since) * n.w.o.Tick,
		Busy: n.busy / dt, Pressure: math.NaN(), RunQueueOK: n.w.runQueue,
		RunQueueP99: n.behind, RunQueueSamples: uint64(n.ls * dt / n.w.service),
	}
	for i := range n.services {
		n.watched[i].show(&n.services[i], dt)
	}
	for i := range n.bundles {
		n.bundles[i].show(dt)
	}
	out := n.ctl.Step(in)
	for _, m := range out.Grants {
		n.grant(m)
	}
	for i := range n.watched {
		if w := &n.watched[i]; w.m.Fresh && w.m.Bank != nil && w.m.Bank.Gen != w.gen {
			n.adopt(i)
		}
	}
	n.evict(in.Now, tick)
}

// show sets the signals of a service.
func (w *watched) show(s *service, dt float64) {
	m := &w.m
	m.Used = s.used / dt
	m.Delta = time.Duration(s.used * 1e9)
	m.Periods, m.Throttled, m.Stalled = 0, 0, 0
	if s.limit > 0 {
		m.Periods = uint64(dt/s.period + 0.5)
	}
	if s.throttled >= 1 {
		// The kernel counts whole periods: what is less is kept for later.
		whole := math.Floor(s.throttled)
		m.Throttled, m.Stalled = uint64(whole), time.Duration(s.stalled*1e9)
		s.throttled, s.stalled = s.throttled-whole, 0
	}
	w.wait--
	m.Fresh = w.wait <= 0 || s.depth > 0 || m.Throttled > 0
	if m.Fresh {
		w.wait = lookEvery
	}
	s.used = 0
}

// show sets the signals of best-effort work.
func (b *bundle) show(dt float64) {
	b.m.Fresh, b.m.Used, b.m.Delta = true, b.used/dt, time.Duration(b.used*1e9)
	b.m.Periods, b.m.Throttled = uint64(dt/0.1+0.5), uint64(math.Ceil(b.short/0.1))
	b.used, b.short = 0, 0
}

// adopt puts a service's plan into force. Writing it gives one quota.
func (n *node) adopt(i int) {
	w, s := &n.watched[i], &n.services[i]
	b := w.m.Bank
	if b == nil || b.Refused != "" {
		return
	}
	w.gen = b.Gen
	n.limited(s, -1)
	s.period = b.Plan.Period.Duration().Seconds()
	s.quota = b.Plan.Quota.Duration().Seconds()
	s.burst = b.Plan.Burst.Duration().Seconds()
	s.left = min(s.left+s.quota, s.quota+s.burst)
	n.limited(s, 1)
}

// grant gives a member a quota of its credit.
func (n *node) grant(m *control.Member) {
	for i := range n.watched {
		if w, s := &n.watched[i], &n.services[i]; &w.m == m && m.Bank.Credit != nil && m.Bank.Credit.Spend() {
			s.left = min(s.left+s.quota, s.quota+s.burst)
			n.tally.grants++
			return
		}
	}
}
