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
type NotJudgedError struct{ Why string }

func (e *NotJudgedError) Error() string { return "not judged: " + e.Why }

type bencher struct {
	Options
	kernel, date string
	lost         []float64 // records, by each of the counts
}

type benchCase struct {
	name, doc string
	run       func(*bencher, context.Context) ([]benchfmt.Result, error)
}

var cases = append(countCases(), []benchCase{
	{"kernel", "time of the kernel's programs per request and side, by tier", (*bencher).kernelTime},
	{"redis", "CPU of a redis GET, server and client, with and without", (*bencher).redis},
	{"nginx", "CPU of an nginx request, server and client, with and without", (*bencher).nginx},
	{"agent", "CPU and allocations per record", (*bencher).agent},
	{"resident", "memory and CPU of a whole agent that records each request of a busy server", (*bencher).resident},
	{"recorder", "memory and CPU of a recording of each request of a busy server, without an agent", (*bencher).recorder},
	{"replay", "records of a recording read, and judged, for a second of CPU", (*bencher).replay},
	{"capture", "CPU and times against tcpdump, which keeps all packets, and tshark, which finds the requests in them", (*bencher).capture},
	{"durations", "a statement's time at the server against the duration that PostgreSQL logs", (*bencher).durations},
	{"accuracy", "time of a download by curl, on a slow path that loses packets", (*bencher).accuracy},
	{"think", "a server's time of a request against its client's, with time to think", (*bencher).think},
	{"scan", "a look at the requests under way among 20,000 connections", (*bencher).scan},
	{"faults", "eight faults of services: found in five seconds, and told by their causes", (*bencher).faults},
	{"kill", "traffic while its measurement is killed", (*bencher).kill},
}...)

// chosen says whether the case is one of those, or they name a group that it is in.
func (c *benchCase) chosen(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return c.name == n || strings.HasPrefix(c.name, n+"-") })
}

// Cases names the scenarios and says what each measures.
func Cases() [][2]string {
	var out [][2]string
	for _, c := range cases {
		out = append(out, [2]string{c.name, c.doc})
	}
	return out
}

// Bench runs the chosen cases. A case that cannot be judged is in the error, after
// the others have run; Save is not called for it.
func Bench(ctx context.Context, o Options) error {
	for _, name := range o.Cases {
		if !slices.ContainsFunc(cases, func(c benchCase) bool { return c.chosen([]string{name}) }) {
			return fmt.Errorf("no case %q: there are %v", name, Cases())
		}
	}
	if o.Rounds == 0 {
		o.Rounds = 7
	}
	if o.Short {
		o.Rounds = 1
	}
	b := &bencher{Options: o, date: time.Now().UTC().Format(time.DateOnly)}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's name: %w", err)
	}
	// The number alone: what a distributor adds names a build.
	b.kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	var failed []error
	for _, c := range cases {
		if !c.chosen(o.Cases) {
			continue
		}
		b.Say(c.name + ": " + c.doc)
		if err := b.one(ctx, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.Say(fmt.Sprintf("%s: %v", c.name, err))
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
		if err := x.Judge(); err != nil {
			return err
		}
		b.Say(fmt.Sprintf("  %-24s ours %.4g peer %.4g %s, ratio %.4f (%.4f to %.4f), target %s: %v", x.ID, x.Ours, x.Peer, x.Unit, x.Ratio, x.Spread.Min, x.Spread.Max, x.Target, x.Meets))
	}
	if b.Save == nil {
		return nil
	}
	return b.Save(results)
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
	return &NotJudgedError{fmt.Sprintf("the node is %.0f %% busy with something else", 100*busy)}
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
