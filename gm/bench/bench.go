package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/internal/benchfmt"
)

// Options choose what is measured.
type Options struct {
	// Cases are names of Cases, or what begins some of them before a dash; all when
	// empty.
	Cases  []string
	Rounds int           // interleaved rounds; 11 when 0
	Sample time.Duration // of CPU, of each side in a round; 50 ms when 0
	Short  bool          // brief, to see that it works: the results mean nothing
	Peers  string        // the folder that scripts/peers.sh fills; .cache/peers when ""
	Sum    []string      // command that prints the SM3 of the files it is given
	Say    func(string)  // told what goes on; may be nil
	// Save is given the results of each case when it is done; may be nil.
	Save func([]benchfmt.Result) error
}

// NotJudgedError says that the node was too busy.
type NotJudgedError struct{ Why string }

func (e *NotJudgedError) Error() string { return "not judged: " + e.Why }

type bencher struct {
	Options
	kernel, date string
	gcrypt       *driver       // nil before it is needed
	patience     time.Duration // with a busy node
}

type benchCase struct {
	name, doc string
	run       func(*bencher, context.Context) ([]benchfmt.Result, error)
}

var cases = slices.Concat(sm4Cases, sm3Cases, sm2Cases, []benchCase{
	{"allocs", "allocations of sealing, opening and hashing", (*bencher).allocs},
})

// chosen says whether the case is one of those, or they name a group that it is in.
func (c *benchCase) chosen(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return c.name == n || strings.HasPrefix(c.name, n+"-") })
}

// Cases names what is measured and says what each is.
func Cases() [][2]string {
	var out [][2]string
	for _, c := range cases {
		out = append(out, [2]string{c.name, c.doc})
	}
	return out
}

// Bench runs the chosen cases. The process is held on one core meanwhile. A case that
// cannot be judged, or whose peer is not there, is in the error, after the others have
// run; Save is not called for it.
func Bench(ctx context.Context, o Options) error {
	for _, name := range o.Cases {
		if !slices.ContainsFunc(cases, func(c benchCase) bool { return c.chosen([]string{name}) }) {
			return fmt.Errorf("no case %q: there are %v", name, Cases())
		}
	}
	b := &bencher{Options: o.whole(), patience: patient, date: time.Now().UTC().Format(time.DateOnly)}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's name: %w", err)
	}
	// The number alone: what a distributor adds names a build.
	b.kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	unpin, err := pin()
	if err != nil {
		return err
	}
	defer unpin()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer func() { b.gcrypt.close() }()
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

// whole fills in what was left to it.
func (o Options) whole() Options {
	if o.Rounds == 0 {
		o.Rounds = 11
	}
	if o.Sample == 0 {
		o.Sample = 50 * time.Millisecond
	}
	if o.Short {
		o.Rounds, o.Sample = 1, time.Millisecond
	}
	if o.Peers == "" {
		o.Peers = ".cache/peers"
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	return o
}

func (b *bencher) one(ctx context.Context, c benchCase) error {
	results, err := c.run(b, ctx)
	if err != nil {
		return err
	}
	for i := range results {
		x := &results[i]
		x.Kernel, x.Date = b.kernel, b.date
		of(x, sm4.Implementation())
		if err := x.Judge(); err != nil {
			return err
		}
		b.Say("  " + line(x))
	}
	if b.Save == nil {
		return nil
	}
	return b.Save(results)
}

// line is a result for who waits.
func line(r *benchfmt.Result) string {
	s := fmt.Sprintf("%-20s %.4g %s", r.ID, r.Ours, r.Unit)
	if r.PeerName != "" {
		s += fmt.Sprintf(", %s %.4g, ratio %.3f", r.PeerName, r.Peer, r.Ratio)
	}
	s += fmt.Sprintf(" (%.4g to %.4g)", r.Spread.Min, r.Spread.Max)
	if r.Target != "" {
		s += fmt.Sprintf(", target %s: %v", r.Target, r.Meets)
	}
	return s
}

// of makes a result one of an implementation. The targets are of the fastest; what others
// give is another result, and is not judged.
func of(r *benchfmt.Result, implementation string) {
	if implementation != "avx512" && r.Unit != allocUnit {
		r.ID += "-" + implementation
		r.What += ", " + implementation
		r.Target = ""
	}
}
