package rivals

import (
	"fmt"

	"github.com/anole-os/anole/qos/burst"
)

// VolcanoPlan is the deepest bucket at the default period on a mainline kernel: P = 100 ms, Q = r*P, B = Q. The error wraps burst.ErrInvalid.
func VolcanoPlan(limit float64) (burst.Bandwidth, error) {
	b, err := KubernetesPlan(limit)
	if err != nil {
		return burst.Bandwidth{}, err
	}
	b.Burst = b.Quota
	return b, nil
}

// KubernetesPlan is what kubelet sets: P = 100 ms, Q = r*P, no burst. The error wraps burst.ErrInvalid.
func KubernetesPlan(limit float64) (burst.Bandwidth, error) {
	p, err := burst.NewPlan(burst.Spec{Limit: limit})
	if err != nil {
		return burst.Bandwidth{}, fmt.Errorf("plan at the default period: %w", err)
	}
	return p.Bandwidth, nil
}
