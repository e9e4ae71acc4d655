package tcprt

import (
	"fmt"
	"sync"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/anole-os/anole/tcprt/bpf"
)

const wholeSize = int(unsafe.Sizeof(bpf.TcprtWhole{}))

// hints has Options.Hints called for one record at a time.
type hints struct {
	mu   sync.Mutex
	tell func(r *Record, request, answer []byte)
}

// add tells what the bytes that the kernel sent with a record do.
func (h *hints) add(r *Record, raw []byte) {
	if h.tell == nil || len(raw) < wholeSize {
		return
	}
	w := (*bpf.TcprtWhole)(ptr(raw))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell(r, w.Asked[:min(int(w.AskedLen), len(w.Asked))], w.Answered[:min(int(w.AnsweredLen), len(w.Answered))])
}

// ProbeHints says whether the node can have hints: nil, or an error that wraps a
// *feature.UnsupportedError.
func ProbeHints() error {
	c, err := Open(Options{Ports: []uint16{1}, Tier: Lite, Hints: func(*Record, []byte, []byte) {}})
	if err != nil {
		return err
	}
	return c.Close()
}

// readHeads has the first bytes read of what passes the root cgroup.
func (c *Collector) readHeads(o *Options) error {
	mount, err := cgroup2(o.Root, "the first bytes of requests")
	if err != nil {
		return err
	}
	for name, at := range map[string]ebpf.AttachType{"head_in": ebpf.AttachCGroupInetIngress, "head_out": ebpf.AttachCGroupInetEgress} {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: mount, Attach: at, Program: c.coll.Programs[name]})
		if err != nil {
			return explain(fmt.Sprintf("attach to the packets of %s", mount), err)
		}
		c.links[name] = l
	}
	return nil
}
