package journal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Undo puts one entry back. It returns nil when the node now holds the old
// value, and ErrGone when what the entry speaks of is no longer there.
type Undo func(*Entry) error

// ErrGone says that there is nothing left to undo: the cgroup, process or file
// went away, or another one took its name.
var ErrGone = errors.New("gone")

// together puts entries back that depend on one another.
var together []func(*Journal, []Entry)

// Together makes Restore call f, before it undoes entries one by one, with all
// that it is to undo: f puts back in one go those that depend on one another,
// which then have their old value already. It is called from init.
func Together(f func(j *Journal, entries []Entry)) { together = append(together, f) }

// Report counts what Restore did.
type Report struct {
	Restored int     `json:"restored"`
	Gone     int     `json:"gone"`
	Failed   []error `json:"-"`
}

// Restore undoes all live entries, newest first, after those that Together
// knows. The kernel refuses some orders (cpu.shares while cpu.idle is 1), so
// what is refused is tried again after the rest for as long as a pass undoes
// anything. What could not be undone stays in the journal and is in the
// report; every other entry is forgotten. Until it returns, nobody may write
// what is being restored: a Record of it would be taken for known.
func (j *Journal) Restore(ctx context.Context, undo Undo) Report {
	return j.restore(ctx, undo, func(*Entry) bool { return true })
}

// RestoreWhere is Restore for the entries that which selects.
func (j *Journal) RestoreWhere(ctx context.Context, undo Undo, which func(*Entry) bool) Report {
	return j.restore(ctx, undo, which)
}

func (j *Journal) restore(ctx context.Context, undo Undo, which func(*Entry) bool) Report {
	todo := slices.DeleteFunc(j.Pending(), func(e Entry) bool { return !which(&e) })
	slices.Reverse(todo)
	for _, f := range together {
		f(j, slices.Clone(todo))
	}
	var rep Report
	done := map[string]bool{}
	for len(todo) > 0 && ctx.Err() == nil {
		rep.Failed = nil
		rest := todo[:0:0]
		for _, e := range todo {
			switch err := undo(&e); {
			case err == nil:
				rep.Restored++
			case errors.Is(err, ErrGone), errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ESRCH):
				rep.Gone++
			default:
				rest = append(rest, e)
				rep.Failed = append(rep.Failed, fmt.Errorf("restore %s: %w", e.describe(), err))
				continue
			}
			done[e.Key()] = true
		}
		if len(rest) == len(todo) {
			break
		}
		todo = rest
	}
	if err := ctx.Err(); err != nil && len(todo) > 0 {
		rep.Failed = append(rep.Failed, fmt.Errorf("restore %d entries: %w", len(todo), err))
	}
	if err := j.Forget(func(e *Entry) bool { return done[e.Key()] }); err != nil {
		rep.Failed = append(rep.Failed, err)
	}
	return rep
}

func (e *Entry) describe() string {
	if e.Op == OpSched {
		return "scheduling policy in " + e.Path
	}
	return e.Path
}
