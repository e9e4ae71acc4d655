package run

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// MinMemory is the least memory limit that Run takes, in bytes: with less,
// most programs are killed before their main function.
const MinMemory = 4 << 20

// DefaultGrace is how long a command may take to end after its context is done.
const DefaultGrace = 10 * time.Second

// Options of a run. Class, Argv and RunDir are needed, and Stage on cgroup v1.
type Options struct {
	Class  class.Class   // LS (or LSE, LSR) or BE
	Name   string        // [A-Za-z0-9._-]{1,64}; base name of the command and random digits when ""
	CPUs   float64       // long-run limit in CPUs, 0 is none
	Memory int64         // limit in bytes, swap included, 0 is none
	Burst  qos.BurstMode // what to bank of an unused CPU limit; unset is auto for LS, off for BE
	Argv   []string      // the command; Argv[0] is looked for in PATH as a shell does
	// Labels are what an agent's rules find the workload by; keys and values as
	// Kubernetes has them, MaxLabels at most.
	Labels map[string]string

	Env                   []string // os.Environ when nil
	Dir                   string   // working directory, the runner's own when ""
	Stdin, Stdout, Stderr *os.File // the runner's own when nil

	RunDir string // where records are kept, in RunDir/run; /run/anole on a node
	Root   string // prefix of /proc and /sys, for tests
	// AgentRunning says whether an agent takes care of priorities and burst;
	// nil is no. It is asked once.
	AgentRunning func() bool
	// Guard is the argv prefix of a process that calls GuardMain with the rest
	// of its arguments. Without it, a kill of the runner leaves the workload
	// running until the next Sweep.
	Guard []string
	// Stage is the argv prefix of a process that calls Stage likewise.
	Stage []string
	// Signals are passed on to the command. When nil, Run catches the process's
	// own signals while it runs.
	Signals <-chan os.Signal
	// Grace is the time from SIGTERM to SIGKILL after the context is done;
	// DefaultGrace when 0.
	Grace time.Duration
	// OnStart is called when the command is running, before Run waits for it.
	OnStart func(Started)
}

// Started says what was set up for a command.
type Started struct {
	PID    int
	Name   string
	Cgroup string      // path in every hierarchy, "/anole-be/web"
	Plan   *burst.Plan // the CPU limit in force, nil without one
	Notes  []string    // choices made and what could not be had, for people
}

// Result is how a command ended.
type Result struct {
	// ExitCode is the command's; 128+n when signal n killed it, 127 when it was
	// not found, 126 when it could not be executed, -1 when it did not start
	// for any other reason.
	ExitCode int
	Signal   syscall.Signal // that killed it, or 0
	Usage    Usage
	Cgroup   string // path in every hierarchy; gone when Run returns without error
}

// Usage is what the whole workload used, descendants included. What the node
// does not count is 0.
type Usage struct {
	CPU       time.Duration
	Throttled time.Duration // waiting for quota, summed over CPUs
	MaxMemory int64         // bytes, page cache included
	OOMKills  uint64        // processes killed at the memory limit
}

// FlagError is a value that Run cannot take, named as on the command line.
type FlagError struct {
	Flag   string // "--cpus"
	Value  string
	Reason string
}

func (e *FlagError) Error() string { return fmt.Sprintf("%s %q: %s", e.Flag, e.Value, e.Reason) }

func flagError(flag string, value any, reason string) error {
	return &FlagError{Flag: flag, Value: fmt.Sprint(value), Reason: reason}
}

// ErrNameTaken is wrapped by the error for a name that a live workload has.
var ErrNameTaken = errors.New("the name is taken")

// ExecError says why the command was not executed. Run gives it together with
// Result.ExitCode 127 (not found) or 126.
type ExecError struct {
	Path string
	Err  error
}

func (e *ExecError) Error() string {
	if errors.Is(e.Err, syscall.ENOENT) {
		return fmt.Sprintf("run %s: command not found: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("run %s: %v", e.Path, e.Err)
}

// Unwrap gives the kernel's error.
func (e *ExecError) Unwrap() error { return e.Err }

// code is the exit code that shells and env(1) give.
func (e *ExecError) code() int {
	if errors.Is(e.Err, syscall.ENOENT) {
		return 127
	}
	return 126
}

// Check reports the first unusable option, as a *FlagError where it has a flag.
// Run calls it.
func (o *Options) Check() error {
	switch {
	case !o.Class.Sensitive() && o.Class != class.BE:
		return flagError("--class", o.Class, "want ls or be")
	case o.Name != "" && !validName(o.Name):
		return flagError("--name", o.Name, "want 1 to 64 of A-Z a-z 0-9 . _ -, not starting with . or -")
	case len(o.Argv) == 0 || o.Argv[0] == "":
		return errors.New("no command given: anole qos run --class ls|be -- cmd…")
	case o.RunDir == "":
		return errors.New("check options: RunDir is needed")
	}
	for _, a := range o.Argv {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("command %q: has a NUL byte", a)
		}
	}
	if err := checkLabels(o.Labels); err != nil {
		return err
	}
	if err := checkCPUs(o.CPUs); err != nil {
		return err
	}
	if o.CPUs == 0 && (o.Burst.Budget != 0 || o.Burst.Percent != 0) {
		return flagError("--burst", o.Burst, "there is nothing to bank without --cpus")
	}
	if o.Burst.Budget < 0 || o.Burst.Budget > burst.MaxBudget {
		return flagError("--burst", o.Burst, fmt.Sprintf("want a time above 0 and at most %v", burst.MaxBudget))
	}
	if o.Memory != 0 && o.Memory < MinMemory {
		return flagError("--memory", o.Memory, fmt.Sprintf("want at least %d bytes (4MiB), or 0 for no limit", MinMemory))
	}
	return nil
}

func checkCPUs(r float64) error {
	switch {
	case math.IsNaN(r) || math.IsInf(r, 0):
		return flagError("--cpus", r, "want a number of CPUs")
	case r < 0:
		return flagError("--cpus", r, "must not be negative")
	case r > burst.MaxLimit:
		return flagError("--cpus", r, fmt.Sprintf("want at most %d CPUs", burst.MaxLimit))
	}
	return nil
}

func (o *Options) defaults() {
	own := func(f **os.File, std *os.File) {
		if *f == nil {
			*f = std
		}
	}
	own(&o.Stdin, os.Stdin)
	own(&o.Stdout, os.Stdout)
	own(&o.Stderr, os.Stderr)
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.AgentRunning == nil {
		o.AgentRunning = func() bool { return false }
	}
	if o.Burst.IsZero() && o.Burst.Off() {
		o.Burst = qos.BurstOff
		if o.Class.Sensitive() {
			o.Burst = qos.BurstAuto
		}
	}
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
}

// validName says whether s can be a cgroup's and a record's name. A leading dot
// is kept for temporary files, a leading dash would be taken for a flag.
func validName(s string) bool {
	if s == "" || len(s) > 64 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !nameByte(s[i]) {
			return false
		}
	}
	return true
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// makeName derives a name from the command.
func makeName(command string) string {
	base := strings.Map(func(r rune) rune {
		if r < 128 && nameByte(byte(r)) {
			return r
		}
		return '_'
	}, filepath.Base(command))
	base = strings.TrimLeft(base, ".-")
	base = base[:min(len(base), 40)]
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	return cmp.Or(base, "run") + "-" + hex.EncodeToString(b[:])
}

// done is ctx.Done for a context that may be nil.
func done(ctx context.Context) <-chan struct{} {
	if ctx == nil {
		return nil
	}
	return ctx.Done()
}
