package containers

import (
	"testing"
	"time"

	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/cri"
	"github.com/anole-os/anole/workload/events"
	"github.com/anole-os/anole/workload/nri"
	"github.com/anole-os/anole/workload/sourcetest"
)

// world is a real containerd for the suite of sources.
type world struct {
	d      *daemon
	proxy  *sourcetest.Proxy
	source func(socket string) workload.Source
	pods   map[string]*pod
	plain  bool // containers are no pods
}

func (w *world) Source() workload.Source { return w.source(w.proxy.Path) }
func (w *world) Cut() func()             { return w.proxy.Cut() }
func (w *world) Restart()                { w.d.stop(); w.proxy.CutOnce(); w.d.start() }

func (w *world) Start(value string) string {
	if w.plain {
		seq++
		name := "team" + value
		w.d.ctrRun(name, "team="+value)
		return name
	}
	p := w.d.pod("burstable", map[string]string{"team": value}, nil)
	id := p.run()
	w.pods[id] = p
	return id
}

func (w *world) Remove(id string) {
	if w.plain {
		w.d.ctrRemove(id)
		return
	}
	w.pods[id].remove()
}

// suite runs the suite of sources on a real containerd; to is the socket that
// the source connects to.
func suite(t *testing.T, version string, plain bool, to func(*daemon) string, source func(string) workload.Source) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		d := launch(t, version, "runc")
		return &world{d: d, proxy: sourcetest.NewProxy(t, d.path("proxy"), to(d)), source: source, pods: map[string]*pod{}, plain: plain}
	})
}

func TestSourcesConform(t *testing.T) {
	t.Run("nri 1.7", func(t *testing.T) {
		suite(t, "1.7", false, (*daemon).nri, func(s string) workload.Source { return nri.New(nri.Options{Socket: s}) })
	})
	for _, v := range []string{"1.6", "1.7"} {
		t.Run("cri "+v, func(t *testing.T) {
			suite(t, v, false, (*daemon).socket, func(s string) workload.Source { return cri.New(cri.Options{Socket: s, Poll: time.Second}) })
		})
		t.Run("events "+v, func(t *testing.T) {
			suite(t, v, true, (*daemon).socket, func(s string) workload.Source { return events.New(s) })
		})
	}
	// Nobody else listens here, so that the stream of 1.7 may be listened to; 1.6
	// has none and is asked.
	for _, v := range []string{"1.6", "1.7"} {
		t.Run("cri stream "+v, func(t *testing.T) {
			suite(t, v, false, (*daemon).socket, func(s string) workload.Source {
				return cri.New(cri.Options{Socket: s, Stream: cri.StreamOn, Poll: time.Second})
			})
		})
	}
}

// newProxy leads to the daemon's NRI socket, and can be cut.
func newProxy(t *testing.T, d *daemon) *sourcetest.Proxy {
	return sourcetest.NewProxy(t, d.path("proxy"), d.nri())
}
