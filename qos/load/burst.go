package load

import (
	"context"
	"fmt"
	"time"
)

// BurstOptions is the workload that CPU Burst is for: idle most of the time,
// then several requests at once. Zero values give batches of 10 requests of
// 3 ms CPU that use 12 % of a CPU on average, which a limit of 0.3 CPU covers
// in the long run, but not at the 100 ms period of the default CFS bandwidth.
// The service belongs into the limited cgroup, the client outside.
type BurstOptions struct {
	// URL of the service; client side.
	URL string `json:"url,omitempty"`
	// BatchSize is the number of requests per batch, 10 when zero.
	BatchSize int `json:"batch_size,omitempty"`
	// Utilisation is the mean use in CPUs, 0.12 when zero.
	Utilisation float64 `json:"utilisation,omitempty"`
	// Service options; Work defaults to BurstWork.
	Service ServiceOptions `json:"service"`
	// Seed, Count, Duration, Warmup and SchedFIFO as in GenOptions.
	Seed      uint64        `json:"seed"`
	Count     int64         `json:"count,omitempty"`
	Duration  time.Duration `json:"duration_ns,omitempty"`
	Warmup    time.Duration `json:"warmup_ns,omitempty"`
	SchedFIFO bool          `json:"sched_fifo,omitempty"`
	// Progress as in GenOptions.
	Progress func(Progress) `json:"-"`
}

// ServiceOptions are the options of the service side.
func (o BurstOptions) ServiceOptions() ServiceOptions {
	s := o.Service
	s.Batch = true
	return s
}

// GenOptions are the options of the client side: the rate follows from
// utilisation and work.
func (o BurstOptions) GenOptions() (GenOptions, error) {
	work, size, use := o.Service.Work, o.BatchSize, o.Utilisation
	if work == 0 {
		work = BurstWork
	}
	if size == 0 {
		size = 10
	}
	if use == 0 {
		use = 0.12
	}
	if work < 0 || size < 0 || !(use > 0 && use <= 1024) {
		return GenOptions{}, fmt.Errorf("burst workload: work %v, batch %d or utilisation %v is out of range", work, size, use)
	}
	return GenOptions{
		URL: o.URL, Rate: use / work.Seconds(), Arrival: Batch, BatchSize: size, Seed: o.Seed, Count: o.Count,
		Duration: o.Duration, Warmup: o.Warmup, SchedFIFO: o.SchedFIFO, Progress: o.Progress,
	}, nil
}

// BurstService serves the burst workload until ctx ends; ready is told the
// URL once the service accepts.
func BurstService(ctx context.Context, o BurstOptions, ready func(url string)) (ServiceStats, error) {
	s, err := OpenService(o.ServiceOptions())
	if err != nil {
		return ServiceStats{}, err
	}
	if ready != nil {
		ready(s.URL())
	}
	return s.Serve(ctx)
}

// BurstClient sends the burst workload's requests; see Generate.
func BurstClient(ctx context.Context, o BurstOptions) (Result, error) {
	g, err := o.GenOptions()
	if err != nil {
		return Result{}, err
	}
	return Generate(ctx, g)
}
