package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	xterm "golang.org/x/term"

	"github.com/anole-os/anole/internal/term"
)

// event is one line of `go test -json`.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64 // s
}

// report turns the events of one machine into lines, and counts.
type report struct {
	machine *machine
	show    *screen
	verbose bool                        // all output at once
	output  map[string]*strings.Builder // of what has not ended yet
	tests   int                         // of this package that ended
}

const module = "github.com/anole-os/anole/"

func (r *report) take(e *event) {
	key := e.Package + " " + e.Test
	folder := strings.TrimPrefix(e.Package, module)
	switch e.Action {
	case "run":
		r.show.status(r.machine.name(), fmt.Sprintf("%s %s (%d done)", folder, e.Test, r.tests))
	case "output":
		if r.verbose {
			r.print(e.Output)
			return
		}
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
	case "build-output":
		r.print(e.Output)
	case "pass", "fail", "skip":
		r.ended(e, key, folder)
	}
}

// ended prints what a test that failed, or a package, said.
func (r *report) ended(e *event, key, folder string) {
	if e.Test != "" {
		r.count(e)
		if e.Action == "fail" {
			r.flush(key)
		}
		delete(r.output, key)
		return
	}
	if e.Action == "fail" { // what ran when it ended, too
		for _, k := range slices.Sorted(maps.Keys(r.output)) {
			r.flush(k)
		}
	}
	clear(r.output)
	r.show.status(r.machine.name(), "")
	word := map[string]string{"pass": "ok", "fail": "FAIL", "skip": "none"}[e.Action]
	took := time.Duration(e.Elapsed * float64(time.Second))
	r.show.line("%-7s %-5s %-24s %4d tests  %s", r.machine.name(), word, folder, r.tests, term.Duration(took))
	r.tests = 0
}

// count counts tests, not the cases in them.
func (r *report) count(e *event) {
	if strings.Contains(e.Test, "/") {
		return
	}
	r.tests++
	switch e.Action {
	case "pass":
		r.machine.passed++
	case "fail":
		r.machine.failed++
	case "skip":
		r.machine.skipped++
	}
}

func (r *report) flush(key string) {
	if b := r.output[key]; b != nil {
		r.print(b.String())
	}
}

func (r *report) print(text string) {
	for line := range strings.Lines(text) {
		r.show.line("%-7s %s", r.machine.name(), strings.TrimRight(line, "\n"))
	}
}

// screen is where all machines print: lines, and on a terminal below them one
// that says what runs.
type screen struct {
	mu  sync.Mutex
	w   io.Writer
	tty *os.File          // nil where w is none
	now map[string]string // of each machine
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, now: map[string]string{}}
	if term.IsTerminal(w) {
		s.tty, _ = w.(*os.File)
	}
	return s
}

func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintf(s.w, format+"\n", args...)
	s.draw()
}

// status says what a machine does now; "" is nothing.
func (s *screen) status(machine, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now[machine] = text; text == "" {
		delete(s.now, machine)
	}
	s.erase()
	s.draw()
}

func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.tty = nil
}

const clearLine = "\r\x1b[2K" // ECMA-48: erase in line

func (s *screen) erase() {
	if s.tty != nil {
		fmt.Fprint(s.w, clearLine)
	}
}

func (s *screen) draw() {
	if s.tty == nil {
		return
	}
	var parts []string
	for _, m := range slices.Sorted(maps.Keys(s.now)) {
		parts = append(parts, m+": "+s.now[m])
	}
	line := []rune(strings.Join(parts, " | "))
	if width, _, err := xterm.GetSize(int(s.tty.Fd())); err == nil && len(line) >= width {
		line = line[:max(width-1, 0)]
	}
	fmt.Fprint(s.w, string(line))
}
