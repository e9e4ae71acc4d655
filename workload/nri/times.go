package nri

import (
	"context"
	"path"
	"sync/atomic"
	"time"

	"github.com/containerd/ttrpc"
)

// bounds are the upper ends of the buckets of Stats.Buckets.
var bounds = [...]time.Duration{
	50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond,
	2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, time.Second,
}

// counters are what Stats gives.
type counters struct {
	calls, late atomic.Uint64
	sum         atomic.Int64
	buckets     [len(bounds)]atomic.Uint64
}

// Stats says how fast the runtime was answered, since New.
type Stats struct {
	Calls   uint64
	Sum     time.Duration
	Bounds  []time.Duration // upper ends, ascending
	Buckets []uint64        // calls that took at most that long, cumulative
	Late    uint64          // calls that were answered before what had to be done was done
}

// Stats gives the counters.
func (s *Source) Stats() Stats {
	out := Stats{Calls: s.stats.calls.Load(), Sum: time.Duration(s.stats.sum.Load()), Bounds: bounds[:], Late: s.stats.late.Load()}
	var n uint64
	for i := range s.stats.buckets {
		n += s.stats.buckets[i].Load()
		out.Buckets = append(out.Buckets, n)
	}
	return out
}

// timed measures each call, its decoding included.
func (c *session) timed(ctx context.Context, u ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, m ttrpc.Method) (any, error) {
	began := time.Now()
	v, err := m(ctx, u)
	c.s.took(path.Base(info.FullMethod), time.Since(began))
	return v, err
}

func (s *Source) took(call string, d time.Duration) {
	s.stats.calls.Add(1)
	s.stats.sum.Add(int64(d))
	for i, b := range bounds {
		if d <= b {
			s.stats.buckets[i].Add(1)
			break
		}
	}
	if s.o.Took != nil {
		s.o.Took(call, d)
	}
}
