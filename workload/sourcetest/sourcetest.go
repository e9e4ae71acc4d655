// Package sourcetest is what every workload.Source must do, whatever it speaks
// to: a real container runtime or a stand-in.
package sourcetest

import (
	"context"
	"testing"
	"time"

	"github.com/anole-os/anole/workload"
)

// World is a container runtime and the connection of one source to it.
type World interface {
	// Source makes the source under test, not yet running.
	Source() workload.Source
	// Start starts a container that is labelled team=value, and gives its id.
	Start(value string) (id string)
	// Remove ends a container and has the runtime forget it.
	Remove(id string)
	// Cut breaks the connection and lets none be made until heal is called. The
	// runtime goes on.
	Cut() (heal func())
	// Restart has the runtime go and come back; its containers go on.
	Restart()
}

// Run holds a source to the suite. world makes a World without containers.
func Run(t *testing.T, world func(*testing.T) World) {
	s := &suite{World: world(t), t: t, reg: workload.NewRegistry()}
	before := s.Start("before")
	s.follow()
	defer s.end()
	s.want("a container that was there before", before, "before")
	s.want("a new container", s.Start("new"), "new")
	gone := s.Start("gone")
	s.want("a container", gone, "gone")
	s.Remove(gone)
	s.wantNone("a removed container", gone)
	s.cut(before)
	s.restart(before)
	s.endsAndStartsAgain(before)
}

type suite struct {
	World
	t      *testing.T
	reg    *workload.Registry
	source workload.Source
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *suite) follow() {
	s.source = s.Source()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done = cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		workload.Follow(ctx, s.source, s.reg, nil)
	}()
}

func (s *suite) end() {
	s.cancel()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		s.t.Fatal("the source does not end with its context")
	}
}

// cut breaks the connection while the runtime goes on: nothing is forgotten
// meanwhile, and all is made good afterwards.
func (s *suite) cut(steady string) {
	s.t.Helper()
	stays, goes := s.Start("stays"), s.Start("goes")
	s.want("a container", stays, "stays")
	s.want("a container", goes, "goes")
	connects := s.status().Connects
	heal := s.Cut()
	s.await("the source to notice the cut", func() bool { return !s.status().Connected && s.status().Problem != "" })
	s.want("a container, while the connection is cut", stays, "stays")
	s.Remove(goes)
	missed := s.Start("missed")
	heal()
	s.want("a container that came while the connection was cut", missed, "missed")
	s.wantNone("a container that went while the connection was cut", goes)
	s.want("a container, after the connection was cut", steady, "before")
	s.await("the source to say so", func() bool { return s.status().Connected && s.status().Connects > connects })
}

func (s *suite) restart(steady string) {
	s.t.Helper()
	s.Restart() // one that asks now and then may not notice
	s.want("a container that outlived the runtime", steady, "before")
	s.want("a container of the runtime that came back", s.Start("again"), "again")
	s.await("the source to be connected", func() bool { return s.status().Connected })
}

// endsAndStartsAgain stops the source and starts another one on the same
// registry.
func (s *suite) endsAndStartsAgain(steady string) {
	s.t.Helper()
	s.end()
	if st := s.status(); st.Connected || st.Wanted || st.Problem != "" {
		s.t.Errorf("ended: %+v", st)
	}
	s.want("a container, after the source ended", steady, "before")
	gone := s.Start("unseen")
	s.Remove(gone)
	s.follow()
	s.await("the source to be connected again", func() bool { return s.status().Connected })
	s.want("a container", steady, "before")
	s.wantNone("a container that came and went unseen", gone)
}

func (s *suite) status() workload.SourceStatus {
	for _, st := range s.reg.Status() {
		if st.Name == s.source.Origin() {
			return st
		}
	}
	return workload.SourceStatus{}
}

func (s *suite) want(what, id, value string) {
	s.t.Helper()
	s.await(what, func() bool {
		c, ok := s.reg.Get(id)
		return ok && c.Labels["team"] == value && c.LabelFrom("team") == s.source.Origin()
	})
}

func (s *suite) wantNone(what, id string) {
	s.t.Helper()
	s.await(what+" to be forgotten", func() bool { _, ok := s.reg.Get(id); return !ok })
}

// await polls until ok, for at most a minute: the node may be busy.
func (s *suite) await(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	s.t.Fatalf("gave up waiting for %s: %+v", what, s.reg.Status())
}
