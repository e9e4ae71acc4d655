// Matrix runs tests in virtual machines, one for each kernel and cgroup version,
// some at a time:
//
//	matrix [-brief] [-on "6.1 v1,6.12 v2"] [-at-once 2] [GO TEST'S FLAGS AND PACKAGES…]
//
// Its own flags come first. Without packages each machine has its list of them.
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
	"io"
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
	containerd     string        // its release, if there is one
	runs           [][]string    // flags and packages of each go test
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
	runtimes string   // of containers
	args     []string // flags of go test, and packages if any
	show     *screen
}

func main() { os.Exit(run()) }

func run() int {
	dir := flag.String("dir", ".cache/vm", "what scripts/vm.sh setup made")
	bin := flag.String("bin", "bin/vm", "the built test/vm/guest and test/vm/exec")
	runtimes := flag.String("containers", ".cache/containers", "what scripts/containers.sh guest made")
	short := flag.Bool("brief", false, "one machine and some minutes")
	on := flag.String("on", "", "the machines, as \"6.1 v1,6.12 v2\"; all when empty")
	atOnce := flag.Int("at-once", 2, "how many machines run at a time")
	quiet := flag.Duration("quiet", 5*time.Minute, "a test without output for so long hangs")
	own, rest := split(os.Args[1:], func(name string) bool { return flag.Lookup(name) != nil })
	_ = flag.CommandLine.Parse(own) // it exits
	machines, err := choose(*on, slices.ContainsFunc(rest, isPackage))
	if err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		return usage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *short {
		machines = brief()
	}
	if err := os.Setenv(vm.AccelEnv, vm.Accelerator(ctx, "qemu-system-x86_64")); err != nil {
		fmt.Fprintln(os.Stderr, "matrix:", err)
		return failed
	}
	s := &settings{dir: *dir, bin: *bin, runtimes: *runtimes, args: rest, show: newScreen(os.Stdout)}
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
			if m.err != nil && !errors.Is(m.err, errors.ErrUnsupported) {
				s.show.line("%-7s FAILED after %s", m.name(), term.Duration(m.took))
			}
		})
	}
	wg.Wait()
	s.show.end()
	return summary(os.Stdout, os.Stderr, machines)
}

// split parts the leading flags that are known from the rest, which is for go
// test; "--" ends them too.
func split(args []string, known func(string) bool) (own, rest []string) {
	for len(args) > 0 {
		name, _, value := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
		switch {
		case args[0] == "--":
			return own, args[1:]
		case !strings.HasPrefix(args[0], "-") || !known(name):
			return own, args
		case value || len(args) == 1:
			own, args = append(own, args[0]), args[1:]
		default:
			own, args = append(own, args[:2]...), args[2:]
		}
	}
	return own, nil
}

// isPackage says whether an argument of go test is a package and no flag's value.
func isPackage(arg string) bool {
	return arg == "." || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, module)
}

// choose gives the machines that were asked for, without lists of packages if
// others are given.
func choose(on string, given bool) ([]*machine, error) {
	var out []*machine
	var names []string
	for _, m := range all() {
		names = append(names, m.name())
		if on != "" && !slices.Contains(strings.Split(on, ","), m.name()) {
			continue
		}
		if given {
			m.runs = [][]string{nil}
		}
		out = append(out, m)
	}
	if on != "" && len(out) != len(strings.Split(on, ",")) {
		return nil, fmt.Errorf("-on %q: want some of %q with commas", on, names)
	}
	return out, nil
}

// summary prints how each machine did, and gives the exit code.
func summary(stdout, stderr io.Writer, machines []*machine) int {
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
	if err := t.Write(stdout); err != nil {
		return failed
	}
	said := map[string]bool{} // what all lack is said once
	for _, m := range machines {
		if m.err != nil && !said[m.err.Error()] {
			said[m.err.Error()] = true
			fmt.Fprintf(stderr, "%s: %v\n", m.name(), m.err)
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
