package shape_test

import (
	"testing"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/qos/shape"
)

// pods makes two of them and tells the shaper of them as the engine does: by a
// process in each.
func (k *kit) pods(s *shape.Shaper, lsBridged, beBridged bool) (ls, be *lab.Pod) {
	k.Helper()
	for n, x := range []struct {
		pod     **lab.Pod
		bridged bool
		class   shape.Class
	}{{&ls, lsBridged, shape.LS}, {&be, beBridged, shape.BE}} {
		p, err := k.AddPod(n+1, x.bridged)
		if err != nil {
			k.Fatal(err)
		}
		*x.pod = p
		ends := k.hostEnds(s.Conn(), p)
		if len(ends) != 1 || ends[0].Name != p.Host || (ends[0].Master != 0) != x.bridged {
			k.Fatalf("host ends of %s: %+v", p.Host, ends)
		}
		if err := s.SetPort(ends[0], x.class); err != nil {
			k.Fatal(err)
		}
	}
	return ls, be
}

func (k *kit) hostEnds(c *netlinkx.Conn, p *lab.Pod) []netlinkx.Link {
	k.Helper()
	links, err := c.Links()
	if err != nil {
		k.Fatal(err)
	}
	pid, stop, err := p.Process()
	if err != nil {
		k.Fatal(err)
	}
	defer stop()
	ends, err := shape.HostEnds(c, links, pid)
	if err != nil {
		k.Fatal(err)
	}
	return ends
}

func TestKernelPods(t *testing.T) {
	for _, c := range []struct {
		name   string
		ls, be bool
	}{{"routed", false, false}, {"bridged", true, true}, {"both", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			l := link(shape.Rate(mbit * 1e6))
			s := k.shaper(shape.HTB, l)
			ls, be := k.pods(s, c.ls, c.be)
			b := k.start(nil, be.Space, load.TrafficOptions{Conns: 8})
			f := k.start(nil, ls.Space, load.TrafficOptions{})
			wants(t, tcpWire, []*flow{f, b}, goal{"LS of its guarantee", l.LS * mbit, nth(0)}, goal{"BE of its guarantee", l.BE * mbit, nth(1)}, goal{"LS + BE of the link", mbit, sum})
			n, err := s.Counts(lab.Uplink)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []shape.Class{shape.LS, shape.BE} {
				if n[shape.Out][c].Bytes < 1e5 || n[shape.In][c].Bytes == 0 {
					t.Errorf("%s: %+v", c, n)
				}
			}
		})
	}
}

// A process of the node itself leads nowhere.
func TestKernelNoHostEnd(t *testing.T) {
	k := open(t)
	c, err := netlinkx.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ends := k.hostEnds(c, &lab.Pod{Space: k.Node}); len(ends) != 0 {
		t.Errorf("%+v", ends)
	}
}
