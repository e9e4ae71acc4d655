package module

import (
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

// What the hardware counts has series only where it counts.
func TestHardwareMetrics(t *testing.T) {
	collect := func(c qos.ClassTotals) map[string]float64 {
		out := map[string]float64{}
		classMetrics(class.BE, &c, func(m core.Metric) { out[m.Desc.Name] = m.Value })
		return out
	}
	const cpi, llc, traffic = "anole_qos_cpi", "anole_qos_llc_occupancy_bytes", "anole_qos_memory_bandwidth_bytes_total"
	got := collect(qos.ClassTotals{})
	for _, name := range []string{cpi, llc, traffic} {
		if v, ok := got[name]; ok {
			t.Errorf("%s is %v on a node that does not count it", name, v)
		}
	}
	got = collect(qos.ClassTotals{CPI: 1.5, Cache: qos.CacheTotals{Occupied: true, Occupancy: 3 << 20, Counted: true}})
	if got[cpi] != 1.5 || got[llc] != 3<<20 {
		t.Errorf("%v", got)
	}
	if v, ok := got[traffic]; !ok || v != 0 {
		t.Errorf("no traffic yet is a count of 0, got %v %v", v, ok)
	}
	got = collect(qos.ClassTotals{Cache: qos.CacheTotals{Occupied: true}}) // Arm without traffic counters
	if _, ok := got[traffic]; ok {
		t.Error("traffic of a node that only tells occupancy")
	}
}
