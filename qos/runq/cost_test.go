package runq

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// Not a benchmark of Go code: b.N is tenths of a second, and what is reported
// is the kernel's own measure of the programs under a ping-pong of two
// processes on one CPU, of a class and of none. floor is that of a program
// which only returns: the price of the measurement.
func BenchmarkCost(b *testing.B) {
	for _, source := range sources {
		for _, c := range []struct {
			name  string
			class uint8
		}{{"classed", 1}, {"unclassed", 0}} {
			b.Run(source.String()+"/"+c.name, func(b *testing.B) { cost(b, source, c.class) })
		}
	}
}

func cost(b *testing.B, source Source, class uint8) {
	tr := open(b, Options{Source: source, Stats: true})
	dir, id := cpuCgroup(b)
	if class != 0 {
		if err := tr.SetClass(id, class); err != nil {
			b.Fatal(err)
		}
	}
	empty := emptyProgram(b)
	startPingPong(b, dir, 0)
	time.Sleep(200 * time.Millisecond)
	before, err := tr.Cost()
	if err != nil {
		b.Fatal(err)
	}
	for range b.N {
		time.Sleep(100 * time.Millisecond)
	}
	after, err := tr.Cost()
	if err != nil {
		b.Fatal(err)
	}
	sw := ProgramCost{after.Switch.Runs - before.Switch.Runs, after.Switch.Time - before.Switch.Time}
	wk := ProgramCost{after.Wakeup.Runs - before.Wakeup.Runs, after.Wakeup.Time - before.Wakeup.Time}
	b.ReportMetric(float64(sw.PerRun()), "ns/switch")
	b.ReportMetric(float64(wk.PerRun()), "ns/wakeup")
	b.ReportMetric(float64(sw.Runs)/float64(b.N)*10, "switches/s")
	st, err := empty.Stats()
	if err != nil {
		b.Fatal(err)
	}
	floor := ProgramCost{st.RunCount, st.Runtime}
	b.ReportMetric(float64(floor.PerRun()), "ns/floor")
	b.ReportMetric(0, "ns/op")
}

func emptyProgram(b *testing.B) *ebpf.Program {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_switch", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		b.Fatal(err)
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: p})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = l.Close()
		_ = p.Close()
	})
	return p
}
