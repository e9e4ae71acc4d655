package burst

import (
	"fmt"
	"time"
)

// Explain says what the plan does in a few lines of plain text, for a terminal.
func (p Plan) Explain() []string {
	lines := []string{
		fmt.Sprintf("period %v, quota %v, burst %v: %.6g CPUs in the long run (limit %g)", p.Period, p.Quota, p.Burst, p.Rate(), p.Limit),
		fmt.Sprintf("bucket depth %v of CPU time when full, %v wanted", p.Depth, p.Wanted),
		p.explainBound(),
		p.explainStall(),
	}
	if p.NeedsCredit {
		lines = append(lines, fmt.Sprintf("%v short of the burst wanted: agent-side credit has to bank the rest", p.Wanted-p.Depth))
	} else if p.Met {
		lines = append(lines, "the kernel banks the whole burst; no agent-side credit needed")
	}
	for _, n := range p.Notes {
		lines = append(lines, "note: "+n)
	}
	return lines
}

func (p Plan) explainBound() string {
	who := fmt.Sprintf("on %d CPUs", p.CPUs)
	if p.CPUs == 0 {
		who = "on any number of CPUs"
	}
	const sample = 10 * time.Second
	return fmt.Sprintf("any window T uses at most %.6g*T + %v %s; over %v that is %v",
		p.Rate(), p.Depth+p.Edge, who, sample, p.MaxUse(sample).Round(time.Millisecond))
}

func (p Plan) explainStall() string {
	line := fmt.Sprintf("a group that spent everything waits at most %v for the next refill", p.Stall)
	switch {
	case p.MaxStall == 0:
		return line
	case p.StallMet:
		return fmt.Sprintf("%s, within the %v allowed", line, p.MaxStall)
	default:
		return fmt.Sprintf("%s, more than the %v allowed", line, p.MaxStall)
	}
}
