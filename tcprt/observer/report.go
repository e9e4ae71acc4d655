package observer

import (
	"strconv"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/workload"
)

const (
	// reportFor is how long a report holds: some seconds longer than the next one
	// takes to come.
	reportFor = 5 * time.Second
	// slower is by what factor a p99 must be over the usual one to be reported. The
	// signal that an anomaly was found by may be another.
	slower = 1.2
)

// report tells of the servers that are slow for a cause that other work on the node
// can be; the lock is held. It comes after review, each second.
func (o *Observer) report(now time.Time) {
	if o.judge.tell == nil {
		return
	}
	for _, ev := range o.judge.events {
		if !ev.e.Ongoing() || ev.key.Role != tcprt.Server || !ev.verdict.Neighbours() || float64(ev.p99) < slower*float64(ev.usual) {
			continue
		}
		o.judge.tell.Report(workload.Breach{
			ID: ev.key.String(), Service: o.nameOf(ev), Cgroup: o.attr.Cgroup(ev.key), PID: o.attr.PID(ev.key),
			P99: ev.p99, Usual: ev.usual, Cause: ev.verdict.Cause.String(), Until: now.Add(reportFor),
		}, now)
	}
}

// nameOf is a service's name as it is known by now.
func (o *Observer) nameOf(ev *event) string {
	name := ev.name
	if s := o.services[ev.key]; s != nil {
		name = s.names.String()
	}
	if name == "-" {
		name = "port " + strconv.Itoa(int(ev.key.Port))
	}
	return name
}
