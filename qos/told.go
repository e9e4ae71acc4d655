package qos

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/workload"
)

// refused notes what of a group's labels was not followed, and counts what was
// not known to be so before.
func (e *Engine) refused(g *group, now []dialect.Refusal) {
	for _, r := range now {
		if !slices.Contains(g.refused, r) {
			e.totals.Refused[r.Reason]++
		}
	}
	g.refused = now
	e.disagreement(g)
}

// disagreement shows that sources say different things of a group.
func (e *Engine) disagreement(g *group) {
	key := "sources of " + g.w.ID
	if g.w.Told == nil || len(g.w.Told.Conflicts) == 0 {
		if len(e.degraded) > 0 {
			delete(e.degraded, key)
		}
		return
	}
	e.degrade(key, &ConflictError{g.w.Told.Conflicts})
}

// ConflictError says that sources disagree about a workload.
type ConflictError struct{ Conflicts []workload.Conflict }

func (e *ConflictError) Error() string {
	text := make([]string, 0, 3)
	for _, c := range e.Conflicts[:min(len(e.Conflicts), 3)] {
		text = append(text, c.String())
	}
	more := ""
	if n := len(e.Conflicts) - len(text); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(text, "; ") + more + ": the more trusted is believed"
}

// pod names a workload's pod, "" without.
func podOf(w *workload.Workload) string {
	if w.PodName == "" {
		return w.PodUID
	}
	return w.Namespace + "/" + w.PodName
}

// sources lists who told of a workload.
func sources(w *workload.Workload) []string {
	if w.Told == nil {
		return []string{string(w.Source)}
	}
	var out []string
	for _, o := range w.Told.Sources() {
		out = append(out, string(o))
	}
	return out
}

// toldBy names the source of each label, and of what was refused.
func toldBy(w *workload.Workload, refused []dialect.Refusal) map[string]string {
	if len(w.Labels)+len(refused) == 0 {
		return nil
	}
	out := make(map[string]string, len(w.Labels)+len(refused))
	from := func(key string) string {
		if w.Told == nil {
			return string(w.Source)
		}
		return string(cmp.Or(w.Told.LabelFrom(key), w.Told.AnnotationFrom(key), w.Source))
	}
	for k := range w.Labels {
		out[k] = from(k)
	}
	for _, r := range refused {
		out[r.Key] = from(r.Key)
	}
	return out
}
