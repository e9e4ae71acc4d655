package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func example() Chart {
	return Chart{
		Title: "Use & caps <of> \"n\"", XLabel: "seconds", YLabel: "cores", X: []float64{0, 1, 2, 3}, Top: 2,
		Series: []Series{
			{Name: "LS", Kind: Area, Colour: Blue, Y: []float64{0.5, 0.5, 1, 1}},
			{Name: "BE", Kind: Area, Colour: Amber, Y: []float64{1, 1, math.NaN(), 1}},
			{Name: "cap", Kind: Step, Colour: Purple, Y: []float64{math.NaN(), 1.5, 1, 1}},
			{Name: "target", Colour: Grey, Y: []float64{2, 2}},
		},
	}
}

// paths gives the d of each path of a class.
func paths(t *testing.T, svg, class string) (out []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, svg)
		}
		e, ok := tok.(xml.StartElement)
		if !ok || e.Name.Local != "path" {
			continue
		}
		at := map[string]string{}
		for _, a := range e.Attr {
			at[a.Name.Local] = a.Value
		}
		if strings.HasPrefix(at["class"], class) {
			out = append(out, at["d"])
		}
		if strings.Contains(at["d"], "NaN") || strings.Contains(at["d"], "Inf") {
			t.Errorf("a hole in %q", at["d"])
		}
	}
}

func TestSVG(t *testing.T) {
	svg := SVG(example())
	if svg != SVG(example()) {
		t.Error("the same input gave other bytes")
	}
	areas, lines := paths(t, svg, "area"), paths(t, svg, "line")
	if len(areas) != 2 || len(lines) != 2 {
		t.Fatalf("%d areas and %d lines", len(areas), len(lines))
	}
	// BE stands on LS: its first point is at 1.5 of 2.
	if !strings.HasPrefix(areas[1], "M64.0 115.5") {
		t.Errorf("the second area does not stand on the first: %q", areas[1])
	}
	// The cap begins at its first value and goes down in a step.
	if want := "M336.0 115.5H608.0V169.0H880.0"; lines[0] != want {
		t.Errorf("steps %q, want %q", lines[0], want)
	}
}

func TestOddInput(t *testing.T) {
	for name, c := range map[string]Chart{
		"empty":        {},
		"one point":    {X: []float64{5}, Series: []Series{{Name: "a", Y: []float64{1}}}},
		"all unknown":  {X: []float64{0, 1}, Series: []Series{{Y: []float64{math.NaN(), math.Inf(1)}}}},
		"fewer values": {X: []float64{0, 1, 2}, Series: []Series{{Kind: Area, Y: []float64{1}}, {Y: nil}}},
		"negative":     {X: []float64{0, 1}, Series: []Series{{Y: []float64{-5, 3}}}},
	} {
		if svg := SVG(c); strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Errorf("%s: %s", name, svg)
		}
		paths(t, SVG(c), "line")
	}
}

func TestNiceAxis(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 0.03: 0.05, 1: 1, 1.1: 2, 2.3: 2.5, 3: 5, 7: 10, 1000: 1000, 1001: 2000} {
		if got := nice(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
}

func TestWriteLeavesWhatIsThereOnError(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.svg")
	if err := Write(path, example()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != SVG(example()) {
		t.Errorf("%v, %d bytes", err, len(b))
	}
	if err := Write(filepath.Join(dir, "none", "a.svg"), example()); err == nil {
		t.Error("a folder that is not there was made")
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLogarithmicAxis(t *testing.T) {
	c := Chart{
		Title: "log", X: []float64{0, 1, 2, 3}, Low: 0.001, Top: 1, YFormat: func(v float64) string { return fmt.Sprintf("%g %%", v*100) },
		Series: []Series{{Name: "a", Colour: Red, Y: []float64{1, 0.1, 0.01, 0}}},
	}
	out := SVG(c)
	for _, want := range []string{">0.1 %<", ">1 %<", ">10 %<", ">100 %<"} {
		if !strings.Contains(out, want) {
			t.Errorf("no tick %s", want)
		}
	}
	f := c.frame()
	third := (f.y(0.001) - f.y(1)) / 3
	for v, tens := range map[float64]float64{1: 0, 0.1: 1, 0.01: 2, 0: 3, -1: 3, 5: 0} {
		if got := (f.y(v) - f.y(1)) / third; math.Abs(got-tens) > 1e-9 {
			t.Errorf("%v is %v tens below 1", v, got)
		}
	}
}
