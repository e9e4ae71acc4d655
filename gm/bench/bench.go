package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

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
type NotJudgedError = benchfmt.NotJudgedError

type bencher struct {
	Options
	gcrypt   *driver       // nil before it is needed
	patience time.Duration // with a busy node
}

type benchCase = benchfmt.Case[*bencher]

var cases = slices.Concat(sm4Cases, sm3Cases, sm2Cases, []benchCase{
	{Name: "allocs", Doc: "allocations of sealing, opening and hashing", Run: (*bencher).allocs},
})

// Cases names what is measured and says what each is.
func Cases() [][2]string { return benchfmt.Listed(cases) }

// Bench runs the chosen cases. The process is held on one core meanwhile. A case that
// cannot be judged, or whose peer is not there, is in the error, after the others have
// run; Save is not called for it.
func Bench(ctx context.Context, o Options) error {
	if name, unknown := benchfmt.Unknown(cases, o.Cases); unknown {
		return fmt.Errorf("no case %q: there are %v", name, Cases())
	}
	b := &bencher{Options: o.whole(), patience: patient}
	unpin, err := pin()
	if err != nil {
		return err
	}
	defer unpin()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer func() { b.gcrypt.close() }()
	run := benchfmt.Run[*bencher]{Cases: cases, Names: o.Cases, Say: b.Say, Line: line, Save: b.Save, Each: func(r *benchfmt.Result) { of(r, sm4.Implementation()) }}
	return run.Do(ctx, b)
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
