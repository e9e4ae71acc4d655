package memory

import (
	"fmt"
	"math"
	"time"
)

// ReclaimOptions tunes a Reclaimer.
type ReclaimOptions struct {
	Rate   uint64        // bytes a second at most
	Stall  float64       // share of time the group's tasks may wait for memory (PSI, some)
	Breach float64       // from that share on it stops
	Cool   time.Duration // how long it stays stopped
}

// DefaultReclaim gives the options that a node runs with unless told otherwise.
func DefaultReclaim() ReclaimOptions {
	return ReclaimOptions{Rate: 512 * MiB, Stall: 0.1, Breach: 0.3, Cool: 5 * time.Second}
}

// ReclaimSample is one look at a group.
type ReclaimSample struct {
	Now       time.Time
	Used      uint64
	Pinned    uint64  // the part of it that no reclaim can take
	High, Low uint64  // watermarks: it begins above High and ends below Low
	Edge      uint64  // its limit or bound, 0 for none: half way there from High it must be fast, and stalls are the edge's fault
	Pressure  float64 // share of the last interval in which some task of the group waited for memory; NaN when unknown
	Short     bool    // the group's domain is below its target: stalls of best-effort work weigh less then
}

// Reclaimer takes page cache back from one group in the background, so that its
// tasks need not do it themselves when they run into their bound: small pieces,
// at a pace that grows while the group does not feel it, shrinks when it does
// and is nothing for a while when it suffers. Its zero value is ready.
type Reclaimer struct {
	on      bool
	pace    float64 // bytes a second
	next    time.Time
	barren  int // pieces in a row of which the kernel reclaimed next to nothing
	stopped string
}

// Pieces are what the kernel reclaims in a few milliseconds.
const (
	leastPiece = 1 * MiB
	mostPiece  = 32 * MiB
	leastPace  = 16 * MiB
	// pieceTime is how much of its pace one piece holds.
	pieceTime = 100 * time.Millisecond
)

// Active says whether it is between the watermarks on the way down.
func (r *Reclaimer) Active() bool { return r.on }

// Stopped says why it does nothing above the high watermark, "" if it does.
func (r *Reclaimer) Stopped() string { return r.stopped }

// Step gives the bytes to reclaim now, 0 for none, and why.
func (r *Reclaimer) Step(s ReclaimSample, o ReclaimOptions) (ask uint64, why string) {
	if s.Used <= s.Low || !r.on && s.Used <= s.High {
		*r = Reclaimer{pace: r.pace, next: r.next}
		return 0, ""
	}
	r.on = true
	if r.next.Sub(s.Now) > time.Minute {
		r.next = s.Now // the clock went back
	}
	if s.Now.Before(r.next) || r.breached(s, o) {
		return 0, ""
	}
	r.stopped = ""
	r.adapt(s, o)
	ask = min(uint64(r.pace*pieceTime.Seconds()), mostPiece, s.Used-s.Low, minus(s.Used, s.Pinned))
	if ask = ask / grain * grain; ask < leastPiece {
		return 0, "" // within a piece of the watermark, or of what cannot be taken
	}
	r.next = s.Now.Add(time.Duration(float64(ask) / r.pace * float64(time.Second)))
	return ask, fmt.Sprintf("uses %s, above its watermark %s; down to %s at %s a second", size(s.Used), size(s.High), size(s.Low), size(uint64(r.pace)))
}

// late says that the group is about to run into its edge.
func (s *ReclaimSample) late() bool {
	return s.Edge > s.High && s.Used > s.High+(s.Edge-s.High)/2
}

func (r *Reclaimer) breached(s ReclaimSample, o ReclaimOptions) bool {
	if s.late() {
		return false
	}
	breach := o.Breach
	if s.Short {
		breach *= 2
	}
	if math.IsNaN(s.Pressure) || s.Pressure < min(breach, 0.95) {
		return false
	}
	r.pace, r.next = leastPace, s.Now.Add(o.Cool)
	r.stopped = fmt.Sprintf("its tasks wait for memory %.0f %% of the time", s.Pressure*100)
	return true
}

// adapt sets the pace: half again as fast while the group does not stall, half
// as fast when it does. A domain that is short has no time to find out.
func (r *Reclaimer) adapt(s ReclaimSample, o ReclaimOptions) {
	switch {
	case s.late():
		r.pace *= 3
	case !math.IsNaN(s.Pressure) && s.Pressure > o.Stall:
		r.pace /= 2
	case s.Short:
		r.pace = float64(o.Rate)
	default:
		r.pace *= 1.5
	}
	r.pace = min(max(r.pace, leastPace), float64(o.Rate))
}

// Done takes the outcome of the last piece: a kernel that finds little to
// reclaim (EAGAIN) is asked again after growing pauses.
func (r *Reclaimer) Done(now time.Time, asked, got uint64) {
	if got >= asked/4 {
		r.barren = 0
		return
	}
	r.barren = min(r.barren+1, 6)
	r.stopped = "the kernel found nothing to reclaim"
	r.next = now.Add(500 * time.Millisecond << (r.barren - 1))
}
