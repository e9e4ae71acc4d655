package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos/load"
)

// simulate times a day of a fleet of 1,000 nodes: the policy and both baselines.
func (b *bencher) simulate(ctx context.Context) ([]benchfmt.Result, error) {
	nodes := "1000"
	if b.o.Short {
		nodes = "10"
	}
	g, err := b.group(fmt.Sprintf("/anole-bench-simulate-%d", os.Getpid()))
	if err != nil {
		return nil, err
	}
	defer b.drop(g)
	own := load.MeterOptions{PIDs: []int{os.Getpid()}, Cgroups: []string{g.meterDir()}}
	var wall, cpu []float64
	var report []byte
	for i := range b.o.Rounds {
		what := fmt.Sprintf("round %d", i+1)
		err := b.quiet(ctx, what, func() (check, err error) {
			m, err := load.OpenMeter(own)
			if err != nil {
				return nil, err
			}
			argv := append(append([]string{}, b.Agent...), "qos", "simulate", "--nodes", nodes, "--hours", "24", "-o", "json")
			cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
			var out bytes.Buffer
			var errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			began := time.Now()
			if err := b.spawn(cmd); err != nil {
				return nil, err
			}
			if err := errors.Join(g.enter(cmd.Process.Pid), cmd.Wait()); err != nil {
				return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(errs.String()))
			}
			took := time.Since(began)
			if report == nil {
				report = out.Bytes()
			}
			if !bytes.Equal(report, out.Bytes()) {
				return nil, errors.New("the same seed gave another report")
			}
			u, err := m.Sample()
			if err != nil {
				return nil, err
			}
			if check := b.Limits.Check(u); check != nil {
				return check, nil
			}
			used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			wall, cpu = append(wall, took.Seconds()), append(cpu, used.Seconds())
			b.Say(fmt.Sprintf("  %s: %.1f s, %.1f s of CPU", what, took.Seconds(), used.Seconds()))
			return nil, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return []benchfmt.Result{
		single("simulate-day-cpu", "CPU time to simulate 1,000 nodes for 24 h, with two baselines; the same bytes in each round", "s", "<=120", cpu),
		single("simulate-day", fmt.Sprintf("the same by the clock, on %d CPUs", b.cpus), "s", "<=60", wall),
	}, nil
}
