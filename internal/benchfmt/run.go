package benchfmt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Case is a scenario of a bench that B measures; it gives one or more results.
type Case[B any] struct {
	Name, Doc string
	Run       func(B, context.Context) ([]Result, error)
}

// Chosen says whether the case is one of those, or they name a group that it is in: what
// stands before a dash. No names choose all.
func (c *Case[B]) Chosen(names []string) bool {
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return c.Name == n || strings.HasPrefix(c.Name, n+"-") })
}

// Listed names cases and says what each measures.
func Listed[B any](cases []Case[B]) [][2]string {
	var out [][2]string
	for _, c := range cases {
		out = append(out, [2]string{c.Name, c.Doc})
	}
	return out
}

// Unknown gives the first name that chooses no case.
func Unknown[B any](cases []Case[B], names []string) (name string, ok bool) {
	for _, n := range names {
		if !slices.ContainsFunc(cases, func(c Case[B]) bool { return c.Chosen([]string{n}) }) {
			return n, true
		}
	}
	return "", false
}

// Run is how cases are run.
type Run[B any] struct {
	Cases []Case[B]
	Names []string             // of those that are chosen
	Say   func(string)         // told what goes on
	Each  func(*Result)        // sees each result before it is judged; may be nil
	Line  func(*Result) string // is a result for who waits
	Save  func([]Result) error // is given the results of each case when it is done; may be nil
}

// Do runs the chosen cases by b. A case that fails, or cannot be judged, is in the error,
// after the others have run; Save is not called for it.
func (r *Run[B]) Do(ctx context.Context, b B) error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("ask for the kernel's name: %w", err)
	}
	// The number alone: what a distributor adds names a build.
	kernel, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	date := time.Now().UTC().Format(time.DateOnly)
	var failed []error
	for i := range r.Cases {
		c := &r.Cases[i]
		if !c.Chosen(r.Names) {
			continue
		}
		r.Say(c.Name + ": " + c.Doc)
		if err := r.one(ctx, b, c, kernel, date); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.Say(fmt.Sprintf("%s: %v", c.Name, err))
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (r *Run[B]) one(ctx context.Context, b B, c *Case[B], kernel, date string) error {
	results, err := c.Run(b, ctx)
	if err != nil {
		return err
	}
	for i := range results {
		x := &results[i]
		x.Kernel, x.Date = kernel, date
		if r.Each != nil {
			r.Each(x)
		}
		if err := x.Judge(); err != nil {
			return err
		}
		r.Say("  " + r.Line(x))
	}
	if r.Save == nil {
		return nil
	}
	return r.Save(results)
}

// NotJudgedError says that the node was too busy.
type NotJudgedError struct{ Why string }

func (e *NotJudgedError) Error() string { return "not judged: " + e.Why }

// NotJudged marks errors of benches that refuse to judge.
func (*NotJudgedError) NotJudged() {}
