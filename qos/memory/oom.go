package memory

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
)

// Journal operations of oom_score_adj. Of each process that is changed the old
// value is recorded; children that inherited what it was given are found by
// their cgroup.
const (
	opScore  journal.Op = "oom_score_adj"        // of one process: Path is "/proc/PID", a space, its start time
	opScores journal.Op = "oom_score_adj_family" // of those born since in the cgroup Path
)

func init() {
	cgroup.Handle(opScore, undoScore)
	cgroup.Handle(opScores, undoScores)
}

// score is the Old of opScore.
type score struct {
	Given int `json:"given"`
	Had   int `json:"had"`
}

// scores is the Old of opScores.
type scores struct {
	score
	// Except lists processes ("pid/starttime") that had Given on their own.
	Except []string `json:"except,omitempty"`
}

// Adj reads a process's oom_score_adj.
func Adj(pid int) (int, error) {
	b, err := os.ReadFile(adjPath(pid))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func adjPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/oom_score_adj" }

// setAdj writes a process's oom_score_adj. To go below what a process with
// CAP_SYS_RESOURCE last wrote takes that capability (EACCES).
func setAdj(pid, adj int) error {
	return os.WriteFile(adjPath(pid), strconv.AppendInt(nil, int64(adj), 10), 0)
}

// vanished says that the process ended.
func vanished(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// Change is one process whose oom_score_adj is to change.
type Change struct {
	PID, From, To int
	key           string // with its start time
}

// Changes finds, among the processes of a group, those whose oom_score_adj pick
// says to change.
func Changes(pids []int, pick func(now int) (to int, ok bool)) (out []Change) {
	for _, pid := range pids {
		now, err := Adj(pid)
		if err != nil {
			continue
		}
		to, ok := pick(now)
		if !ok || to == now {
			continue
		}
		if key := cgroup.ThreadKey(pid); key != "" {
			out = append(out, Change{PID: pid, From: now, To: to, key: key})
		}
	}
	return out
}

// Apply makes changes in the group d, the old values on disk before the first
// write. pids are all its processes. n is how many it made; a process that
// ended meanwhile is no error.
func Apply(w *cgroup.Writer, d *cgroup.Dir, pids []int, changes []Change) (n int, err error) {
	if len(changes) == 0 {
		return 0, nil
	}
	entries := []journal.Entry{family(d, pids, changes)}
	for _, c := range changes {
		pid, start, _ := strings.Cut(c.key, "/")
		old, err := json.Marshal(score{Given: c.To, Had: c.From})
		if err != nil {
			return 0, err
		}
		entries = append(entries, journal.Entry{Op: opScore, Path: "/proc/" + pid + " " + start, Old: old})
	}
	if err := w.Record(entries...); err != nil {
		return 0, err
	}
	for _, c := range changes {
		switch err := setAdj(c.PID, c.To); {
		case vanished(err):
		case err != nil:
			return n, fmt.Errorf("set oom_score_adj of process %d: %w", c.PID, err)
		default:
			n++
		}
	}
	return n, nil
}

// family is the entry for the children to come: they get what most of the
// changed had.
func family(d *cgroup.Dir, pids []int, changes []Change) journal.Entry {
	s := scores{score: score{Given: changes[0].To, Had: usual(changes)}}
	for _, pid := range pids {
		if now, err := Adj(pid); err == nil && now == s.Given {
			s.Except = append(s.Except, cgroup.ThreadKey(pid))
		}
	}
	old, _ := json.Marshal(s) // it cannot fail
	return journal.Entry{Op: opScores, Path: d.Path(), Ino: d.Ino(), Old: old}
}

func usual(changes []Change) (from int) {
	count, most := map[int]int{}, 0
	for _, c := range changes {
		if count[c.From]++; count[c.From] > most {
			most, from = count[c.From], c.From
		}
	}
	return from
}

// undoScore puts one process back, unless somebody else has written since.
func undoScore(e *journal.Entry) error {
	var s score
	if err := json.Unmarshal(e.Old, &s); err != nil {
		return fmt.Errorf("decode entry: %w", err)
	}
	name, start, _ := strings.Cut(e.Path, " ")
	pid, err := strconv.Atoi(filepath.Base(name))
	if err != nil {
		return fmt.Errorf("decode entry: path %q: %w", e.Path, err)
	}
	if cgroup.ThreadKey(pid) != strconv.Itoa(pid)+"/"+start {
		return journal.ErrGone
	}
	return s.undo(pid)
}

func (s *score) undo(pid int) error {
	now, err := Adj(pid)
	if err == nil && now == s.Given && s.Given != s.Had {
		err = setAdj(pid, s.Had)
	}
	if vanished(err) {
		return nil
	}
	return err
}

// undoScores goes over the children that inherited. A process that was not
// reached yet can have another one, so it looks again until there is none.
func undoScores(e *journal.Entry) error {
	var s scores
	if err := json.Unmarshal(e.Old, &s); err != nil {
		return fmt.Errorf("decode entry: %w", err)
	}
	d, err := cgroup.OpenDir(e.Path)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.Ino() != e.Ino {
		return journal.ErrGone
	}
	for range 50 {
		left, err := s.sweep(d)
		if err != nil || left == 0 {
			return err
		}
	}
	return fmt.Errorf("processes with oom_score_adj %d keep starting in %s", s.Given, e.Path)
}

func (s *scores) sweep(d *cgroup.Dir) (n int, err error) {
	pids, err := d.AllProcs()
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		if now, err := Adj(pid); err != nil || now != s.Given || slices.Contains(s.Except, cgroup.ThreadKey(pid)) {
			continue
		}
		if err := s.undo(pid); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Forget drops the journal's entries of processes that ended: alive says which
// have not.
func Forget(w *cgroup.Writer) error {
	return w.ForgetWhere(func(e *journal.Entry) bool {
		if e.Op != opScore {
			return false
		}
		name, start, _ := strings.Cut(e.Path, " ")
		pid, err := strconv.Atoi(filepath.Base(name))
		return err == nil && cgroup.ThreadKey(pid) != strconv.Itoa(pid)+"/"+start
	})
}

// Restore gives the processes that are, or were, in the group back what they
// had: all of the group's entries and those of its processes.
func Restore(w *cgroup.Writer, d *cgroup.Dir) []error {
	pids, _ := d.AllProcs()
	ours := map[string]bool{}
	for _, pid := range pids {
		if _, start, ok := strings.Cut(cgroup.ThreadKey(pid), "/"); ok {
			ours["/proc/"+strconv.Itoa(pid)+" "+start] = true
		}
	}
	return w.Restore(func(e *journal.Entry) bool {
		return e.Op == opScore && ours[e.Path] || e.Op == opScores && e.Ino == d.Ino() && e.Path == d.Path()
	})
}
