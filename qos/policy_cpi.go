package qos

import (
	"fmt"
	"math"
)

// CPIPolicy says whether cycles per instruction are counted and what follows.
type CPIPolicy struct {
	Mode      string  `yaml:"mode" json:"mode" doc:"Count the cycles per instruction of LS and BE workloads by the CPUs' counters: auto (where something asks for it: the objective, or the sharing out of the cache), on (always) or off."`
	Objective float64 `yaml:"objective" json:"objective" doc:"Objective of the latency-sensitive class: cut best-effort work when a workload's cycles per instruction exceed the most that is usual (mean + 2σ, three times in five minutes) by this factor; 1 is any excess, 0 is off."`
}

func defaultCPI() CPIPolicy { return CPIPolicy{Mode: "auto"} }

func (c *CPIPolicy) problems() (bad []string) {
	mode(&bad, "cpi.mode", c.Mode, "auto", "on", "off")
	if math.IsNaN(c.Objective) || c.Objective != 0 && (c.Objective < 1 || c.Objective > 100) {
		bad = append(bad, fmt.Sprintf("cpi.objective: %v is not a factor between 1 and 100, or 0", c.Objective))
	}
	if c.Mode == "off" && c.Objective > 0 {
		bad = append(bad, "cpi.objective: it needs cpi.mode auto or on")
	}
	return bad
}
