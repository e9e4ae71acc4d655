package module

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
)

// classCell colours a class as the console does.
func classCell(c string) term.Cell {
	switch c {
	case "LS", "LSR", "LSE":
		return term.Cell{Text: c, Style: term.Blue}
	case "BE":
		return term.Cell{Text: c, Style: term.Yellow}
	}
	return term.Cell{Text: c}
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", share*100) }

func seconds(s float64) string {
	if s == 0 {
		return "-"
	}
	return term.Duration(time.Duration(s * float64(time.Second)))
}

func microseconds(us float64) string {
	if us == 0 {
		return "-"
	}
	return term.Duration(time.Duration(us * float64(time.Microsecond)))
}

// labelList gives labels in the form of --label, by key, and who told of them
// where that is known.
func labelList(labels, from map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		text := k + "=" + labels[k]
		if by := from[k]; by != "" {
			text += " (from " + by + ")"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// writeTold says what is known of a workload beside its cgroup, by whom, and
// what of that was not followed.
func writeTold(w io.Writer, x *qos.WorkloadStatus) {
	line := func(what, text string) {
		if text != "" {
			fmt.Fprintln(w, term.Fold(w, term.Clean(what+" "+text), "  "))
		}
	}
	line("pod", x.Pod)
	line("image", x.Image)
	line("told by", strings.Join(x.Sources, ", "))
	line("memory", memoryText(x.Memory))
	line("disks", ioText(x.IO))
	line("network class", x.Network)
	line("labels", labelList(x.Labels, x.LabelsFrom))
	for _, s := range x.Slow {
		writeAmiss(w, "slow requests", s.String())
	}
	for _, r := range x.Refused {
		from := ""
		if by := x.LabelsFrom[r.Key]; by != "" {
			from = " (from " + by + ")"
		}
		writeAmiss(w, "not followed", fmt.Sprintf("%s=%s%s: %s", r.Key, r.Value, from, r.Text))
	}
	for _, c := range x.Conflicts {
		writeAmiss(w, "disagreement", c.String())
	}
}

// writeAmiss writes one line of what is not as it should be.
func writeAmiss(w io.Writer, what, text string) {
	lines := term.Fold(w, term.Clean(what+": "+text), "  ")
	fmt.Fprintf(w, "%s%s\n", term.Paint(w, term.Yellow, what), strings.TrimPrefix(lines, what))
}

// base shortens a file's path to its name; other words stay.
func base(file string) string {
	if strings.HasPrefix(file, "/") {
		return filepath.Base(file)
	}
	return file
}
