package term

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// wide is a table that no small terminal has room for.
func wide() *Table {
	t := NewTable("WORKLOAD", "CORES", "BANK", "WHY").Spare("BANK")
	t.Row("/kubepods.slice/kubepods-besteffort.slice/cri-containerd-0123456789.scope", "1.25", "P=500ms Q=150ms B=150ms", "others use 1.50 of 2 CPUs, target 97 %")
	t.Row("web", "0.01", "-", Cell{"größer als nötig", Green})
	return t
}

// Whatever the width, no line is longer, and nothing but spared columns is lost.
func TestTablesFit(t *testing.T) {
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for width := 40; width <= 200; width++ {
		var b bytes.Buffer
		if err := wide().write(&b, false, width, wrap); err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(b.String(), "\n") {
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("%d characters at a width of %d: %q", n, width, line)
			}
		}
		if !strings.Contains(b.String(), "1.25") {
			t.Errorf("a number was cut at %d:\n%s", width, b.String())
		}
		spared := !strings.Contains(b.String(), "BANK")
		if spared != (width < 53) { // 14 + 5 + 14 + 14 and three gaps
			t.Errorf("at %d BANK is spared: %v", width, spared)
		}
	}
	var b bytes.Buffer
	if err := wide().write(&b, false, 1000, wrap); err != nil || strings.Count(b.String(), "\n") != 3 {
		t.Errorf("%v\n%s", err, b.String())
	}
	for _, s := range []string{"/kubepods.slice/kubepods-besteffort.slice/x", "a few words that are long", "ä" + strings.Repeat("ö", 30), "", "x"} {
		for width := 1; width < 50; width++ {
			lines := wrap(s, width)
			if got := squeeze(strings.Join(lines, "")); got != squeeze(s) {
				t.Errorf("%q in %d: %q", s, width, lines)
			}
		}
	}
}

func TestTablesAreCut(t *testing.T) {
	for width := 40; width <= 200; width++ {
		var b bytes.Buffer
		if err := wide().WriteCut(&b, width, false); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines at a width of %d:\n%s", len(lines), width, b.String())
		}
		for _, line := range lines {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("%d characters at a width of %d: %q", n, width, line)
			}
		}
	}
	var b bytes.Buffer
	if err := wide().WriteCut(&b, 60, true); err != nil || !strings.Contains(b.String(), "…") || !strings.Contains(b.String(), ".scope") || !strings.Contains(b.String(), "\x1b[32m") {
		t.Errorf("%v\n%q", err, b.String())
	}
	if got := Cut("abcdef", 4); got != "abc…" {
		t.Errorf("Cut gives %q", got)
	}
	if got := Cut("abcdef", 0); got != "abcdef" {
		t.Errorf("Cut to any width gives %q", got)
	}
}

// A sentence that begins with a number is text: it goes on in the next line.
func TestSentencesAreNoNumbers(t *testing.T) {
	tab := NewTable("MODULE", "SUMMARY")
	tab.Row("qos", "11 workloads, 1.91 of 2 cores busy, best effort capped at 0.19 cores")
	tab.Row("workload", "0 containers, no container runtime connected")
	var b bytes.Buffer
	if err := tab.write(&b, false, 40, wrap); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 40 {
			t.Errorf("%d characters at a width of 40: %q", n, line)
		}
	}
	if !strings.Contains(b.String(), "\nqos       11 workloads") {
		t.Errorf("text is aligned to the right:\n%s", b.String())
	}
}
