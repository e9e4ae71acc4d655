package store

import (
	"fmt"
	"time"
)

// settleTicks is how many gathers in a row an absurd clock must persist before
// it is believed. One bad reading (an unset RTC, a mistyped date) must neither
// expire a day of history nor throw it away.
const settleTicks = 3

type verdict int

const (
	// appendNow: the sample fits behind the newest one, or into the
	// out-of-order window.
	appendNow verdict = iota
	// skip: the clock may come back by itself.
	skip
	// restart: the whole history lies further in the future than it is long;
	// waiting for the clock to catch up would outlast it.
	restart
)

// clock judges wall-clock readings against the newest sample in the history.
type clock struct {
	window    int64 // out-of-order window, ms
	retention int64 // ms
	strange   int   // gathers in a row that were skipped as strange
}

// judge decides about a sample at t when the newest stored one is at newest,
// both in ms. It returns the reason for anything but appendNow.
func (c *clock) judge(t, newest int64) (verdict, string) {
	behind := newest - t
	switch {
	case behind > c.retention:
		c.strange++
		if c.strange > settleTicks {
			c.strange = 0
			return restart, "the clock went back by " + ms(behind) + ", which is more than the retention"
		}
		return skip, "the clock went back by more than the retention"
	case behind > c.window:
		c.strange = 0
		return skip, fmt.Sprintf("the clock went back; samples are kept again from %s on",
			time.UnixMilli(newest-c.window).UTC().Format(time.RFC3339))
	case -behind > c.retention:
		c.strange++
		if c.strange <= settleTicks {
			return skip, "the clock is ahead of the newest sample by more than the retention"
		}
		return appendNow, ""
	}
	c.strange = 0
	return appendNow, ""
}

func ms(n int64) string { return (time.Duration(n) * time.Millisecond).Round(time.Second).String() }
