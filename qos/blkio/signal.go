package blkio

import (
	"fmt"
	"math"
	"time"
)

// The signals of how long latency-sensitive requests take.
const (
	readWait = iota
	writeWait
	stallWait
	signals
)

var signalNames = [signals]string{"reads take", "writes take", "LS waits"}

// baseline is what a signal reads without best-effort IO.
type baseline struct {
	mean time.Duration
	dev  time.Duration // mean deviation from that, window by window
	at   time.Time
}

// target is the objective that follows from it. What varies by itself is given
// room for that, as TCP's timeout is (RFC 6298).
func (b *baseline) target(factor float64) time.Duration {
	return max(time.Duration(float64(b.mean)*factor), b.mean+2*b.dev, b.mean+slack)
}

// means gives each signal's mean of the window, 0 where it says nothing. A
// disk's times are of all requests: a direction in which best-effort work did
// most of them speaks of its own waits, and counts only where nothing else does.
func (g *Governor) means() (out [signals]time.Duration) {
	w := &g.win
	if n := w.LS.Ops(); n > 0 && w.Stall > 0 {
		out[stallWait] = w.Stall / time.Duration(n)
	}
	wait := func(total time.Duration, all, ls, be uint64) time.Duration {
		if ls == 0 || all == 0 || total <= grain {
			return 0
		}
		if out[stallWait] > 0 && be > ls {
			return 0
		}
		return (total - grain/2) / time.Duration(all)
	}
	out[readWait] = wait(w.Disk.ReadTime, w.Disk.ReadOps, w.LS.ReadOps, w.BE.ReadOps)
	out[writeWait] = wait(w.Disk.WriteTime, w.Disk.WriteOps, w.LS.WriteOps, w.BE.WriteOps)
	return out
}

// quiet learns from a window in which best-effort work did next to nothing.
func (g *Governor) quiet(now time.Time, means [signals]time.Duration) {
	g.tail.learn()
	for i, m := range means {
		if m == 0 {
			continue
		}
		b := &g.base[i]
		if b.mean == 0 {
			b.mean = m
		}
		off := m - b.mean
		b.mean += off / 4
		b.dev += (off.Abs() - b.dev) / 4
		b.at = now
	}
}

// worst gives the signal that misses its objective by the largest factor.
func (g *Governor) worst(means [signals]time.Duration) (ratio float64, why string) {
	ratio = math.NaN()
	for i, m := range means {
		target := g.o.Latency
		if target == 0 && g.base[i].mean > 0 {
			target = g.base[i].target(g.o.Factor)
		}
		if m == 0 || target == 0 {
			continue
		}
		if r := float64(m) / float64(target); math.IsNaN(ratio) || r > ratio {
			ratio = r
			why = fmt.Sprintf("%s %v > %v", signalNames[i], round(m), round(target))
		}
	}
	return ratio, why
}
