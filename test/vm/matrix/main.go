// Matrix runs tests in virtual machines, one for each kernel and cgroup version,
// some at a time:
//
//	matrix [-on "6.1 v1,6.12 v2"] [-at-once 2] [PACKAGE…] [-- GO TEST'S FLAGS]
//
// MACHINE in a flag stands for the machine, as in -coverprofile=MACHINE.out. It
// streams what fails, tells on a terminal what runs, and ends with one line
// for each machine. Skips are held to test/expected-skips. The exit code is 1 if
// anything failed, 2 for wrong usage, 6 if this node cannot run the machines.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/test/vm"
)

// Exit codes, as those of anole.
const (
	failed      = 1
	usage       = 2
	unsupported = 6
)

// machine is one kind of virtual machine, and where it stands.
type machine struct {
	Kernel, Cgroup string
	packages       []string
	limit          time.Duration // without output

	err     error
	passed  int
	failed  int
	skipped int
	took    time.Duration
}

func (m *machine) name() string { return m.Kernel + " " + m.Cgroup }

// settings of a run.
type settings struct {
	dir, bin string
	flags    []string // of go test
	show     *screen
}

func main() { os.Exit(run()) }

func run() int {
	dir := flag.String("dir", ".cache/vm", "what scripts/vm.sh setup made")
	bin := flag.String("bin", "bin/vm", "the built test/vm/guest and test/vm/exec")
	on := flag.String("on", "", "the machines, as \"6.1 v1,6.12 v2\"; all when empty")
	atOnce := flag.Int("at-once", 2, "how many machines run at a time")
	quiet := flag.Duration("quiet", 5*time.Minute, "a test without output for so long hangs")
	flag.Parse()
	packages, flags := split(flag.Args())
	machines, err := choose(*on, packages)
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		return usage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := os.Setenv(vm.AccelEnv, vm.Accelerator(ctx, "qemu-system-x86_64")); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		return failed
	}
	s := &settings{dir: *dir, bin: *bin, flags: flags, show: newScreen(os.Stdout)}
	slots := make(chan struct{}, max(*atOnce, 1))
	var wg sync.WaitGroup
	for _, m := range machines {
		m.limit = *quiet
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			m.err = m.test(ctx, s)
			m.took = time.Since(began)
		})
	}
	wg.Wait()
	s.show.end()
	return summary(machines)
}

// split parts the packages from the flags behind "--".
func split(args []string) (packages, flags []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// choose gives the machines that were asked for; packages, if any, replace what
// each would run.
func choose(on string, packages []string) ([]*machine, error) {
	var out []*machine
	var names []string
	for _, m := range all() {
		names = append(names, m.name())
		if on != "" && !slices.Contains(strings.Split(on, ","), m.name()) {
			continue
		}
		if len(packages) > 0 {
			m.packages = packages
		}
		out = append(out, m)
	}
	if on != "" && len(out) != len(strings.Split(on, ",")) {
		return nil, fmt.Errorf("-on %q: want some of %q with commas", on, names)
	}
	return out, nil
}

func summary(machines []*machine) int {
	var broke, cannot bool
	t := term.NewTable("MACHINE", "RESULT", "PASSED", "FAILED", "SKIPPED", "TIME")
	for _, m := range machines {
		result := term.Cell{Text: "ok", Style: term.Green}
		switch {
		case errors.Is(m.err, errors.ErrUnsupported):
			cannot, result = true, term.Cell{Text: "cannot run", Style: term.Yellow}
		case m.err != nil:
			broke, result = true, term.Cell{Text: "FAILED", Style: term.Red}
		}
		t.Row(m.name(), result, strconv.Itoa(m.passed), strconv.Itoa(m.failed), strconv.Itoa(m.skipped), term.Duration(m.took))
	}
	if err := t.Write(os.Stdout); err != nil {
		return failed
	}
	for _, m := range machines {
		if m.err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", m.name(), m.err)
		}
	}
	switch {
	case broke:
		return failed
	case cannot:
		return unsupported
	}
	return 0
}
