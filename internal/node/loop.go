package node

import (
	"context"
	"errors"
	"time"

	"github.com/anole-os/anole/internal/api"
)

// request is a call into the main loop.
type request struct {
	ctx   context.Context
	do    func(context.Context) (any, error)
	reply chan outcome
	last  bool // the loop ends after it
}

type outcome struct {
	value any
	err   error
}

var errStopping = errors.New("the agent is stopping")

// call runs do in the main loop and waits for its outcome.
func (n *Node) call(ctx context.Context, last bool, do func(context.Context) (any, error)) (any, error) {
	r := request{ctx: ctx, do: do, reply: make(chan outcome, 1), last: last}
	select {
	case n.ctl <- r:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.done:
		return nil, errStopping
	}
	o := <-r.reply
	return o.value, o.err
}

// loop serves until ctx ends. As long as it turns the watchdog is fed.
func (n *Node) loop(ctx context.Context, w *watcher) error {
	defer close(n.done)
	var feed <-chan time.Time
	if every := n.notify.watchdog(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		feed = t.C
	}
	retry := time.NewTicker(retryConsole)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.hups:
			_, _ = n.reload(ctx)
		case <-w.changed:
			_, _ = n.reload(ctx)
		case r := <-n.ctl:
			v, err := r.do(r.ctx)
			r.reply <- outcome{v, err}
			if r.last {
				return nil
			}
		case <-feed:
			n.notify.send("WATCHDOG=1")
		case <-retry.C:
			n.console.retry(n)
		}
	}
}

// Reload implements api.Agent.
func (n *Node) Reload(ctx context.Context) (api.Reloaded, error) {
	v, err := n.call(ctx, false, func(context.Context) (any, error) {
		// A client that hangs up must not break off a reload half way.
		return n.reload(context.WithoutCancel(ctx))
	})
	r, _ := v.(api.Reloaded)
	return r, err
}

// Revert implements api.Agent: it stops the modules, which put their traces
// back, restores the rest from the journal, and lets the agent end.
func (n *Node) Revert(ctx context.Context) (api.Reverted, error) {
	v, err := n.call(ctx, true, func(context.Context) (any, error) {
		n.mu.Lock()
		set := n.set
		n.mu.Unlock()
		rep := api.Reverted{Stopped: set.runningNames(), Failed: []string{}}
		n.probing.close()
		if err := errors.Join(set.stop(), n.probing.wait(n.opt.StopTimeout)); err != nil {
			rep.Failed = append(rep.Failed, err.Error())
		}
		j := n.restore("put back on request")
		rep.Restored, rep.Gone = j.Restored, j.Gone
		for _, err := range j.Failed {
			rep.Failed = append(rep.Failed, err.Error())
		}
		return rep, nil
	})
	r, _ := v.(api.Reverted)
	return r, err
}

// Stop implements api.Agent.
func (n *Node) Stop() { n.stop() }
