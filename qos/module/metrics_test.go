package module

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/qos/shape"
)

// crowd is a node with n workloads of all classes, disks and interfaces, where
// every workload and every disk has trouble of its own.
func crowd(n, disks, links int) (*qos.Status, *qos.Totals) {
	s, t := &qos.Status{Node: qos.NodeStatus{CPUs: 64, Memory: &qos.NodeMemory{Total: 1 << 38}}}, &qos.Totals{
		Writes: map[qos.WriteKey]uint64{}, Refused: map[dialect.Reason]uint64{}, Memory: qos.MemoryTotals{Reclaimed: map[string]uint64{"memory.reclaim": 1}},
	}
	for i := range n {
		id := fmt.Sprintf("/kubepods/pod%04d/c", i)
		s.Workloads = append(s.Workloads, qos.WorkloadStatus{
			ID: id, Class: class.All()[i%len(class.All())], Usage: float64(i), Periods: uint64(i), Memory: &qos.MemoryStatus{Protected: 1, Bound: new(uint64(7))},
		})
		for _, f := range []string{"workload ", "burst of ", "sources of ", "scheduling of ", "restore ", "reclaim /"} {
			s.Degraded = append(s.Degraded, qos.Degradation{Feature: f + id, Reason: "conflict", Detail: id})
		}
	}
	for i := range disks {
		name := fmt.Sprintf("nvme%dn1", i)
		s.IO = append(s.IO, qos.IOStatus{Disk: name, Mechanism: "io.max", Limit: &qos.IORates{ReadBytes: 1}, Latency: 1})
		s.Degraded = append(s.Degraded, qos.Degradation{Feature: "io /dev/" + name, Reason: "conflict"})
	}
	for i := range links {
		s.Degraded = append(s.Degraded, qos.Degradation{Feature: fmt.Sprintf("net of eth%d", i), Reason: "conflict"})
		s.Network = append(s.Network, qos.LinkStatus{Interface: fmt.Sprintf("eth%d", i)})
	}
	t.Net.Links = map[string]int{string(shape.EDT): links}
	for c := range t.IO {
		t.IO[c] = blkio.Flow{ReadOps: 1}
		t.Class[c].RunQueue.Add(1)
		t.Class[c].BehindBE.Add(1)
		t.Class[c].CPI, t.Class[c].Cache = 1, qos.CacheTotals{Occupied: true, Counted: true}
	}
	return s, t
}

// mostSeries is how many the room may have, whatever runs on the node.
const mostSeries = 750

// Workloads, disks and interfaces come by the thousand; series do not.
func TestSeriesAreBounded(t *testing.T) {
	count := func(n, disks, links int) (series int) {
		s, totals := crowd(n, disks, links)
		var slots slots
		for range 3 {
			series = 0
			seen := map[string]bool{}
			collect(s, totals, &slots, func(m core.Metric) {
				series++
				if m.Hist != nil {
					series += len(m.Hist.Bounds) + 2 // +Inf, sum
				}
				key := m.Desc.Name + "|" + strings.Join(m.Values, "|")
				if seen[key] {
					t.Errorf("%s twice", key)
				}
				seen[key] = true
			})
		}
		return series
	}
	much, more := count(2000, 64, 64), count(20000, 640, 640)
	t.Logf("%d series with 2,000 workloads, 64 disks and 64 interfaces", much)
	if much != more {
		t.Errorf("%d series with 2,000 workloads, 64 disks and 64 interfaces, %d with ten times that", much, more)
	}
	if much > mostSeries || much < 2*topWorkloads {
		t.Errorf("%d series, want at most %d", much, mostSeries)
	}
}

// The series of single workloads and of the rest make up the whole, and none
// of them ever falls, whoever comes, goes and overtakes whom.
func TestSeriesOfWorkloadsAddUp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	usage := map[string]float64{}
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("w%03d", i))
	}
	names = append(names, otherWorkloads) // a hostile tenant's
	var s slots
	was, ended, series := map[string]float64{}, 0.0, 0
	for round := range 50 {
		if round > 0 && round%10 == 0 { // some end
			for _, n := range names[:20] {
				ended += usage[n]
				delete(usage, n)
			}
			names = names[20:]
		}
		var all []qos.WorkloadStatus
		total := ended
		for i, n := range names {
			usage[n] += rnd.Float64() * float64(i%40)
			total += usage[n]
			all = append(all, qos.WorkloadStatus{ID: n, Class: class.BE, Usage: usage[n]})
		}
		now, sum := map[string]float64{}, 0.0
		workloadMetrics(all, &s, func(d *core.Desc, v float64, labels ...string) {
			if d == workloadUsage {
				now[labels[1]] = v
				sum += v
			}
		})
		series = max(series, len(now))
		if other := now[otherWorkloads]; other < was[otherWorkloads] {
			t.Errorf("other fell from %v to %v", was[otherWorkloads], other)
		}
		for n, v := range now {
			if n != otherWorkloads && v != usage[n] {
				t.Errorf("%s is %v, used %v", n, v, usage[n])
			}
		}
		// Later, what somebody used before it took a place is in both.
		if round == 0 && (sum < 0.999*total || sum > 1.001*total) {
			t.Errorf("round %d: the series sum to %v, want %v", round, sum, total)
		}
		was = now
	}
	if series != topWorkloads+1 {
		t.Errorf("%d series, want %d", series, topWorkloads+1)
	}
}

// A workload that overtakes gets series of its own; two that are close do not
// take turns.
func TestBusiestWorkloadsHaveSeries(t *testing.T) {
	var s slots
	var all []qos.WorkloadStatus
	for i := range topWorkloads + 1 {
		all = append(all, qos.WorkloadStatus{ID: fmt.Sprint(i), Class: class.LS, Usage: 100 - float64(i)/100})
	}
	has := func(id string) bool {
		found := errors.New("absent")
		workloadMetrics(all, &s, func(_ *core.Desc, _ float64, labels ...string) {
			if len(labels) == 2 && labels[1] == id {
				found = nil
			}
		})
		return found == nil
	}
	late, last := fmt.Sprint(topWorkloads), fmt.Sprint(topWorkloads-1)
	if has(late) || !has(last) {
		t.Error("not the busiest have series")
	}
	all[topWorkloads].Usage = 101
	if has(late) || !has(last) {
		t.Error("one that is hardly ahead took the place")
	}
	all[topWorkloads].Usage = 200
	if !has(late) || has(last) {
		t.Error("one that is far ahead has no series")
	}
}
