package module

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/anole-os/anole/gm/kern/ima/enforce"
)

// enforcer keeps a process that lets programs run only with a good label. It is one of its
// own, as who enforces must not start programs that it is asked about: the agent does.
// The process ends with the agent, as its standard input ends then.
type enforcer struct {
	cfg    Config
	argv   []string
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	s       enforcerState
	before  enforce.Stats // of processes that ended
	current enforce.Stats
	told    time.Time // when a denial was logged last
	untold  int64     // denials since
}

// enforcerState is what is known of it.
type enforcerState struct {
	Mode     string           `json:"mode"`
	Scope    string           `json:"scope"`
	Paths    []string         `json:"paths"`
	Running  bool             `json:"running"`
	PID      int              `json:"pid,omitempty"`
	Restarts int              `json:"restarts"`
	Problem  string           `json:"problem,omitempty"` // why it does not run
	Stats    enforce.Stats    `json:"stats"`
	Last     []enforcerDenial `json:"last_denials,omitempty"` // the newest last
}

// enforcerDenial is one, and when it was.
type enforcerDenial struct {
	Time time.Time `json:"time"`
	enforce.Denial
}

// Bounds of times and of what is kept.
const (
	enforcerReady  = 3 * time.Second // to have begun
	enforcerEnd    = 2 * time.Second // to end before it is killed
	enforcerRetry  = time.Second     // before it is started again, then twice as long …
	enforcerLonger = 30 * time.Second
	mostDenials    = 32 // that are kept
	denialsEvery   = time.Minute
)

// startEnforcer starts a process, and waits until it enforces or has said why not; in the
// latter case it is tried again, now and then.
func startEnforcer(ctx context.Context, c Config, argv []string, log *slog.Logger) *enforcer {
	run, cancel := context.WithCancel(context.Background())
	e := &enforcer{
		cfg: c, argv: argv, log: log, cancel: cancel, done: make(chan struct{}),
		s: enforcerState{Mode: c.IMA.Enforce.Mode, Scope: c.IMA.Enforce.Scope, Paths: c.IMA.Enforce.Paths, Problem: "it is being started"},
	}
	first := make(chan struct{})
	go e.keep(run, sync.OnceFunc(func() { close(first) }))
	select {
	case <-first:
	case <-ctx.Done():
	case <-time.After(enforcerReady):
	}
	return e
}

// stop ends the process. A nil enforcer is one that does not run.
func (e *enforcer) stop(ctx context.Context) error {
	if e == nil {
		return nil
	}
	e.cancel()
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("end the process that enforces labels: %w", ctx.Err())
	}
}

// state tells how it is; the zero value of a nil enforcer.
func (e *enforcer) state() (s enforcerState) {
	if e == nil {
		return s
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s = e.s
	s.Stats, s.Last = plus(e.before, e.current), slices.Clone(e.s.Last)
	return s
}

// plus adds counts up; what is cached is of the process that runs.
func plus(a, b enforce.Stats) enforce.Stats {
	b.Events += a.Events
	b.Own += a.Own
	b.CacheHits += a.CacheHits
	b.Verified += a.Verified
	b.Rejected += a.Rejected
	b.Denied += a.Denied
	b.Told += a.Told
	b.Excepted += a.Excepted
	b.Timeouts += a.Timeouts
	b.Uncached += a.Uncached
	b.Errors += a.Errors
	return b
}

// keep has one process after the other, until ctx is done. first is called when it is known
// whether the first enforces.
func (e *enforcer) keep(ctx context.Context, first func()) {
	defer close(e.done)
	defer first()
	wait := enforcerRetry
	for {
		began := time.Now()
		err := e.once(ctx, first)
		if ctx.Err() != nil {
			return
		}
		text := err.Error()
		e.mu.Lock()
		if e.s.Problem != text {
			e.log.Error("labels are not enforced", "err", text)
		}
		e.s.Problem = text
		e.s.Restarts++
		e.before, e.current = plus(e.before, e.current), enforce.Stats{}
		e.mu.Unlock()
		first()
		if time.Since(began) > enforcerLonger {
			wait = enforcerRetry
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, enforcerLonger)
	}
}

// once runs a process to its end. The error is nil where ctx ended it.
func (e *enforcer) once(ctx context.Context, ready func()) error {
	argv := e.argv
	if argv == nil {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find own program: %w", err)
		}
		argv = []string{self, "gm", enforcerVerb}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // this program's own path
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the enforcing process: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start the enforcing process: %w", err)
	}
	var messages bytes.Buffer
	cmd.Stderr = &limited{b: &messages, left: 4096}
	cmd.Cancel, cmd.WaitDelay = in.Close, enforcerEnd
	// Ctrl-C is for the agent, which then ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the enforcing process: %w", err)
	}
	go func() { _ = json.NewEncoder(in).Encode(e.cfg) }() // an error shows in what it answers
	said := e.listen(bufio.NewScanner(out), cmd.Process.Pid, ready)
	err = cmd.Wait()
	e.mu.Lock()
	e.s.Running, e.s.PID = false, 0
	e.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return nil
	case said != "":
		return errors.New(said)
	case err == nil:
		return errors.New("its process ended")
	case messages.Len() > 0:
		return fmt.Errorf("its process ended: %w: %q", err, messages.String())
	}
	return fmt.Errorf("its process ended: %w", err)
}

// limited takes so many bytes and drops the others.
type limited struct {
	b    *bytes.Buffer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.b.Write(b[:n])
	l.left -= n
	return len(b), nil
}

// listen takes what the process says until it ends, and gives why it does not enforce, if it
// said so.
func (e *enforcer) listen(in *bufio.Scanner, pid int, ready func()) (problem string) {
	for in.Scan() {
		var l enforcerLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			problem = "its process says what is not understood"
			continue
		}
		e.mu.Lock()
		switch {
		case l.Problem != "":
			problem = l.Problem
		case l.Ready:
			e.s.Running, e.s.PID, e.s.Problem = true, pid, ""
		case l.Denial != nil:
			e.denied(l.Denial)
		case l.Stats != nil:
			e.current = *l.Stats
		}
		e.mu.Unlock()
		if l.Ready {
			ready()
		}
	}
	return problem
}

// denied keeps a denial, and logs one a minute. The lock is held.
func (e *enforcer) denied(d *enforce.Denial) {
	if len(e.s.Last) >= mostDenials {
		e.s.Last = slices.Delete(e.s.Last, 0, 1)
	}
	e.s.Last = append(e.s.Last, enforcerDenial{time.Now().UTC(), *d})
	e.untold += 1 + d.Suppressed
	if time.Since(e.told) < denialsEvery {
		return
	}
	e.log.Warn("no good label", "path", d.Path, "reason", string(d.Reason), "denied", d.Denied, "pid", d.PID, "since_last", e.untold)
	e.told, e.untold = time.Now(), 0
}
