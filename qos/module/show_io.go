package module

import (
	"fmt"
	"io"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
)

// writeDisks lists the disks that are controlled, nothing without.
func writeDisks(w io.Writer, all []qos.IOStatus) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("DISK", "HELD BY", "LS LATENCY", "BE MAY", "LAST DECISION")
	for i := range all {
		d := &all[i]
		t.Row(d.Disk, d.Mechanism, latencyCell(d), diskLimit(d), d.LimitWhy)
	}
	return t.Write(w)
}

// latencyCell is how long LS requests take, as a share of the objective.
func latencyCell(d *qos.IOStatus) term.Cell {
	switch {
	case d.Latency == 0:
		return term.Cell{Text: "-"}
	case d.Latency > 1:
		return term.Cell{Text: percent(d.Latency), Style: term.Yellow}
	}
	return term.Cell{Text: percent(d.Latency)}
}

// diskLimit is what best-effort IO may do.
func diskLimit(d *qos.IOStatus) string {
	l := d.Limit
	switch {
	case d.Mechanism == "off":
		return "-"
	case l == nil:
		return "all it wants"
	}
	return fmt.Sprintf("read %.1f MiB/s, write %.1f MiB/s", l.ReadBytes/(1<<20), l.WriteBytes/(1<<20))
}

// ioText is what a workload does on the disks, "" for nothing.
func ioText(r *qos.IORates) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("reads %.1f MiB/s in %.0f/s, writes %.1f MiB/s in %.0f/s", r.ReadBytes/(1<<20), r.ReadOps, r.WriteBytes/(1<<20), r.WriteOps)
}
