// Package iolat measures how long the block IO requests of chosen cgroups take,
// as one histogram for each chosen disk, taken in the kernel by eBPF: from when
// a request was made, the wait in an IO scheduler included, to when the disk has
// done it. The time for which a cgroup's own limit held a bio back comes before
// and is not in it, nor is the wait for a free request.
//
// Disks without a request queue (device mapper, md, the head of an NVMe
// multipath device) make no requests of their own and count nothing.
//
// Nothing is pinned: the program leaves the kernel with the process, however it
// ends. Needs Linux 5.15 or later with BTF, and CAP_BPF with CAP_PERFMON; Probe
// tells.
package iolat

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/anole-os/anole/internal/bpfx"
	"github.com/anole-os/anole/qos/iolat/bpf"
	"github.com/anole-os/anole/qos/runq"
)

// The histograms are runq's: the kernel sides agree on the buckets.
var _ [runq.NumBuckets]uint64 = [bpf.IolatShapeBUCKETS]uint64{}

// Tracer is a running measurement. Its methods are safe for concurrent use.
type Tracer struct {
	mu   sync.Mutex // guards all below
	coll *ebpf.Collection
	link link.Link
	cell bpf.IolatCell
}

// Open loads and attaches the program; the caller must Close. The error wraps a
// *feature.UnsupportedError when the kernel or the process's privileges do not
// allow it.
func Open() (*Tracer, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain("raise the memlock limit", err)
	}
	spec, err := bpf.LoadIolat()
	if err != nil {
		return nil, fmt.Errorf("read bpf object: %w", err)
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, explain("load bpf programs", err)
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: coll.Programs["request_done"]})
	if err != nil {
		coll.Close()
		return nil, explain("attach to block_rq_complete", err)
	}
	return &Tracer{coll: coll, link: l}, nil
}

// Probe says whether the node can measure: nil, or why not.
func Probe() error {
	t, err := Open()
	if err != nil {
		return err
	}
	return t.Close()
}

// Close ends the measurement.
func (t *Tracer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.coll == nil {
		return nil
	}
	err := t.link.Close()
	t.coll.Close()
	t.coll = nil
	return err
}

// Count has the requests of a cgroup counted, and of those below it. id is the
// inode of its directory in the io (v2) or blkio (v1) hierarchy.
func (t *Tracer) Count(id uint64) error {
	return t.edit("cgroups", func(m *ebpf.Map) error { return m.Put(id, uint8(1)) })
}

// Drop ends that. A cgroup that was not counted is no error.
func (t *Tracer) Drop(id uint64) error {
	return t.edit("cgroups", func(m *ebpf.Map) error { return absent(m.Delete(id)) })
}

// Watch has requests to a disk counted, from nothing.
func (t *Tracer) Watch(disk uint32) error {
	return t.edit("disks", func(m *ebpf.Map) error { return m.Put(disk, bpf.IolatCell{}) })
}

// Unwatch ends that.
func (t *Tracer) Unwatch(disk uint32) error {
	return t.edit("disks", func(m *ebpf.Map) error { return absent(m.Delete(disk)) })
}

func absent(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

func (t *Tracer) edit(name string, do func(*ebpf.Map) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.coll == nil {
		return fmt.Errorf("change %s that are measured: %w", name, os.ErrClosed)
	}
	if err := do(t.coll.Maps[name]); err != nil {
		return fmt.Errorf("change %s that are measured: %w", name, err)
	}
	return nil
}

// Read fills h with all requests to a disk since Watch. It costs one system
// call.
func (t *Tracer) Read(disk uint32, h *runq.Hist) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.coll == nil {
		return fmt.Errorf("read latency: %w", os.ErrClosed)
	}
	if err := t.coll.Maps["disks"].Lookup(disk, &t.cell); err != nil {
		return fmt.Errorf("read latency: %w", err)
	}
	h.SumNS, h.Counts = t.cell.SumNs, t.cell.Buckets
	return nil
}

// Disk is the number of a disk as Watch takes it.
func Disk(major, minor uint32) uint32 { return major<<20 | minor&(1<<20-1) }

// explain says why the kernel does not take it.
func explain(doing string, err error) error {
	return bpfx.Explain("IO latency", "Linux 5.15 or later with BPF and BTF", doing, err)
}
