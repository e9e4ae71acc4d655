package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos/load"
)

// CaseOptions choose what is measured.
type CaseOptions struct {
	Options
	Cases  []string // names of Cases; all when empty
	Rounds int      // interleaved rounds; 7 when 0
	// Short makes everything brief, to see that it works. Its results mean
	// nothing and are marked by Rounds 1.
	Short bool
	// Save is given the results of each case when it is done.
	Save func([]benchfmt.Result) error
}

// bencher is one run of benches.
type bencher struct {
	*rig
	o CaseOptions
}

type benchCase = benchfmt.Case[*bencher]

var cases = []benchCase{
	{Name: "latency", Doc: "LS p99 beside best-effort work, and what that work gets done", Run: (*bencher).latency},
	{Name: "burst", Doc: "bursts under a CPU limit, beside rivals' settings", Run: (*bencher).burst},
	{Name: "limit", Doc: "long-run use of a limited hog", Run: (*bencher).limit},
	{Name: "io", Doc: "p99 of an LS reader beside a best-effort writer on one disk", Run: (*bencher).io},
	{Name: "memory", Doc: "major faults of an LS service beside a best-effort reader", Run: (*bencher).memory},
	{Name: "reaction", Doc: "time from a step of the LS load to the cap", Run: (*bencher).reaction},
	{Name: "cost", Doc: "the agent's own use with 200 and 1,000 cgroups", Run: (*bencher).cost},
	{Name: "net", Doc: "LS and best-effort traffic over one link, both ways, TCP and UDP", Run: (*bencher).network},
	{Name: "simulate", Doc: "a day of 1,000 simulated nodes", Run: (*bencher).simulate},
	{Name: "start", Doc: "time from exec to ready, size of the binary", Run: (*bencher).startUp},
}

// Cases names the scenarios and says what each measures.
func Cases() [][2]string { return benchfmt.Listed(cases) }

// Bench runs the chosen cases. A case that cannot be judged is reported in the
// error, after the others have run; Save is not called for it.
func Bench(ctx context.Context, o CaseOptions) error {
	if name, unknown := benchfmt.Unknown(cases, o.Cases); unknown {
		return fmt.Errorf("no case %q: there are %s", name, caseNames())
	}
	r, err := openRig(o.Options)
	if err != nil {
		return err
	}
	defer r.close()
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Short {
		o.Rounds = 1
	}
	run := benchfmt.Run[*bencher]{
		Cases: cases, Names: o.Cases, Say: r.Say, Save: o.Save,
		Each: func(x *benchfmt.Result) {
			if x.Rounds == 0 {
				x.Rounds = o.Rounds
			}
		},
		Line: func(x *benchfmt.Result) string {
			return fmt.Sprintf("%-24s ours %.4g peer %.4g %s, ratio %.3f (%.3f to %.3f), target %s: %v", x.ID, x.Ours, x.Peer, x.Unit, x.Ratio, x.Spread.Min, x.Spread.Max, x.Target, x.Meets)
		},
	}
	return run.Do(ctx, &bencher{rig: r, o: o})
}

func caseNames() string {
	var out []string
	for _, c := range cases {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

// phaseTime shortens a phase in a short run.
func (b *bencher) phaseTime(d time.Duration) time.Duration {
	if b.o.Short {
		return time.Second
	}
	return d
}

// paired makes a result of rounds in which ours and the peer were measured.
func paired(id, what, unit, peer, target string, ours, theirs []float64) (benchfmt.Result, error) {
	c, err := load.Paired(ours, theirs, load.PairedOptions{})
	if err != nil {
		return benchfmt.Result{}, fmt.Errorf("%s: %w", id, err)
	}
	return benchfmt.Result{
		ID: id, What: what, Unit: unit, Ours: c.Ours, Peer: c.Peer, PeerName: peer, Ratio: c.Ratio,
		Spread: benchfmt.Spread{Min: c.Min, Max: c.Max}, Target: target, Rounds: c.Rounds,
	}, nil
}

// worst and single make results without a peer.
var worst, single = benchfmt.Worst, benchfmt.Single
