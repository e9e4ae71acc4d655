package trace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"github.com/anole-os/anole/qos/sim"
)

// Write puts a fleet into a directory as a trace, one CSV file for each table.
// Read gives the same fleet back if it is one of sim.Generate. What the model
// does not have (network, disk, counters) is left empty, and so is the machine
// of an instance: where work runs is decided by the simulation. machine_usage is
// the use by services.
func Write(ctx context.Context, f *sim.Fleet, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write trace: %w", err)
	}
	w := writer{ctx: ctx, f: f, dir: dir}
	for _, t := range []struct {
		table *table
		rows  func(*file) error
	}{
		{&machineMeta, w.machines}, {&machineUsage, w.machineUsage}, {&containerMeta, w.containers},
		{&containerUsage, w.containerUsage}, {&batchTask, w.tasks}, {&batchInstance, w.instances},
	} {
		if err := w.table(t.table, t.rows); err != nil {
			return fmt.Errorf("write trace: %w", err)
		}
	}
	return nil
}

type writer struct {
	ctx context.Context
	f   *sim.Fleet
	dir string
}

// file is a table that is being written; a row is fields and end.
type file struct {
	*bufio.Writer
	buf []byte
}

func (w *writer) table(t *table, rows func(*file) error) error {
	out, err := os.Create(filepath.Join(w.dir, t.name+".csv"))
	if err != nil {
		return err
	}
	f := &file{Writer: bufio.NewWriterSize(out, 1<<20)}
	return errors.Join(rows(f), f.Flush(), out.Close())
}

func (f *file) str(s string) *file {
	f.buf = append(append(f.buf, s...), ',')
	return f
}

func (f *file) num(v float64) *file {
	f.buf = append(strconv.AppendFloat(f.buf, v, 'f', -1, 64), ',')
	return f
}

// end ends the row, after some empty fields.
func (f *file) end(empty int) error {
	f.buf = f.buf[:len(f.buf)-1]
	for range empty {
		f.buf = append(f.buf, ',')
	}
	f.buf = append(f.buf, '\n')
	_, err := f.Write(f.buf)
	f.buf = f.buf[:0]
	return err
}

func (w *writer) machines(f *file) error {
	for i := range w.f.Machines {
		m := &w.f.Machines[i]
		if err := f.str(m.ID).num(0).num(float64(i / 40)).str("rack_" + strconv.Itoa(i/20)).num(m.CPUs).num(m.Memory).str("USING").end(0); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) machineUsage(f *file) error {
	at := 0
	for i := range w.f.Machines {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		end := at
		for end < len(w.f.Services) && w.f.Services[end].Machine == i {
			end++
		}
		m := &w.f.Machines[i]
		for k := 0; k*w.f.Sample <= w.f.Seconds; k++ {
			cpu, mem := 0.0, 0.0
			for s := at; s < end; s++ {
				v := &w.f.Services[s]
				cpu += float64(v.CPU[k]) * v.Request
				mem += float64(v.Mem[k]) * v.Memory
			}
			part := func(v float64) float64 { return math.Round(min(100, v/100)) }
			if err := f.str(m.ID).num(float64(k * w.f.Sample)).num(part(cpu / m.CPUs)).num(part(mem / m.Memory)).end(5); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}

func (w *writer) containers(f *file) error {
	for i := range w.f.Services {
		s := &w.f.Services[i]
		err := f.str(s.ID).str(w.f.Machines[s.Machine].ID).num(0).str(s.App).str("started").
			num(s.Request * 100).num(s.Limit * 100).num(s.Memory).end(0)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) containerUsage(f *file) error {
	for i := range w.f.Services {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		s := &w.f.Services[i]
		for k := 0; k*w.f.Sample <= w.f.Seconds; k++ {
			err := f.str(s.ID).str(w.f.Machines[s.Machine].ID).num(float64(k * w.f.Sample)).
				num(float64(s.CPU[k]) / 100).num(float64(s.Mem[k]) / 100).end(6)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// taskName writes the graph: the tasks of a job are numbered from 1.
func (w *writer) taskName(j *sim.Job, k int32) string {
	t := &w.f.Tasks[k]
	name := "M"
	if len(t.Deps) > 0 {
		name = "R"
	}
	if j.Count == 1 {
		return "task_" + strconv.Itoa(int(k)+1)
	}
	name += strconv.Itoa(int(k-j.First) + 1)
	for _, d := range t.Deps {
		name += "_" + strconv.Itoa(int(d-j.First)+1)
	}
	return name
}

// each calls do for all tasks.
func (w *writer) each(do func(j *sim.Job, name string, t *sim.Task) error) error {
	for i := range w.f.Jobs {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		j := &w.f.Jobs[i]
		for k := j.First; k < j.First+j.Count; k++ {
			if err := do(j, w.taskName(j, k), &w.f.Tasks[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *writer) tasks(f *file) error {
	return w.each(func(j *sim.Job, name string, t *sim.Task) error {
		return f.str(name).num(float64(t.Instances)).str(j.Name).str("1").str("Terminated").
			num(float64(t.Start)).num(float64(t.Start) + t.Seconds).num(t.CPU * 100).num(t.Memory).end(0)
	})
}

func (w *writer) instances(f *file) error {
	n := 0
	return w.each(func(j *sim.Job, name string, t *sim.Task) error {
		for k := range t.Instances {
			n++
			err := f.str("ins_" + strconv.Itoa(n)).str(name).str(j.Name).str("1").str("Terminated").
				num(float64(t.Start)).num(float64(t.Start) + t.Seconds).str("").num(float64(k + 1)).num(float64(t.Instances)).
				num(t.CPU * 100).num(t.CPU * 100).num(t.Memory).num(t.Memory).end(0)
			if err != nil {
				return err
			}
		}
		return nil
	})
}
