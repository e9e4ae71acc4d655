package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	o      CaseOptions
	kernel string
	date   string
}

// benchCase is one scenario; it gives one or more results.
type benchCase struct {
	name, doc string
	run       func(*bencher, context.Context) ([]benchfmt.Result, error)
}

var cases = []benchCase{
	{"latency", "LS p99 beside best-effort work, and what that work gets done", (*bencher).latency},
	{"burst", "bursts under a CPU limit, beside rivals' settings", (*bencher).burst},
	{"limit", "long-run use of a limited hog", (*bencher).limit},
	{"io", "p99 of an LS reader beside a best-effort writer on one disk", (*bencher).io},
	{"memory", "major faults of an LS service beside a best-effort reader", (*bencher).memory},
	{"reaction", "time from a step of the LS load to the cap", (*bencher).reaction},
	{"cost", "the agent's own use with 200 and 1,000 cgroups", (*bencher).cost},
	{"net", "LS and best-effort traffic over one link, both ways, TCP and UDP", (*bencher).network},
	{"simulate", "a day of 1,000 simulated nodes", (*bencher).simulate},
	{"start", "time from exec to ready, size of the binary", (*bencher).startUp},
}

// Cases names the scenarios and says what each measures.
func Cases() [][2]string {
	var out [][2]string
	for _, c := range cases {
		out = append(out, [2]string{c.name, c.doc})
	}
	return out
}

// Bench runs the chosen cases. A case that cannot be judged is reported in the
// error, after the others have run; Save is not called for it.
func Bench(ctx context.Context, o CaseOptions) error {
	for _, name := range o.Cases {
		if !slices.ContainsFunc(cases, func(c benchCase) bool { return c.name == name }) {
			return fmt.Errorf("no case %q: there are %s", name, caseNames())
		}
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
	b := &bencher{rig: r, o: o, date: time.Now().UTC().Format(time.DateOnly)}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	// The number alone: what a distributor adds names a build.
	b.kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	var failed []error
	for _, c := range cases {
		if len(o.Cases) > 0 && !slices.Contains(o.Cases, c.name) {
			continue
		}
		r.Say(c.name + ": " + c.doc)
		if err := b.one(ctx, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Say(fmt.Sprintf("%s: %v", c.name, err))
			failed = append(failed, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(failed...)
}

func (b *bencher) one(ctx context.Context, c benchCase) error {
	results, err := c.run(b, ctx)
	if err != nil {
		return err
	}
	for i := range results {
		x := &results[i]
		x.Kernel, x.Date = b.kernel, b.date
		if x.Rounds == 0 {
			x.Rounds = b.o.Rounds
		}
		if err := x.Judge(); err != nil {
			return err
		}
		b.Say(fmt.Sprintf("  %-24s ours %.4g peer %.4g %s, ratio %.3f (%.3f to %.3f), target %s: %v", x.ID, x.Ours, x.Peer, x.Unit, x.Ratio, x.Spread.Min, x.Spread.Max, x.Target, x.Meets))
	}
	if b.o.Save == nil {
		return nil
	}
	return b.o.Save(results)
}

func caseNames() string {
	var out []string
	for _, c := range cases {
		out = append(out, c.name)
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
