// Expected-skips holds a test run to the skips that its kind of machine is
// known for. A test that skips everywhere proves nothing, so a skip that the
// list of the machine does not name fails the run.
//
//	expected-skips [-on NAME[,NAME…]] FILE
//
// FILE is what internal/testkit wrote to $ANOLE_SKIPS. The lists are NAME.txt
// beside this file, one for each kind of machine; without -on it is told from
// the node. What a list names and nothing skipped is told too. A line of a list is a package, a test and a reason, the first two
// with "*" for any text; "#" begins a comment.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// folder has the lists, seen from the root of the module.
const folder = "test/expected-skips"

func main() {
	on := flag.String("on", "", "the `kind` of machine")
	flag.Parse()
	if *on == "" {
		*on = kind(os.Geteuid(), "")
	}
	ok, err := run(os.Stdout, folder, *on, flag.Arg(0))
	if err != nil {
		fmt.Fprintf(os.Stderr, "expected-skips: %v\n", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// kind tells the kind of this machine.
func kind(uid int, root string) string {
	tree, err := cgroup.Detect(root)
	if uid != 0 || err != nil {
		return "restricted"
	}
	v, ok := tree.Version("cpu")
	if !ok || unix.Access(tree.Path("cpu", "/"), unix.W_OK) != nil {
		return "restricted"
	}
	return fmt.Sprintf("host-v%d", v)
}

// run shows the skips in file and says whether the lists have all of them.
func run(w io.Writer, dir, on, file string) (ok bool, err error) {
	var lists []string
	var expected []rule
	for name := range strings.SplitSeq(on, ",") {
		list := path.Join(dir, name+".txt")
		text, err := os.ReadFile(list)
		if err != nil {
			return false, fmt.Errorf("read list: %w", err)
		}
		rules, err := parse(list, string(text))
		if err != nil {
			return false, err
		}
		lists, expected = append(lists, list), append(expected, rules...)
	}
	list := strings.Join(lists, " or ")
	recorded, err := os.ReadFile(file)
	if err != nil {
		return false, fmt.Errorf("read skips: %w", err)
	}
	known, strange, unused := sift(expected, string(recorded))
	show(w, known, "skipped, as %s says:", list)
	show(w, strange, "SKIPPED, and %s does not say so: give the machine what is missing, or add a line that says why:", list)
	show(w, unused, "not skipped, though %s expects it:", list)
	return len(strange) == 0, nil
}

func show(w io.Writer, lines []string, format string, args ...any) {
	if len(lines) > 0 {
		fmt.Fprintf(w, format+"\n  %s\n", append(args, strings.Join(lines, "\n  "))...)
	}
}

// rule is one line of a list.
type rule struct{ folder, test, reason string }

func parse(name, text string) ([]rule, error) {
	var out []rule
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) != 3:
			return nil, fmt.Errorf("%s:%d: want a package, a test and a reason", name, i+1)
		case !slices.Contains(feature.Reasons(), feature.Reason(f[2])):
			return nil, fmt.Errorf("%s:%d: %q is no reason, want one of %v", name, i+1, f[2], feature.Reasons())
		default:
			out = append(out, rule{f[0], f[1], f[2]})
		}
	}
	return out, nil
}

// sift splits what was recorded by whether a rule expects it, each test once, and
// gives the rules that nothing needed.
func sift(rules []rule, recorded string) (known, strange, unused []string) {
	used := make([]bool, len(rules))
	lines := slices.Compact(slices.Sorted(strings.Lines(recorded)))
	for _, line := range lines {
		f := strings.SplitN(strings.TrimSpace(line), "\t", 4)
		if len(f) < 4 {
			strange = append(strange, line)
			continue
		}
		said := fmt.Sprintf("%s %s: %s", f[0], f[1], f[3])
		expected := false
		for i, r := range rules {
			if r.reason == f[2] && match(r.folder, f[0]) && match(r.test, f[1]) {
				used[i], expected = true, true
			}
		}
		if expected {
			known = append(known, said)
		} else {
			strange = append(strange, said)
		}
	}
	for i, r := range rules {
		if !used[i] {
			unused = append(unused, fmt.Sprintf("%s %s %s", r.folder, r.test, r.reason))
		}
	}
	return known, strange, unused
}

// match has "*" also for text with slashes.
func match(pattern, s string) bool {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", ":") }
	ok, err := path.Match(flat(pattern), flat(s))
	return ok && err == nil
}
