package qos

import (
	"fmt"
	"math"
	"path"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/blkio"
)

// IOPolicy says how block IO is shared between the classes.
type IOPolicy struct {
	Use       string         `yaml:"use" json:"use" doc:"auto takes for each disk the first that it and the kernel have of io.cost, io.max, bfq (weights, only where bfq is the scheduler), throttle (cgroup v1); or one of these, or off."`
	Scheduler string         `yaml:"scheduler" json:"scheduler" doc:"keep, or bfq to make that the disks' scheduler while the agent runs."`
	Latency   yamlx.Duration `yaml:"latency" json:"latency" doc:"Objective: mean time of an LS request, of which one in a hundred may take four times; 0 learns what the disk needs without best-effort IO and takes factor times that."`
	Trace     string         `yaml:"trace" json:"trace" doc:"LS requests one by one, by eBPF, so that the slowest hundredth counts beside the mean: auto or off."`
	Factor    float64        `yaml:"factor" json:"factor" doc:"How much longer LS requests may take beside best-effort IO than without."`
	Floor     float64        `yaml:"floor" json:"floor" doc:"Share of a disk that best-effort IO always gets."`
	Rise      float64        `yaml:"risePerSecond" json:"rise_per_second" doc:"Factor by which a limit grows each second while the objective holds."`
	Settle    yamlx.Duration `yaml:"settle" json:"settle" doc:"How long the objective must hold before a limit grows."`
	Relearn   yamlx.Duration `yaml:"relearn" json:"relearn" doc:"How often best-effort IO is all but stopped for about a second to measure the disk without it, if it never pauses by itself."`
	Capacity  IOCapacity     `yaml:"capacity" json:"capacity" doc:"What a disk can do; what is 0 is learned from what it was seen to do."`
	Devices   []IODevice     `yaml:"devices" json:"devices" doc:"Disks with settings of their own; the first that matches counts. Loop, RAM, network block and optical devices are left alone unless named here."`
}

// IOCapacity is what a disk can do in a second.
type IOCapacity struct {
	ReadBytes  yamlx.Bytes `yaml:"readBytes" json:"read_bytes" doc:"Bytes read a second."`
	WriteBytes yamlx.Bytes `yaml:"writeBytes" json:"write_bytes" doc:"Bytes written a second."`
	ReadOps    int         `yaml:"readOps" json:"read_ops" doc:"Reads a second."`
	WriteOps   int         `yaml:"writeOps" json:"write_ops" doc:"Writes a second."`
}

// IODevice are settings of some disks; what is absent is the section's own.
type IODevice struct {
	Match     string          `yaml:"match" json:"match" doc:"A disk's name, with wildcards (nvme*), its number (8:0), a partition or a device of the mapper (/dev/mapper/data); the last two stand for the disks that they are on."`
	Use       string          `yaml:"use,omitempty" json:"use,omitempty" doc:"As use above."`
	Scheduler string          `yaml:"scheduler,omitempty" json:"scheduler,omitempty" doc:"As scheduler above."`
	Latency   *yamlx.Duration `yaml:"latency,omitempty" json:"latency,omitempty" doc:"As latency above."`
	Capacity  *IOCapacity     `yaml:"capacity,omitempty" json:"capacity,omitempty" doc:"As capacity above."`
}

func defaultIO() IOPolicy {
	o := blkio.DefaultOptions()
	return IOPolicy{
		Use: "auto", Scheduler: "keep", Trace: "auto", Factor: o.Factor, Floor: o.Floor, Rise: o.Rise,
		Settle: yamlx.Duration(o.Settle), Relearn: yamlx.Duration(o.Relearn), Devices: []IODevice{},
	}
}

// validate names each mistake with its key.
func (p *IOPolicy) validate(say func(format string, a ...any), oneOf func(key, v string, of ...string)) {
	uses := []string{"auto", "io.cost", "io.max", "bfq", "throttle", "off"}
	oneOf("io.use", p.Use, uses...)
	oneOf("io.scheduler", p.Scheduler, "keep", "bfq")
	oneOf("io.trace", p.Trace, "auto", "off")
	if math.IsNaN(p.Factor) || p.Factor < 1.01 || p.Factor > 100 {
		say("io.factor: %v is not between 1.01 and 100", p.Factor)
	}
	if math.IsNaN(p.Floor) || p.Floor < 0.0001 || p.Floor > 1 {
		say("io.floor: %v is not a share between 0.0001 and 1", p.Floor)
	}
	if math.IsNaN(p.Rise) || p.Rise < 1.01 || p.Rise > 10 {
		say("io.risePerSecond: %v is not a factor between 1.01 and 10", p.Rise)
	}
	if d := p.Relearn.Std(); d < 10*time.Second {
		say("io.relearn: %v is below 10s", d)
	}
	if why := p.Capacity.wrong(); why != "" {
		say("io.capacity: %s", why)
	}
	for i, d := range p.Devices {
		if why := d.wrong(uses, oneOf); why != "" {
			say("io.devices: entry %d: %s", i+1, why)
		}
	}
}

func (c *IOCapacity) wrong() string {
	if c.ReadOps < 0 || c.WriteOps < 0 {
		return "a number of requests is negative"
	}
	return ""
}

func (d *IODevice) wrong(uses []string, oneOf func(key, v string, of ...string)) string {
	if d.Match == "" {
		return "match is missing"
	}
	if _, err := path.Match(d.Match, ""); err != nil {
		return fmt.Sprintf("match %q: %v", d.Match, err)
	}
	if d.Use != "" {
		oneOf("io.devices", d.Use, uses...)
	}
	if d.Scheduler != "" {
		oneOf("io.devices", d.Scheduler, "keep", "bfq")
	}
	if d.Capacity != nil {
		return d.Capacity.wrong()
	}
	return ""
}

// ioSettings are those in force for one disk.
type ioSettings struct {
	use, elevator string
	options       blkio.Options
}

// of gives the settings of the disk that entry by is about, -1 for none.
func (p *IOPolicy) of(by int) ioSettings {
	s := ioSettings{use: p.Use, elevator: p.Scheduler, options: blkio.Options{
		Latency: p.Latency.Std(), Factor: p.Factor, Floor: p.Floor, Rise: p.Rise,
		Settle: p.Settle.Std(), Relearn: p.Relearn.Std(), Capacity: p.Capacity.rates(),
	}}
	if by < 0 {
		return s
	}
	d := &p.Devices[by]
	if d.Use != "" {
		s.use = d.Use
	}
	if d.Scheduler != "" {
		s.elevator = d.Scheduler
	}
	if d.Latency != nil {
		s.options.Latency = d.Latency.Std()
	}
	if d.Capacity != nil {
		s.options.Capacity = d.Capacity.rates()
	}
	return s
}

func (c *IOCapacity) rates() blkio.Rates {
	return blkio.Rates{ReadBytes: float64(c.ReadBytes), WriteBytes: float64(c.WriteBytes), ReadOps: float64(c.ReadOps), WriteOps: float64(c.WriteOps)}
}

// off says that the whole section does nothing.
func (p *IOPolicy) off() bool {
	if p.Use != "off" {
		return false
	}
	for _, d := range p.Devices {
		if d.Use != "" && d.Use != "off" {
			return false
		}
	}
	return true
}
