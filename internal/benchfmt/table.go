package benchfmt

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// Table draws results as a Markdown table.
func Table(results []Result) string {
	var b strings.Builder
	b.WriteString("| | ours | peer | ratio (min–max) | target | |\n|---|--:|--:|--:|--:|:-:|\n")
	for i := range results {
		r := &results[i]
		peer, ratio := "", ""
		if r.PeerName != "" {
			peer = withUnit(r.Peer, r.Unit) + "<br>" + cell(r.PeerName)
			ratio = fmt.Sprintf("**%s** (%s–%s)", number(r.Ratio), number(r.Spread.Min), number(r.Spread.Max))
		}
		ours := withUnit(r.Ours, r.Unit)
		if r.PeerName == "" && r.Spread.Min != r.Spread.Max {
			ours += fmt.Sprintf(" (%s–%s)", number(r.Spread.Min), number(r.Spread.Max))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(r.What), ours, peer, ratio, targetCell(r.Target), mark(r))
	}
	if note := origin(results); note != "" {
		b.WriteString("\n" + note + "\n")
	}
	return b.String()
}

// origin says where and when, if that is the same for all.
func origin(results []Result) string {
	if len(results) == 0 {
		return ""
	}
	kernel, from, to := results[0].Kernel, results[0].Date, results[0].Date
	low, high := results[0].Rounds, results[0].Rounds
	for _, r := range results[1:] {
		if r.Kernel != kernel {
			kernel = "several kernels"
		}
		from, to = min(from, r.Date), max(to, r.Date)
		low, high = min(low, r.Rounds), max(high, r.Rounds)
	}
	when, rounds := from, fmt.Sprint(low)
	if from != to {
		when += " to " + to
	}
	if low != high {
		rounds += " to " + fmt.Sprint(high)
	}
	return fmt.Sprintf("Measured on Linux %s, %s, %s rounds; where there is a peer, both interleaved.", cell(kernel), cell(when), rounds)
}

func mark(r *Result) string {
	switch {
	case r.Target == "":
		return ""
	case r.Meets:
		return "✓"
	}
	return "✗"
}

func targetCell(s string) string {
	if t, err := ParseTarget(s); err == nil {
		return t.String()
	}
	return cell(s)
}

// cell keeps text from ending its cell.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", ">", "&gt;").Replace(s)
}

func withUnit(v float64, unit string) string { return strings.TrimSpace(number(v) + " " + cell(unit)) }

// number prints three significant digits, and all that stand before the point.
func number(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 100 || v == 0:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.1:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// ErrNoMarker says that a file has no place for a table.
var ErrNoMarker = errors.New("no such pair of markers")

// Draw replaces what stands between the lines "<!-- bench:<marker> -->" and
// "<!-- /bench:<marker> -->" of a file by a table of results. An error that
// wraps ErrNoMarker leaves the file alone.
func Draw(path, marker string, results []Result) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	out, err := between(b, marker, Table(results))
	if err != nil {
		return fmt.Errorf("draw table into %s: %w", path, err)
	}
	return replace(path, out)
}

func between(b []byte, marker, text string) ([]byte, error) {
	begin, end := "<!-- bench:"+marker+" -->", "<!-- /bench:"+marker+" -->"
	head, rest, ok := bytes.Cut(b, []byte(begin))
	if !ok {
		return nil, fmt.Errorf("%s: %w", begin, ErrNoMarker)
	}
	_, tail, ok := bytes.Cut(rest, []byte(end))
	if !ok {
		return nil, fmt.Errorf("%s: %w", end, ErrNoMarker)
	}
	var out bytes.Buffer
	out.Write(head)
	out.WriteString(begin + "\n" + text + end)
	out.Write(tail)
	return out.Bytes(), nil
}
