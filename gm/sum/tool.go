package sum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// Tool is the program. Its text is that of GNU's programs, byte for byte.
type Tool struct {
	Program  string // as messages begin with
	Out, Err io.Writer
	Stdin    *os.File // nil means os.Stdin
	Style    Style

	Voice Voice
	// Strict has Check fail for lines that are none of a list, IgnoreMissing pass over
	// files that are not there.
	Strict, IgnoreMissing bool

	// Result, if not nil, is told each result in place of a line on Out.
	Result func(*Verdict) error
	// Progress is as in Options.
	Progress func(files int, bytes int64)

	out out
}

// Voice is what Check tells.
type Voice int

// The voices: each file; only those that are not OK; each line that is none of a list as
// well; what cannot be read, and nothing else.
const (
	Plain Voice = iota
	Quiet
	Warn
	Silent
)

// State is what Check found of a file, or that Print hashed it.
type State string

// The states of a file.
const (
	Hashed     State = "hashed"
	Matches    State = "ok"
	Differs    State = "failed"
	Unreadable State = "unreadable"
	Missing    State = "missing" // only with IgnoreMissing
)

// Verdict is what is said of a file.
type Verdict struct {
	*File
	State State
}

// ErrFailed says that what there was to say of a failure was said, on Err.
var ErrFailed = errors.New("not all files were hashed or match")

// Print writes the hashes of the files, or of standard input if there are none. A file that
// cannot be read is told on Err, and the others are done nevertheless; the error is then
// ErrFailed.
func (t *Tool) Print(ctx context.Context, names []string) error {
	if len(names) == 0 {
		names = []string{"-"}
	}
	t.begin()
	bad := false
	var line []byte
	err := Files(ctx, Names(names), t.options(), func(f *File) error {
		if f.Err != nil {
			bad = true
			t.unreadable(f)
			return t.tell(f, Unreadable)
		}
		if t.Result != nil {
			return t.tell(f, Hashed)
		}
		line = t.Style.Append(line[:0], f.Name, f.Sum)
		return t.out.write(line)
	})
	return t.end(err, bad)
}

func (t *Tool) begin() {
	if t.Stdin == nil {
		t.Stdin = os.Stdin
	}
	t.out = out{to: t.Out, at: time.Now()}
}

func (t *Tool) options() Options {
	return Options{Stdin: t.Stdin, Idle: t.out.flush, Progress: func(files int, bytes int64) {
		t.out.tick()
		if t.Progress != nil {
			t.Progress(files, bytes)
		}
	}}
}

// end is the error of a run that had err, or went through.
func (t *Tool) end(err error, bad bool) error {
	err = errors.Join(err, t.out.flush())
	if err == nil && bad {
		err = ErrFailed
	}
	return err
}

func (t *Tool) tell(f *File, s State) error {
	if t.Result == nil {
		return nil
	}
	return t.Result(&Verdict{File: f, State: s})
}

// say writes a message, behind all output before it.
func (t *Tool) say(format string, args ...any) {
	_ = t.out.flush() // it fails again at the end
	fmt.Fprintf(t.Err, t.Program+": "+format+"\n", args...)
}

func (t *Tool) unreadable(f *File) { t.say("%s: %s", quote(f.Name), reason(f.Err)) }

// reason is the kernel's for an error, without the call and the path.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	var n syscall.Errno
	if errors.As(err, &n) {
		return strerror(n)
	}
	return err.Error()
}

// strerror is as the C library has it, whose messages begin with capitals.
func strerror(n syscall.Errno) string {
	s := n.Error()
	return strings.ToUpper(s[:1]) + s[1:]
}

// WriteError is of output that could not be written.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "write output: " + e.Err.Error() }

// Unwrap gives the cause.
func (e *WriteError) Unwrap() error { return e.Err }

const (
	// atOnce is how much goes into a pipe in one piece, PIPE_BUF: lines of several
	// programs that write into one do not mix.
	atOnce = 4096
	// oldest is how long a line waits for others.
	oldest = 50 * time.Millisecond
)

// out gathers lines.
type out struct {
	to    io.Writer
	lines []byte
	at    time.Time // of the last write
	err   error
}

// write adds a whole line.
func (o *out) write(line []byte) error {
	if len(o.lines) > 0 && len(o.lines)+len(line) > atOnce {
		if err := o.flush(); err != nil {
			return err
		}
	}
	o.lines = append(o.lines, line...)
	return o.err
}

func (o *out) tick() {
	if len(o.lines) > 0 && time.Since(o.at) > oldest {
		_ = o.flush() // the next write tells it
	}
}

func (o *out) flush() error {
	if len(o.lines) == 0 || o.err != nil {
		return o.err
	}
	if _, err := o.to.Write(o.lines); err != nil {
		o.err = &WriteError{err}
	}
	o.lines, o.at = o.lines[:0], time.Now()
	return o.err
}
