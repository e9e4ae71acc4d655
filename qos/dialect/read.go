package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// Keys of labels and annotations.
const (
	Class            = "anole.io/qos-class"
	Burst            = "anole.io/cpu-burst"
	KoordinatorClass = "koordinator.sh/qosClass"
	KoordinatorBurst = "koordinator.sh/cpuBurst"
	VolcanoLevel     = "volcano.sh/qos-level"
	VolcanoPreempt   = "volcano.sh/preemptable"
	KatalystLevel    = "katalyst.kubewharf.io/qos_level"
)

// Reason says in one word why something was not followed.
type Reason string

// Reasons.
const (
	Unknown    Reason = "unknown_word" // none of the words of that key
	Malformed  Reason = "malformed"    // no number, no JSON, out of range
	TooLong    Reason = "too_long"
	Contradict Reason = "contradiction" // another one, or a lower class, counts instead
	NotAllowed Reason = "not_allowed"   // a higher class than the policy lets it ask for
	NoEffect   Reason = "no_effect"     // a burst for work that has no bank
)

// Reasons lists every Reason.
func Reasons() []Reason {
	return []Reason{Unknown, Malformed, TooLong, Contradict, NotAllowed, NoEffect}
}

// Refusal is a label or annotation that was not followed.
type Refusal struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // printable, cut to some 64 bytes
	Reason Reason `json:"reason"`
	Text   string `json:"text"` // for people
}

func (r Refusal) String() string { return fmt.Sprintf("%s=%s: %s", r.Key, r.Value, r.Text) }

// Word is one that was understood.
type Word struct {
	Key        string
	Value      string
	Annotation bool // it stands among the annotations
}

// Ask is what a workload's labels and annotations ask for.
type Ask struct {
	Class    class.Class // counts if ClassBy has a Key
	ClassBy  Word
	Burst    burst.Mode // its Set says whether one was asked for
	BurstBy  Word
	Refusals []Refusal // sorted by key
}

// maxWord is the longest value that can be one of the words or numbers; a
// burst in JSON may have maxJSON bytes.
const (
	maxWord = 63 // a label's value in Kubernetes
	maxJSON = 1024
)

// classKeys are read in this order; of several that ask for different classes
// the first is followed if it is anole's own, else the lowest class.
var classKeys = []struct {
	key   string
	parse func(string) (class.Class, bool, Reason, string)
}{
	{Class, ownClass}, {KoordinatorClass, koordinatorClass}, {VolcanoLevel, volcanoLevel}, {VolcanoPreempt, volcanoPreempt}, {KatalystLevel, katalystLevel},
}

// Read reads labels and annotations. Either may be nil.
func Read(labels, annotations map[string]string) Ask {
	r := reader{labels: labels, annotations: annotations}
	if len(labels) == 0 && len(annotations) == 0 {
		return r.ask
	}
	r.classes()
	r.burst()
	slices.SortFunc(r.ask.Refusals, func(a, b Refusal) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value), strings.Compare(string(a.Reason), string(b.Reason)))
	})
	return r.ask
}

type reader struct {
	labels, annotations map[string]string
	ask                 Ask
}

func (r *reader) refuse(w Word, why Reason, format string, args ...any) {
	r.ask.Refusals = append(r.ask.Refusals, Refusal{Key: w.Key, Value: show(w.Value), Reason: why, Text: fmt.Sprintf(format, args...)})
}

// words gives the values of a key: one or none, two if label and annotation
// say different things.
func (r *reader) words(key string, longest int) []Word {
	var out []Word
	if v, ok := r.labels[key]; ok {
		out = append(out, Word{Key: key, Value: v})
	}
	if v, ok := r.annotations[key]; ok && (len(out) == 0 || out[0].Value != v) {
		out = append(out, Word{Key: key, Value: v, Annotation: true})
	}
	return slices.DeleteFunc(out, func(w Word) bool {
		if len(w.Value) > longest {
			r.refuse(w, TooLong, "longer than %d bytes", longest)
			return true
		}
		return false
	})
}

type asked struct {
	Word
	class class.Class
}

func (r *reader) classes() {
	var all []asked
	for _, k := range classKeys {
		for _, w := range r.words(k.key, maxWord) {
			c, says, why, text := k.parse(w.Value)
			switch {
			case why != "":
				r.refuse(w, why, "%s", text)
			case says:
				all = append(all, asked{w, c})
			}
		}
	}
	if len(all) == 0 {
		return
	}
	best := all[0]
	own := best.Key == Class
	for _, a := range all[1:] {
		if (!own || a.Key == Class) && Lower(a.class, best.class) {
			best = a
		}
	}
	for _, a := range all {
		if a.class != best.class {
			r.refuse(a.Word, Contradict, "%s=%s asks for %s, which counts", best.Key, show(best.Value), best.class)
		}
	}
	r.ask.Class, r.ask.ClassBy = best.class, best.Word
}

func oneOf(words string) (class.Class, bool, Reason, string) {
	return class.None, false, Unknown, "want one of " + words
}

func ownClass(v string) (class.Class, bool, Reason, string) {
	c, err := class.Parse(v)
	if err != nil || v != c.String() {
		return oneOf("LSE LSR LS BE SYSTEM NONE")
	}
	return c, true, "", ""
}

func koordinatorClass(v string) (class.Class, bool, Reason, string) {
	if v == "NONE" {
		return oneOf("LSE LSR LS BE SYSTEM")
	}
	if c, says, why, _ := ownClass(v); why == "" {
		return c, says, "", ""
	}
	return oneOf("LSE LSR LS BE SYSTEM")
}

// volcanoLevel takes the words that Volcano's agent knows, and the integers of
// the time before it, of which it only matters whether they are negative.
func volcanoLevel(v string) (class.Class, bool, Reason, string) {
	switch v {
	case "LC":
		return class.LSE, true, "", ""
	case "HLS":
		return class.LSR, true, "", ""
	case "LS":
		return class.LS, true, "", ""
	case "BE":
		return class.BE, true, "", ""
	}
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return oneOf("LC HLS LS BE, or a number from -7 to 7")
	case n < -7 || n > 7:
		return class.None, false, Malformed, "want a number from -7 to 7"
	case n < 0:
		return class.BE, true, "", ""
	}
	return class.LS, true, "", ""
}

func volcanoPreempt(v string) (class.Class, bool, Reason, string) {
	switch v {
	case "true":
		return class.BE, true, "", ""
	case "false":
		return class.None, false, "", ""
	}
	return oneOf("true false")
}

func katalystLevel(v string) (class.Class, bool, Reason, string) {
	switch v {
	case "dedicated_cores":
		return class.LSE, true, "", ""
	case "shared_cores":
		return class.LS, true, "", ""
	case "reclaimed_cores":
		return class.BE, true, "", ""
	case "system_cores":
		return class.System, true, "", ""
	}
	return oneOf("dedicated_cores shared_cores reclaimed_cores system_cores")
}

// show gives a tenant's text in a form that a terminal takes.
func show(s string) string {
	const most = 64
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if cut {
		s += "…"
	}
	return s
}
