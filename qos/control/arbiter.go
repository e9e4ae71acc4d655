package control

import (
	"cmp"
	"slices"
)

// Rule says how intents for one file are merged.
type Rule uint8

// Rules.
const (
	Rank Rule = iota // the intent of the highest rank wins
	Min              // the lowest number wins: every limit holds
)

// Intent is what one controller wants one file to hold.
type Intent struct {
	Group      string // the workload or group it is for, as people know it
	File       string // identity of what is arbitrated: a file's whole path, or a group of files that change together
	Value      string
	Number     float64 // Value as a number, for Min
	Rule       Rule
	Rank       int
	Controller string
	Why        string
	Payload    any // what the actuator needs beyond Value
}

// Merge settles all intents: one for each file, in a stable order. Two
// controllers that want the same file never write in turn: the loser is
// dropped here, before anything is written. The result is in the memory of
// intents, which is lost; intents in the order of their files cost no sorting.
func Merge(intents []Intent) []Intent {
	if !slices.IsSortedFunc(intents, byFile) {
		slices.SortStableFunc(intents, byFile)
	}
	kept := intents[:0]
	for _, in := range intents {
		if n := len(kept); n > 0 && kept[n-1].File == in.File {
			if in.beats(kept[n-1]) {
				kept[n-1] = in
			}
			continue
		}
		kept = append(kept, in)
	}
	return kept
}

func byFile(a, b Intent) int { return cmp.Compare(a.File, b.File) }

// beats compares two intents for one file. A tie is settled by name, so that
// the outcome does not hang on the order in which controllers ran.
func (i Intent) beats(o Intent) bool {
	if i.Rank != o.Rank {
		return i.Rank > o.Rank
	}
	if i.Rule == Min && i.Number != o.Number {
		return i.Number < o.Number
	}
	return i.Controller < o.Controller
}
