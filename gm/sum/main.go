package sum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Main is the program sm3sum with its arguments, which are those of GNU's md5sum. It gives
// the exit code: 0, or 1 for anything that went wrong.
func Main(ctx context.Context, program string, args []string, stdin *os.File, out, errs io.Writer) int {
	t := &Tool{Program: program, Out: out, Err: errs, Stdin: stdin}
	c, err := parse(args)
	if err == nil && c.print == "" {
		err = c.flags.Valid()
	}
	switch {
	case err != nil:
		fmt.Fprintf(errs, "%s: %v\nTry '%s --help' for more information.\n", program, err, program)
		return 1
	case c.print != "":
		if _, err = io.WriteString(out, strings.ReplaceAll(c.print, "PROGRAM", program)); err != nil {
			err = &WriteError{err}
		}
	default:
		err = c.flags.Run(ctx, t, c.names)
	}
	return t.Tell(err)
}

// Tell tells an error of Print or Check that was not told, and gives the exit code, 0 or 1.
func (t *Tool) Tell(err error) int {
	var w *WriteError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &w):
		fmt.Fprintf(t.Err, "%s: write error: %s\n", t.Program, reason(w.Err))
	case !errors.Is(err, ErrFailed):
		fmt.Fprintf(t.Err, "%s: %v\n", t.Program, err)
	}
	return 1
}

// command is a command line.
type command struct {
	flags Flags
	names []string
	print string // in place of all else
}

// parse reads arguments as GNU's getopt_long does: options and names in any order, the
// beginnings of long options, letters in one word, and -- before names.
func parse(args []string) (c command, err error) {
	for i, a := range args {
		switch {
		case a == "--":
			c.names = append(c.names, args[i+1:]...)
			return c, nil
		case strings.HasPrefix(a, "--"):
			err = c.long(a)
		case len(a) > 1 && a[0] == '-':
			err = c.short(a[1:])
		default:
			c.names = append(c.names, a)
		}
		if err != nil || c.print != "" {
			return c, err
		}
	}
	return c, nil
}

func (c *command) short(letters string) error {
	for i := range len(letters) {
		known := false
		for _, f := range All {
			if f.Short == letters[i:i+1] {
				f.Set(&c.flags)
				known = true
			}
		}
		if !known {
			return fmt.Errorf("invalid option -- '%s'", letters[i:i+1])
		}
	}
	return nil
}

// printed are the options that print something and nothing else.
var printed = map[string]string{"help": help(), "version": "PROGRAM (anole)\n"}

func (c *command) long(a string) error {
	name, _, valued := strings.Cut(a[2:], "=")
	names := make([]string, 0, len(All)+len(printed))
	for _, f := range All {
		names = append(names, f.Name)
	}
	names = append(names, "help", "version")
	var may []string
	for _, n := range names {
		if n == name {
			may = []string{n}
			break
		}
		if strings.HasPrefix(n, name) {
			may = append(may, n)
		}
	}
	switch {
	case len(may) == 0:
		return fmt.Errorf("unrecognized option '%s'", a)
	case len(may) > 1:
		return fmt.Errorf("option '%s' is ambiguous; possibilities: '--%s'", a, strings.Join(may, "' '--"))
	case valued:
		return fmt.Errorf("option '--%s' doesn't allow an argument", may[0])
	}
	c.print = printed[may[0]]
	for _, f := range All {
		if f.Name == may[0] {
			f.Set(&c.flags)
		}
	}
	return nil
}

func help() string {
	var b strings.Builder
	b.WriteString(`Usage: PROGRAM [OPTION]... [FILE]...
Print or check SM3 (256-bit) hashes, those of standard input without FILE or for -.

`)
	for _, f := range All {
		short := "    "
		if f.Short != "" {
			short = "-" + f.Short + ", "
		}
		fmt.Fprintf(&b, "  %s--%-15s %s\n", short, f.Name, f.Doc)
	}
	b.WriteString(`      --help            print this and end
      --version         print the version and end

Lists are those of this program, of cksum -a sm3, with hashes in hexadecimal or base64,
and of BSD's programs.
`)
	return b.String()
}
