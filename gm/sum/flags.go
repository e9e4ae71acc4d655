package sum

import (
	"context"
	"errors"
)

// Flags is what a command line says.
type Flags struct {
	Check, Tag, Zero, Strict, IgnoreMissing bool
	Voice                                   Voice
	Mode                                    Mode
}

// Mode is the sign in the list. It makes no other difference on Linux.
type Mode int

// The modes; Unsaid writes what Text does.
const (
	Unsaid Mode = iota
	Text
	Binary
)

// Flag is one that GNU's programs have. Of flags that contradict each other the last counts.
type Flag struct {
	Name  string
	Short string // one letter, or ""
	Doc   string
	Set   func(*Flags)
}

// All lists the flags.
var All = []Flag{
	{"binary", "b", "write * before names, for programs that read in binary mode", func(f *Flags) { f.Mode = Binary }},
	{"check", "c", "check the files that these lists name", func(f *Flags) { f.Check = true }},
	{"tag", "", "write BSD's form: SM3 (name) = hash", func(f *Flags) { f.Tag, f.Mode = true, Binary }},
	{"text", "t", "write a space before names (the default)", func(f *Flags) { f.Mode = Text }},
	{"zero", "z", "end lines with NUL, and escape nothing in names", func(f *Flags) { f.Zero = true }},
	{"ignore-missing", "", "with -c: pass over files that are not there", func(f *Flags) { f.IgnoreMissing = true }},
	{"quiet", "", "with -c: do not tell files that are OK", func(f *Flags) { f.Voice = Quiet }},
	{"status", "", "with -c: tell by the exit code only", func(f *Flags) { f.Voice = Silent }},
	{"strict", "", "with -c: fail for lines that are none of a list", func(f *Flags) { f.Strict = true }},
	{"warn", "w", "with -c: tell each line that is none of a list", func(f *Flags) { f.Voice = Warn }},
}

// Valid refuses, in GNU's words, flags that do not go together.
func (f *Flags) Valid() error {
	const only = " option is meaningful only when verifying checksums"
	for _, bad := range []struct {
		is   bool
		text string
	}{
		{f.Tag && f.Mode == Text, "--tag does not support --text mode"},
		{f.Check && f.Zero, "the --zero option is not supported when verifying checksums"},
		{f.Check && f.Tag, "the --tag option is meaningless when verifying checksums"},
		{f.Check && f.Mode != Unsaid, "the --binary and --text options are meaningless when verifying checksums"},
		{!f.Check && f.IgnoreMissing, "the --ignore-missing" + only},
		{!f.Check && f.Voice == Silent, "the --status" + only},
		{!f.Check && f.Voice == Warn, "the --warn" + only},
		{!f.Check && f.Voice == Quiet, "the --quiet" + only},
		{!f.Check && f.Strict, "the --strict" + only},
	} {
		if bad.is {
			return errors.New(bad.text)
		}
	}
	return nil
}

// Run has a tool do what the flags say: print the hashes of the files, or check the lists.
func (f *Flags) Run(ctx context.Context, t *Tool, names []string) error {
	t.Style = Style{Tag: f.Tag, Binary: f.Mode == Binary, Zero: f.Zero}
	t.Voice, t.Strict, t.IgnoreMissing = f.Voice, f.Strict, f.IgnoreMissing
	if f.Check {
		return t.Check(ctx, names)
	}
	return t.Print(ctx, names)
}
