// Package sources puts together the sources of workload records that a node
// can have: NRI, CRI and containerd's events, each with the sockets where its
// runtime listens.
package sources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/cri"
	"github.com/anole-os/anole/workload/events"
	"github.com/anole-os/anole/workload/nri"
)

// Options says which sources to have. Each is "auto" or "" (at the first of
// its usual sockets that answers), "off", or the path of a socket.
type Options struct {
	NRI, CRI, Events string
	Stream           cri.Stream // see cri.Options
	Root             string     // prefix of the usual sockets
}

// Validate names the key that is wrong.
func (o *Options) Validate() error {
	for _, f := range []struct{ key, v string }{{"nri", o.NRI}, {"cri", o.CRI}, {"events", o.Events}} {
		if f.v != "" && f.v != "auto" && f.v != "off" && !filepath.IsAbs(f.v) {
			return fmt.Errorf("%s: %q is not auto, off or the absolute path of a socket", f.key, f.v)
		}
	}
	switch o.Stream {
	case cri.StreamAuto, cri.StreamOn, cri.StreamOff:
		return nil
	}
	return fmt.Errorf("criStream: %q is not auto, on or off", o.Stream)
}

// Set is the sources of one node.
type Set struct {
	o   Options
	all []*choice
	nri []*nri.Source
}

// New makes the sources. It opens nothing.
func New(o Options) *Set {
	s := &Set{o: o}
	s.add(workload.FromNRI, o.NRI, []string{nri.DefaultSocket, "/run/k3s/nri/nri.sock"}, func(socket string) workload.Source {
		n := nri.New(nri.Options{Socket: socket})
		s.nri = append(s.nri, n)
		return n
	})
	s.add(workload.FromCRI, o.CRI, cri.Sockets, func(socket string) workload.Source {
		return cri.New(cri.Options{Socket: socket, Stream: o.Stream})
	})
	s.add(workload.FromEvents, o.Events, events.Sockets, func(socket string) workload.Source { return events.New(socket) })
	return s
}

func (s *Set) add(o workload.Origin, want string, usual []string, make func(string) workload.Source) {
	if want == "off" {
		return
	}
	c := &choice{origin: o, sockets: []string{want}}
	if want == "" || want == "auto" {
		c.auto, c.sockets = true, nil
		for _, u := range usual {
			c.sockets = append(c.sockets, s.o.Root+u)
		}
	}
	for _, socket := range c.sockets {
		c.sources = append(c.sources, make(socket))
	}
	s.all = append(s.all, c)
}

// Run follows all sources until ctx is done; lost is as for workload.Follow.
func (s *Set) Run(ctx context.Context, r *workload.Registry, lost func(workload.SourceStatus)) {
	var wg sync.WaitGroup
	for _, c := range s.all {
		wg.Go(func() { workload.Follow(ctx, c, r, lost) })
	}
	wg.Wait()
}

// NRI adds up the counters of the plugin over all sockets.
func (s *Set) NRI() nri.Stats {
	var out nri.Stats
	for _, n := range s.nri {
		x := n.Stats()
		out.Calls, out.Sum, out.Late, out.Bounds = out.Calls+x.Calls, out.Sum+x.Sum, out.Late+x.Late, x.Bounds
		if out.Buckets == nil {
			out.Buckets = make([]uint64, len(x.Buckets))
		}
		for i, b := range x.Buckets {
			out.Buckets[i] += b
		}
	}
	return out
}

// choice is one source at the first of some sockets that answers.
type choice struct {
	origin  workload.Origin
	auto    bool
	sockets []string
	sources []workload.Source
}

// Origin implements workload.Source.
func (c *choice) Origin() workload.Origin { return c.origin }

// Run implements workload.Source. A socket where something else listens, or
// nothing does any more, is passed over.
func (c *choice) Run(ctx context.Context, to *workload.Feed) error {
	var refused error
	for i, socket := range c.sockets {
		if _, err := os.Stat(socket); err != nil && c.auto {
			continue
		}
		err := c.sources[i].Run(ctx, to)
		var u *feature.UnsupportedError
		if !errors.As(err, &u) || ctx.Err() != nil {
			return err
		}
		refused = err
	}
	if refused != nil {
		return refused
	}
	return c.missing()
}

// missing says that no socket is there.
func (c *choice) missing() error {
	return &feature.UnsupportedError{
		Feature: string(c.origin), Reason: feature.NoPeer, Need: "a container runtime; none of these is there: " + strings.Join(c.sockets, ", "),
		Fix: "none needed without containers; otherwise start the runtime, or name its socket in workload." + string(c.origin),
	}
}
