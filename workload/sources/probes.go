package sources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
)

var docs = map[workload.Origin]string{
	workload.FromNRI:    "pods and containers, told by the runtime before they start",
	workload.FromCRI:    "pods and containers, asked of the runtime",
	workload.FromEvents: "containers of ctr, nerdctl and others, told by containerd",
}

// askFor bounds one probe.
const askFor = 5 * time.Second

// Probes asks for each source whether there is somebody to tell it. A runtime
// notes a plugin that connects and leaves as failed, so of NRI only the socket
// is looked at.
func (s *Set) Probes() []*feature.Probe {
	var out []*feature.Probe
	for _, o := range []workload.Origin{workload.FromNRI, workload.FromCRI, workload.FromEvents} {
		out = append(out, feature.NewProbe("workload", "containers by "+string(o), docs[o], func() (string, error) { return s.probe(o) }))
	}
	return out
}

func (s *Set) probe(o workload.Origin) (string, error) {
	for _, c := range s.all {
		if c.origin == o {
			return c.probe()
		}
	}
	return "", &feature.UnsupportedError{
		Feature: string(o), Reason: feature.Conflict, Need: "workload." + string(o) + " other than off", Fix: "set workload." + string(o) + ": auto",
	}
}

func (c *choice) probe() (string, error) {
	if c.origin == workload.FromNRI {
		return c.socket()
	}
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	// The source itself, on a registry of its own, until it is in step.
	r := workload.NewRegistry()
	f := r.Feed(c.origin)
	var err error
	done := make(chan struct{})
	go func() { defer close(done); err = c.Run(ctx, f) }()
	for {
		select {
		case <-done:
			if errors.Is(err, context.DeadlineExceeded) {
				err = fmt.Errorf("no answer within %v", askFor)
			}
			return "", err
		case <-time.After(20 * time.Millisecond):
		}
		for _, st := range r.Status() {
			if st.Name == c.origin && st.Connected {
				cancel()
				<-done
				return fmt.Sprintf("%s: %d containers", st.Detail, st.Containers), nil
			}
		}
	}
}

// socket looks for a socket that may be connected to.
func (c *choice) socket() (string, error) {
	for _, path := range c.sockets {
		st, err := os.Stat(path)
		if err == nil && st.Mode()&os.ModeSocket != 0 {
			return path, nil
		}
	}
	return "", c.missing()
}
