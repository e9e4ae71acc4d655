package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/procfs"
)

// Options choose what is measured.
type Options struct {
	// Cases are names of Cases, or what begins some of them before a dash; all when
	// empty.
	Cases    []string
	Rounds   int  // interleaved rounds; 7 when 0
	Requests int  // of each of the counts, and of resident and recorder; a million when 0
	Short    bool // brief, to see that it works: the results mean nothing
	Say      func(string)
	Agent    []string // command of an agent, but for its verb
	Hold     []string // command of HoldMain
	Victim   []string // command of VictimMain
	// Save is given the results of each case when it is done.
	Save func([]benchfmt.Result) error
}

// NotJudgedError says that the node was too busy.
type NotJudgedError = benchfmt.NotJudgedError

type bencher struct {
	Options
	lost []float64 // records, by each of the counts
}

type benchCase = benchfmt.Case[*bencher]

var cases = append(countCases(), []benchCase{
	{Name: "kernel", Doc: "time of the kernel's programs per request and side, by tier", Run: (*bencher).kernelTime},
	{Name: "redis", Doc: "CPU of a redis GET, server and client, with and without", Run: (*bencher).redis},
	{Name: "nginx", Doc: "CPU of an nginx request, server and client, with and without", Run: (*bencher).nginx},
	{Name: "agent", Doc: "CPU and allocations per record", Run: (*bencher).agent},
	{Name: "resident", Doc: "memory and CPU of a whole agent that records each request of a busy server", Run: (*bencher).resident},
	{Name: "recorder", Doc: "memory and CPU of a recording of each request of a busy server, without an agent", Run: (*bencher).recorder},
	{Name: "replay", Doc: "records of a recording read, and judged, for a second of CPU", Run: (*bencher).replay},
	{Name: "capture", Doc: "CPU and times against tcpdump, which keeps all packets, and tshark, which finds the requests in them", Run: (*bencher).capture},
	{Name: "durations", Doc: "a statement's time at the server against the duration that PostgreSQL logs", Run: (*bencher).durations},
	{Name: "accuracy", Doc: "time of a download by curl, on a slow path that loses packets", Run: (*bencher).accuracy},
	{Name: "think", Doc: "a server's time of a request against its client's, with time to think", Run: (*bencher).think},
	{Name: "scan", Doc: "a look at the requests under way among 20,000 connections", Run: (*bencher).scan},
	{Name: "faults", Doc: "eight faults of services: found in five seconds, and told by their causes", Run: (*bencher).faults},
	{Name: "kill", Doc: "traffic while its measurement is killed", Run: (*bencher).kill},
}...)

// Cases names the scenarios and says what each measures.
func Cases() [][2]string { return benchfmt.Listed(cases) }

// Bench runs the chosen cases. A case that cannot be judged is in the error, after
// the others have run; Save is not called for it.
func Bench(ctx context.Context, o Options) error {
	if name, unknown := benchfmt.Unknown(cases, o.Cases); unknown {
		return fmt.Errorf("no case %q: there are %v", name, Cases())
	}
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Short {
		o.Rounds = 1
	}
	run := benchfmt.Run[*bencher]{Cases: cases, Names: o.Cases, Say: o.Say, Save: o.Save, Line: func(x *benchfmt.Result) string {
		return fmt.Sprintf("%-24s ours %.4g peer %.4g %s, ratio %.4f (%.4f to %.4f), target %s: %v", x.ID, x.Ours, x.Peer, x.Unit, x.Ratio, x.Spread.Min, x.Spread.Max, x.Target, x.Meets)
	}}
	return run.Do(ctx, &bencher{Options: o})
}

// quiet waits until hardly anything else runs on the node.
func (b *bencher) quiet(ctx context.Context) error {
	const most, wait = 0.1, 2 * time.Minute
	var busy float64
	for end := time.Now().Add(wait); time.Now().Before(end); {
		var err error
		if busy, err = load(ctx, 500*time.Millisecond); err != nil {
			return err
		}
		if busy <= most || b.Short {
			return nil
		}
	}
	return &NotJudgedError{Why: fmt.Sprintf("the node is %.0f %% busy with something else", 100*busy)}
}

// load is the share of the node's CPU that is in use over d.
func load(ctx context.Context, d time.Duration) (float64, error) {
	f, err := procfs.OpenStat("")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	was, err := f.Read()
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(d):
	}
	now, err := f.Read()
	if err != nil {
		return 0, err
	}
	now = now.Sub(was)
	return float64(now.Busy()) / float64(max(1, now.Total())), nil
}

// rounds runs settings one after the other, in every round in another order, and
// gives what each measured.
func (b *bencher) rounds(ctx context.Context, n int, settings ...func() (float64, error)) ([][]float64, error) {
	out := make([][]float64, len(settings))
	for i := range n {
		b.Say(fmt.Sprintf("  round %d of %d", i+1, n))
		for j := range settings {
			at := (i + j) % len(settings)
			if err := b.quiet(ctx); err != nil {
				return nil, err
			}
			v, err := settings[at]()
			if err != nil {
				return nil, err
			}
			out[at] = append(out[at], v)
		}
	}
	return out, nil
}
