package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/anole-os/anole/qos/sim"
)

// Options says what to read of a trace.
type Options struct {
	Dir    string
	From   int     // seconds from the trace's beginning
	Hours  float64 // 0 = 24
	Sample int     // seconds between samples; 0 = 60
	Nodes  int     // the first machines of the file; 0 = all
	// Progress, when set, is called with what was read of a file.
	Progress func(table string, read, size int64)
}

// Summary says what a fleet was made of, and what of the trace it leaves out.
type Summary struct {
	Rows             map[string]int `json:"rows"`
	CPU              float64        `json:"recorded_cpu"`    // mean use of the machines by machine_usage, as a share; 0 without
	Memory           float64        `json:"recorded_memory"` // likewise
	Moved            int            `json:"containers_moved"`
	WithoutUse       int            `json:"containers_without_usage"`
	WithoutRequest   int            `json:"containers_without_request"`
	WithoutDuration  int            `json:"tasks_without_duration"`
	WithoutDemand    int            `json:"tasks_without_plan"`   // one core was taken
	MissingDeps      int            `json:"missing_dependencies"` // on tasks that are not there
	OtherMachines    int            `json:"containers_on_other_machines"`
	InstancesMatched int            `json:"instances_matched"`
}

// reader is one Read.
type reader struct {
	ctx        context.Context
	o          Options
	f          *sim.Fleet
	sum        Summary
	samples    int
	machines   map[string]int
	containers map[string]*container
	order      []*container
	batch      batch
	end        float64 // latest time of load: of a sample or a task's start, seconds
}

// EndError is a time to begin behind all load of the trace.
type EndError struct {
	Dir       string
	From, End time.Duration // asked for; how long the trace is
}

func (e *EndError) Error() string {
	return fmt.Sprintf("%s: cannot begin at %v: the trace is %v long", e.Dir, e.From, e.End)
}

// until takes in a time at which there is load; one that is missing is NaN.
func (r *reader) until(at float64) {
	if at > r.end {
		r.end = at
	}
}

// mostSamples bounds what is kept of a container: 12 MB while reading.
const mostSamples = 1_000_000

// Read makes a fleet of a trace's directory. A row that the schema does not allow
// is a *RowError, a From behind all rows an *EndError.
func Read(ctx context.Context, o Options) (*sim.Fleet, *Summary, error) {
	if o.Hours == 0 {
		o.Hours = 24
	}
	if o.Sample == 0 {
		o.Sample = 60
	}
	if o.Sample < 1 || !(o.Hours > 0 && o.Hours <= 24*366) || o.From < 0 || o.Nodes < 0 {
		return nil, nil, fmt.Errorf("read trace: sample %d, hours %v, from %d, nodes %d: want sample and hours above 0, the others from 0", o.Sample, o.Hours, o.From, o.Nodes)
	}
	if n := o.Hours * 3600 / float64(o.Sample); n > mostSamples {
		return nil, nil, fmt.Errorf("read trace: %.0f samples of each container: want at most %d; shorten the time or lengthen the sample", n, mostSamples)
	}
	r := &reader{ctx: ctx, o: o, machines: map[string]int{}, containers: map[string]*container{}, sum: Summary{Rows: map[string]int{}}}
	r.f = &sim.Fleet{Sample: o.Sample, Seconds: max(1, int(math.Round(o.Hours*3600/float64(o.Sample)))) * o.Sample}
	r.samples = r.f.Seconds/o.Sample + 1
	if err := r.run(); err != nil {
		return nil, nil, fmt.Errorf("read trace: %w", err)
	}
	return r.f, &r.sum, nil
}

func (r *reader) run() error {
	if err := r.each(&machineMeta, r.machine); err != nil {
		return err
	}
	if len(r.f.Machines) == 0 {
		return fmt.Errorf("%s: machine_meta has no machine", r.o.Dir)
	}
	if err := r.each(&containerMeta, r.container); err != nil {
		return err
	}
	if err := r.each(&containerUsage, r.usage); err != nil {
		return err
	}
	r.services()
	var use recorded
	if err := r.optional(&machineUsage, func(row *rows) error { return use.add(r, row) }); err != nil {
		return err
	}
	r.sum.CPU, r.sum.Memory = use.means()
	r.batch.init()
	if err := r.optional(&batchTask, r.task); err != nil {
		return err
	}
	if err := r.optional(&batchInstance, r.instance); err != nil {
		return err
	}
	if from := float64(r.o.From); r.o.From > 0 && from > r.end {
		second := float64(time.Second)
		return &EndError{r.o.Dir, time.Duration(r.o.From) * time.Second, time.Duration(min(r.end*second, math.MaxInt64/2))}
	}
	return r.jobs()
}

// each reads a table row by row.
func (r *reader) each(t *table, do func(*rows) error) error {
	s, err := t.open(r.o.Dir)
	if err != nil {
		return err
	}
	defer s.Close()
	for n := 0; ; n++ {
		if n%(1<<14) == 0 {
			if err := r.ctx.Err(); err != nil {
				return err
			}
			if r.o.Progress != nil {
				r.o.Progress(t.name, s.read.n, s.size)
			}
		}
		switch err := s.next(); {
		case errors.Is(err, io.EOF):
			r.sum.Rows[t.name] = n
			return nil
		case err != nil:
			return err
		}
		if err := do(s.rows); err != nil {
			return err
		}
	}
}

