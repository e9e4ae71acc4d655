// Package term writes for people at a terminal: aligned tables, sizes and
// times in human units, colour where it is wanted, progress bars.
//
// Nothing here is for programs: their output is JSON.
package term

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"
)

// IsTerminal says whether w is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Style is a way to show a word. The zero value shows it plain.
type Style string

// Styles, as SGR parameters (ECMA-48).
const (
	Plain  Style = ""
	Bold   Style = "1"
	Dim    Style = "2"
	Red    Style = "31"
	Green  Style = "32"
	Yellow Style = "33"
	Blue   Style = "34"
)

// Colours says whether to colour what goes to w: on a terminal that is not
// dumb, unless NO_COLOR is set (no-color.org).
func Colours(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && IsTerminal(w)
}

func paint(s string, st Style, on bool) string {
	if !on || st == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(st) + "m" + s + "\x1b[0m"
}

// Paint gives s in a style if w takes colours.
func Paint(w io.Writer, st Style, s string) string { return paint(s, st, Colours(w)) }

// digits writes n with three significant digits and no exponent.
func digits(n float64) string {
	abs := max(n, -n)
	switch {
	case abs < 9.995:
		return strconv.FormatFloat(n, 'f', 2, 64)
	case abs < 99.95:
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// Duration writes a time in its two largest units: "3d 4h", "2m 5s", or with
// three digits below a minute: "1.25 s", "830 ms", "12.0 µs".
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-d)
	}
	switch {
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return digits(float64(d)/float64(time.Microsecond)) + " µs"
	case d < time.Second:
		return digits(float64(d)/float64(time.Millisecond)) + " ms"
	case d < time.Minute:
		return digits(d.Seconds()) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
