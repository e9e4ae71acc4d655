package observer

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// level is how much is measured, from all that was asked for down to a part of the
// connections.
type level int

// The levels. From sampled on each takes half of the connections of the one before.
const (
	whole   level = iota // as configured
	fewer                // no more records than failed and sampled ones
	lite                 // programs' reads are not seen
	sampled              // half of the new connections
	last    = sampled + 6
)

// budget holds the cost below a limit. It goes down at once and up slowly.
type budget struct {
	limit float64 // share of a CPU, 0 is none
	at    level
	calm  int // seconds that the cost was so low that the level above may fit
}

const (
	calmFor = 60  // seconds
	calm    = 0.4 // of the limit
)

// step takes the cost of the last second, as a share of a CPU, and says whether the
// level changed.
func (b *budget) step(cost float64) bool {
	switch {
	case b.limit == 0:
		return false
	case cost > b.limit:
		b.calm = 0
		if b.at == last {
			return false
		}
		b.at++
		return true
	case cost > calm*b.limit || b.at == whole:
		b.calm = 0
		return false
	}
	if b.calm++; b.calm < calmFor {
		return false
	}
	b.calm = 0
	b.at--
	return true
}

// skip is of how many connections one is measured.
func (l level) skip() uint32 {
	if l < sampled {
		return 1
	}
	return 2 << (l - sampled)
}

// String says it for people.
func (l level) String() string {
	switch l {
	case whole:
		return "as configured"
	case fewer:
		return "records of failed and sampled requests only"
	case lite:
		return "tier lite, records of failed and sampled requests only"
	}
	return fmt.Sprintf("tier lite, one of %d connections", l.skip())
}

// apply makes the collector measure at a level.
func (o *Observer) apply(l level) error {
	emit, tier := o.cfg.emit(), o.best
	if o.wantAll() {
		emit = tcprt.EmitAll
	}
	if l >= fewer && o.cfg.Records != None {
		emit = tcprt.EmitFailed | tcprt.EmitSample
	}
	if l >= lite {
		tier = tcprt.Lite
	}
	if err := o.c.SetEmit(emit, o.cfg.Sample); err != nil {
		return err
	}
	if err := o.c.SetTier(tier); err != nil {
		return err
	}
	return o.c.SetSkip(l.skip())
}

// costOf is what the agent's thread took since the last call, as a share of a CPU.
func (o *Observer) costOf(now time.Time, thread time.Duration) (share float64) {
	if !o.costAt.IsZero() {
		if wall := now.Sub(o.costAt); wall > 0 {
			share = float64(thread-o.threadWas) / float64(wall)
		}
	}
	o.costAt, o.threadWas = now, thread
	return share
}