// optional is each for a table that need not be there.
func (r *reader) optional(t *table, do func(*rows) error) error {
	err := r.each(t, do)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// machine takes the first row of each.
func (r *reader) machine(row *rows) error {
	if _, ok := r.machines[string(row.fields[0])]; ok || r.o.Nodes > 0 && len(r.f.Machines) == r.o.Nodes {
		return nil
	}
	if !(row.value[4] > 0) {
		return row.bad(4, "the number of CPUs, above 0")
	}
	if !(row.value[5] > 0) {
		return row.bad(5, "the memory, above 0 and at most 100")
	}
	id := string(row.fields[0])
	r.machines[id] = len(r.f.Machines)
	r.f.Machines = append(r.f.Machines, sim.Machine{ID: id, CPUs: row.value[4], Memory: row.value[5]})
	return nil
}

// container is a service that is being read.
type container struct {
	sim.Service
	cpu, mem series
}

// series sums the values of each sample, in hundredths of a percent.
type series struct {
	sum   []uint32
	count []uint16
}

func (r *reader) container(row *rows) error {
	id := string(row.fields[0])
	at, known := r.machines[string(row.fields[1])]
	if c := r.containers[id]; c != nil {
		if !known || at != c.Machine {
			r.sum.Moved++
		}
		return nil
	}
	switch {
	case !known:
		r.sum.OtherMachines++
		return nil
	case !(row.value[5] > 0):
		r.sum.WithoutRequest++
		return nil
	}
	c := &container{Service: sim.Service{ID: id, App: string(row.fields[3]), Machine: at, Request: row.value[5] / 100, Memory: orZero(row.value[7])}}
	if limit := row.value[6]; limit > 0 {
		c.Limit = limit / 100
	}
	r.containers[id] = c
	r.order = append(r.order, c)
	return nil
}

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// usage adds a row to the sample it is nearest to.
func (r *reader) usage(row *rows) error {
	r.until(row.value[2])
	c := r.containers[string(row.fields[0])]
	if c == nil {
		return nil
	}
	k := int(math.Floor((row.value[2]-float64(r.o.From))/float64(r.o.Sample) + 0.5))
	if k < 0 || k >= r.samples {
		return nil
	}
	if row.value[3] > mostLoad {
		return row.bad(3, fmt.Sprintf("at most %d %% of the request", mostLoad))
	}
	if row.value[4] > mostLoad {
		return row.bad(4, fmt.Sprintf("at most %d %% of the container's memory", mostLoad))
	}
	c.cpu.add(k, r.samples, row.value[3])
	c.mem.add(k, r.samples, row.value[4])
	return nil
}

// mostLoad is what a sample of a sim.Service can hold.
const mostLoad = 600

func (s *series) add(k, samples int, v float64) {
	if math.IsNaN(v) {
		return
	}
	if s.sum == nil {
		s.sum, s.count = make([]uint32, samples), make([]uint16, samples)
	}
	if s.count[k] < math.MaxUint16 {
		s.sum[k] += uint32(math.Round(v * 100))
		s.count[k]++
	}
}

// filled gives the means; samples without a value take the last, the first ones
// the first.
func (s *series) filled() []uint16 {
	first := slices.IndexFunc(s.count, func(c uint16) bool { return c > 0 })
	if first < 0 {
		return nil
	}
	out := make([]uint16, len(s.count))
	last := uint16(s.sum[first] / uint32(s.count[first]))
	for k, c := range s.count {
		if c > 0 {
			last = uint16((s.sum[k] + uint32(c)/2) / uint32(c))
		}
		out[k] = last
	}
	s.sum, s.count = nil, nil
	return out
}

// services makes those of the containers that were seen in use.
func (r *reader) services() {
	slices.SortStableFunc(r.order, func(a, b *container) int { return cmp.Compare(a.Machine, b.Machine) })
	for _, c := range r.order {
		c.CPU, c.Mem = c.cpu.filled(), c.mem.filled()
		if c.CPU == nil {
			r.sum.WithoutUse++
			continue
		}
		if c.Mem == nil {
			c.Mem = slices.Repeat([]uint16{sim.Full}, r.samples)
		}
		r.f.Services = append(r.f.Services, c.Service)
	}
	r.containers, r.order = nil, nil
}

// recorded sums up machine_usage.
type recorded struct {
	cpu, mem   float64
	cpus, mems int
}

func (u *recorded) add(r *reader, row *rows) error {
	at := row.value[1] - float64(r.o.From)
	if _, ok := r.machines[string(row.fields[0])]; !ok || at < 0 || at > float64(r.f.Seconds) {
		return nil
	}
	if v := row.value[2]; !math.IsNaN(v) {
		u.cpu += v / 100
		u.cpus++
	}
	if v := row.value[3]; !math.IsNaN(v) {
		u.mem += v / 100
		u.mems++
	}
	return nil
}

func (u *recorded) means() (cpu, mem float64) {
	return u.cpu / float64(max(1, u.cpus)), u.mem / float64(max(1, u.mems))
}
