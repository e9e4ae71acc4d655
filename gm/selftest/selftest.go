package selftest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/gm/sm9"
	"github.com/anole-os/anole/gm/zuc"
)

// ErrState is of a process whose self-test failed. It says no more: Last does.
var ErrState = errors.New("selftest: cryptography is in its error state")

var errGenerator = fmt.Errorf("%w: %w", ErrState, rng.ErrState)

// State is what the self-tests came to.
type State string

// The states.
const (
	Untested State = "untested"
	Passed   State = "passed"
	Failed   State = "failed"
)

// Result is of one check.
type Result struct {
	Name           string        `json:"name"`
	Implementation string        `json:"implementation"`
	Duration       time.Duration `json:"duration_ns"`
	Err            error         `json:"-"`
	Error          string        `json:"error,omitempty"` // the text of Err
}

// Report is of one run, or of a failure that came up later.
type Report struct {
	State    State         `json:"state"`
	Began    time.Time     `json:"began"`
	Duration time.Duration `json:"duration_ns"`
	Results  []Result      `json:"results"`
}

// Failures are the results that are errors.
func (r Report) Failures() (bad []Result) {
	for _, c := range r.Results {
		if c.Err != nil {
			bad = append(bad, c)
		}
	}
	return bad
}

var (
	running sync.Mutex // held by who changes last
	last    atomic.Pointer[Report]
)

// Last is the report on which the state rests: with State Untested if there was no run.
func Last() Report {
	if r := last.Load(); r != nil {
		return *r
	}
	return Report{State: Untested}
}

// OK gives nil, or ErrState; where that is of the random bit generator, the error is
// rng.ErrState as well. The first call runs the tests, all but SM9's, which take longer than the
// others together: package sm9 runs them itself before it is used. That is some milliseconds;
// the other calls take some nanoseconds.
func OK() error {
	r := last.Load()
	if r == nil {
		r = first()
	}
	switch {
	case r.State != Passed:
		return ErrState
	case rng.Reader.Err() != nil:
		return errGenerator
	}
	return nil
}

// first runs the tests unless another goroutine has.
func first() *Report {
	running.Lock()
	defer running.Unlock()
	if r := last.Load(); r != nil {
		return r
	}
	r := run(context.Background(), quick())
	last.Store(&r)
	return &r
}

// Run runs all tests and sets the state by them. Where the context ends before, the
// report is Untested and the state stays.
func Run(ctx context.Context) Report {
	running.Lock()
	defer running.Unlock()
	r := run(ctx, checks())
	if r.State != Untested {
		last.Store(&r)
	}
	return r
}

// Fail enters the error state.
func Fail(what string, err error) {
	running.Lock()
	defer running.Unlock()
	last.Store(&Report{State: Failed, Began: time.Now(), Results: []Result{{Name: what, Implementation: "condition", Err: err, Error: err.Error()}}})
}

func run(ctx context.Context, checks []kat.Check) Report {
	r := Report{State: Passed, Began: time.Now()}
	for _, c := range checks {
		if ctx.Err() != nil {
			r.State = Untested
			break
		}
		began := time.Now()
		err := guarded(c.Run)
		res := Result{Name: c.Name, Implementation: c.Implementation, Duration: time.Since(began), Err: err}
		if err != nil {
			res.Error = err.Error()
			r.State = Failed
		}
		r.Results = append(r.Results, res)
	}
	r.Duration = time.Since(r.Began)
	return r
}

// guarded makes a panic an error.
func guarded(f func() error) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("panic: %v", said)
		}
	}()
	return f()
}

func checks() []kat.Check { return append(quick(), sm9.Checks()...) }

func quick() (all []kat.Check) {
	all = append(all, sm3.Checks()...)
	all = append(all, sm4.Checks()...)
	all = append(all, sm2.Checks()...)
	all = append(all, zuc.Checks()...)
	all = append(all, rng.Checks()...)
	return append(all, kat.Check{Name: generator, Implementation: "SM3", Run: start}, kat.Check{Name: pairwise, Implementation: "new key", Run: newKey})
}

const (
	generator = "DRBG start"
	pairwise  = "SM2 pairwise consistency"
)

// start has the process' generator give something; one in its error state starts anew.
func start() error {
	if rng.Reader.Err() != nil {
		if err := rng.Reader.Restart(); err != nil {
			return err
		}
	}
	var a, b [32]byte
	_, err := rng.Read(a[:])
	if err == nil {
		_, err = rng.Read(b[:])
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, rng.Reader.Err())
	}
	return kat.True(generator, "SM3", a != b)
}

func newKey() error {
	key, err := sm2.GenerateKey(rng.Reader)
	if err != nil {
		return err
	}
	if err := consistent(key); err != nil {
		return err
	}
	return kat.True(pairwise, "new key", true)
}
