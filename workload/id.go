package workload

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shortID gives the id that a workload has unless another one has it already.
func (w *Workload) shortID() string { return w.makeID(short(w.ContainerID)) }

func (w *Workload) makeID(containerID string) string {
	switch {
	case w.Kind == KindContainer && w.Runtime == "":
		return printable("container/" + containerID)
	case w.Kind == KindContainer:
		return printable(w.Runtime + "/" + containerID)
	case w.Kind == KindPod:
		return "pod/" + w.PodUID
	}
	return printable(strings.TrimPrefix(w.Path, "/"))
}

// uniqueID gives the first id of w that is not taken: short, then with the
// container's whole id, then the path, then one with the inode, which no other
// live cgroup has.
func (w *Workload) uniqueID(taken func(string) bool) string {
	id := w.shortID()
	for _, next := range []string{
		w.makeID(w.ContainerID),
		printable(strings.TrimPrefix(w.Path, "/")),
		id + "#" + strconv.FormatUint(w.Ino, 10),
	} {
		if !taken(id) {
			return id
		}
		id = next
	}
	return id
}

// printable replaces what a terminal or a JSON reader could choke on. Names of
// cgroups come from whoever may make them.
func printable(s string) string {
	ok := func(r rune) bool { return unicode.IsPrint(r) && r != ' ' }
	if utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, "%%%02X", s[i])
		case !ok(r):
			for _, c := range []byte(string(r)) {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
