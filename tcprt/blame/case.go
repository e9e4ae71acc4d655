package blame

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Case is what is known of an anomaly. Only Now must be there; the more there is,
// the finer the answer.
type Case struct {
	Service tcprt.Service
	Name    string // for people; the port if empty
	// Now is the anomalous windows, Baseline what is usual. With no Baseline all of
	// the time is to be explained.
	Now, Baseline *tcprt.Totals
	// Samples are some records of the anomalous windows: needed for NagleDelAck.
	Samples []tcprt.Record
	// Downstream is what the service's process or cgroup asks for: its windows in
	// the role of the client.
	Downstream []Pair
	Host       *Host
}

// Pair is a service that the case's own asks, with its Now and Baseline of the same
// times.
type Pair struct {
	Name          string
	Now, Baseline *tcprt.Totals
}

// Host is what held up the service's cgroup, now and usually.
type Host struct{ Now, Baseline Pressure }

// Pressure is shares of time, from 0 to 1. Those that are not known are 0.
type Pressure struct {
	Throttled float64 // of its periods: nr_throttled by nr_periods, or throttled time by time
	RunDelay  float64 // that its threads waited for a CPU, by the time that they ran or waited
	// Waited is that in seconds a second, of all threads together; 0 is not known.
	Waited float64
	// As PSI has them: avg10 of cpu.pressure, memory.pressure and io.pressure, by 100.
	CPUSome, CPUFull       float64
	MemorySome, MemoryFull float64
	IOSome, IOFull         float64
}

// Verdict is the answer.
type Verdict struct {
	Cause     Cause
	Component string // who: the service, one that it asks, the clients, the path
	// Score is how sure it is, from 0 to 1: what the cause explains, less where there
	// were few requests.
	Score  float64
	Shares Shares
	// Excess is the time per request over what is usual, by phase and (at
	// tcprt.Phases) in all.
	Excess   [tcprt.Phases + 1]time.Duration
	Evidence []string // sentences for people, the weightiest first
}

func (c *Case) name() string {
	if c.Name != "" {
		return c.Name
	}
	return fmt.Sprintf("the server of port %d", c.Service.Port)
}

// Fields lists all shares, in a fixed order.
func (p *Pressure) Fields() [9]*float64 {
	return [...]*float64{&p.Throttled, &p.RunDelay, &p.Waited, &p.CPUSome, &p.CPUFull, &p.MemorySome, &p.MemoryFull, &p.IOSome, &p.IOFull}
}
