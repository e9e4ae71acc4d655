package module

import (
	"fmt"

	"github.com/anole-os/anole/qos"
)

// memoryCell says what a workload uses and, if there is one, the line that it
// is held to or that protects it.
func memoryCell(m *qos.MemoryStatus) string {
	switch {
	case m == nil:
		return "-"
	case m.Bound != nil:
		return mebibytes(m.Used) + " ≤ " + mebibytes(*m.Bound)
	case m.Protected > 0:
		return mebibytes(m.Used) + ", " + mebibytes(m.Protected) + " protected"
	case m.Limit != nil:
		return mebibytes(m.Used) + " of " + mebibytes(*m.Limit)
	}
	return mebibytes(m.Used)
}

// mebibytes is how memory is told to people.
func mebibytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }

// memoryLine tells of the node's memory, "" while it is not known.
func memoryLine(m *qos.NodeMemory) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%s of %s memory available, %s free, %s to be kept free", mebibytes(m.Available), mebibytes(m.Total), mebibytes(m.Free), mebibytes(m.Target))
}

// memoryText says all that is known of a workload's memory.
func memoryText(m *qos.MemoryStatus) string {
	if m == nil {
		return ""
	}
	text := fmt.Sprintf("%s, %d major faults", memoryCell(m), m.MajorFaults)
	if m.OOMKills > 0 {
		text += fmt.Sprintf(", %d killed for lack of it", m.OOMKills)
	}
	if m.Note != "" {
		text += ", " + m.Note
	}
	return text
}
