package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/qos/load"
)

// Keep runs the demo's protected load, for a running agent to look after,
// until ctx ends: an LS service with its clients, one LS service with a CPU
// limit that gets bursts, and best-effort burners.
func Keep(ctx context.Context, o Options) error {
	r, err := openRig(o)
	if err != nil {
		return err
	}
	defer r.close()
	pid := os.Getpid()
	var kids []*child
	defer func() {
		for _, c := range kids {
			c.kill()
		}
	}()
	serve := func(rel string, so load.ServiceOptions, limited bool, g load.GenOptions) error {
		grp, err := r.group(rel)
		if err != nil {
			return err
		}
		if limited {
			if err := grp.limit(kubernetes()); err != nil {
				return err
			}
		}
		svc, url, err := r.service(grp, so)
		if err != nil {
			return err
		}
		kids = append(kids, svc)
		g.URL, g.SchedFIFO = url, true
		gen, err := r.start(nil, "generate", g)
		if err != nil {
			return err
		}
		kids = append(kids, gen)
		return nil
	}
	if err := serve("/anole-ls/web", load.ServiceOptions{}, false, load.GenOptions{Rate: 150 * float64(r.cpus), Seed: 1}); err != nil {
		return fmt.Errorf("start the web service: %w", err)
	}
	bursts, err := load.BurstOptions{Seed: 2}.GenOptions()
	if err != nil {
		return err
	}
	if err := serve("/anole-ls/checkout", load.ServiceOptions{Batch: true}, true, bursts); err != nil {
		return fmt.Errorf("start the limited service: %w", err)
	}
	for i := range 2 {
		g, err := r.group(fmt.Sprintf("/anole-be/batch-%d-%d", i+1, pid))
		if err != nil {
			return err
		}
		b, err := r.burner(g, r.cpus)
		if err != nil {
			return err
		}
		kids = append(kids, b.child)
	}
	<-ctx.Done()
	for _, c := range kids {
		c.kill()
	}
	kids = nil
	time.Sleep(50 * time.Millisecond) // the last tasks leave their cgroups
	return nil
}
