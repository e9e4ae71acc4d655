package burst

import (
	"fmt"
	"time"
)

// CreditOptions describes one group to [Credit].
type CreditOptions struct {
	Limit     float64       // r in CPUs
	Bandwidth Bandwidth     // what the kernel has now; see SetBandwidth
	Cap       time.Duration // most credit that can be saved; must not be below one quota to be of use
	Initial   time.Duration // credit at the start, at most Cap; 0 for a group whose past is unknown
}

// Sample is what one group did since the last tick.
type Sample struct {
	Dt        time.Duration // length of the tick
	Used      time.Duration // CPU time used in it
	Throttled time.Duration // growth of throttled_time
	// Stalled is the sensors' own evidence that the group waits for a refill right now: PSI cpu "full" grew to the end of the tick, or runnable threads
	// and no use. It is needed because throttled_time grows only once the wait is over.
	Stalled bool
}

// Credit is the agent-side bank of one group, for kernels that cannot bank the wanted burst. The kernel's bucket keeps up to D of unused quota and drops
// the rest; Credit keeps what it drops, up to a cap, and gives it back one quota at a time, by one deliberate write of the quota the group already has
// (which adds Q to the pool and ends throttling, tg_set_cfs_bandwidth).
//
// It keeps two levels: a model K of the kernel's bucket, filled at rate r up to D, and the saved credit S, filled by what overflows K. Since a grant
// moves Q from S to K and S is filled by unused quota only, for any time T since the start
//
//	granted <= r*T + initial,   use <= r*T + D + Cap (+ refill edge, see Bandwidth.MaxUse).
//
// K drains into S's debt if more was used than K held (slices, ticks, a write by someone else), so errors of the model cost the group credit rather
// than the neighbours. Credit decides nothing about the node: see [Gate] and [Select]. It is pure: nothing is written here.
type Credit struct {
	opts    CreditOptions
	kernel  float64 // K in ns
	saved   float64 // S in ns, negative in debt
	waiting int     // ticks in a row with evidence of throttling
	granted time.Duration
	grants  int
}

// NewCredit returns a ledger whose model of the kernel's bucket is empty, so that a restart of the agent creates no credit. The error is a *FieldError.
func NewCredit(o CreditOptions) (*Credit, error) {
	if err := checkLimit(o.Limit); err != nil {
		return nil, err
	}
	if err := checkBudget("cap", o.Cap); err != nil {
		return nil, err
	}
	if o.Initial < 0 || o.Initial > o.Cap {
		return nil, field("initial", o.Initial, fmt.Sprintf("must be between 0 and the cap %v", o.Cap))
	}
	c := &Credit{opts: o, saved: float64(o.Initial)}
	if err := c.SetBandwidth(o.Bandwidth); err != nil {
		return nil, err
	}
	return c, nil
}

// SetBandwidth tells the ledger that the kernel setting was changed. The write itself added a quota to the pool, which is charged to the saved credit.
func (c *Credit) SetBandwidth(b Bandwidth) error {
	loose := Mainline()
	loose.BurstMayExceedQuota = true
	if err := loose.Check(b); err != nil {
		return fmt.Errorf("credit: %w", err)
	}
	if b.Quota == Unlimited {
		return fmt.Errorf("credit: %w", field("quota", b.Quota, "an unlimited group needs no credit"))
	}
	if c.opts.Bandwidth != b {
		c.saved -= float64(b.Quota.Duration())
		c.kernel = min(c.kernel+float64(b.Quota.Duration()), float64(b.Depth().Duration()))
	}
	c.opts.Bandwidth = b
	return nil
}

// Observe takes one tick. A tick that cannot be true counts as missing: nothing is saved for it, and the group is not seen as throttled.
func (c *Credit) Observe(s Sample) {
	if s.Dt <= 0 || s.Dt > longestGap || s.Used < 0 || s.Throttled < 0 || s.Used > s.Dt*MaxLimit {
		c.waiting = 0
		return
	}
	c.kernel += c.opts.Limit*float64(s.Dt) - float64(s.Used)
	c.settle()
	if s.Stalled || s.Throttled > 0 {
		c.waiting++
	} else {
		c.waiting = 0
	}
}

// settle moves what K cannot hold into S and K's deficit out of it.
func (c *Credit) settle() {
	depth := float64(c.opts.Bandwidth.Depth().Duration())
	if over := c.kernel - depth; over > 0 {
		c.saved = min(float64(c.opts.Cap), c.saved+over)
		c.kernel = depth
	}
	if c.kernel < 0 {
		c.saved += c.kernel
		c.kernel = 0
	}
}

// Want returns the group's request for one grant, if it is throttled and has saved a whole quota.
func (c *Credit) Want(id string) (Want, bool) {
	cost := c.opts.Bandwidth.Quota.Duration()
	if c.waiting == 0 || c.saved < float64(cost) {
		return Want{}, false
	}
	return Want{ID: id, Cost: cost, Saved: time.Duration(c.saved), Waiting: c.waiting}, true
}

// Spend books one grant. Call it before the write, and Refund if the write failed, so that a crash in between costs credit and never mints it.
// It reports false, booking nothing, without a whole quota saved.
func (c *Credit) Spend() bool {
	cost := c.opts.Bandwidth.Quota.Duration()
	if c.saved < float64(cost) {
		return false
	}
	c.saved -= float64(cost)
	c.kernel += float64(cost)
	c.waiting = 0
	c.granted += cost
	c.grants++
	// Unlike unused quota, a grant that does not fit the kernel's bucket is lost there, so it must not come back as credit.
	c.kernel = min(c.kernel, float64(c.opts.Bandwidth.Depth().Duration()))
	return true
}

// Refund undoes the last Spend whose write failed.
func (c *Credit) Refund() {
	if c.grants == 0 {
		return
	}
	cost := c.opts.Bandwidth.Quota.Duration()
	c.saved = min(float64(c.opts.Cap), c.saved+float64(cost))
	c.kernel = max(0, c.kernel-float64(cost))
	c.granted -= cost
	c.grants--
}

// CreditStats is the state of a ledger.
type CreditStats struct {
	Saved   time.Duration `json:"saved_ns"` // negative in debt
	Kernel  time.Duration `json:"kernel_ns"`
	Granted time.Duration `json:"granted_ns"`
	Grants  int           `json:"grants"`
	Waiting int           `json:"waiting_ticks"`
}

// Stats returns the state of the ledger.
func (c *Credit) Stats() CreditStats {
	return CreditStats{
		Saved: time.Duration(c.saved), Kernel: time.Duration(c.kernel), Granted: c.granted, Grants: c.grants, Waiting: c.waiting,
	}
}
