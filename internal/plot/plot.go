// Package plot draws series of numbers over time, or over anything else that
// grows, as SVG: lines, stacked areas and steps in the house's colours, light or
// dark as the viewer prefers. The same input gives the same bytes.
package plot

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Kind says how a series is drawn.
type Kind uint8

// Kinds.
const (
	Line Kind = iota
	Step      // a value holds until the next one
	Area      // stacked on the areas before it
)

// Series is one named row of values, one for each X of its chart; NaN leaves a
// gap.
type Series struct {
	Name   string
	Kind   Kind
	Colour Colour
	Y      []float64
}

// Colour is one of the house's colours by what it stands for.
type Colour string

// Colours.
const (
	Blue   Colour = "blue"   // latency-sensitive
	Amber  Colour = "amber"  // best-effort
	Green  Colour = "green"  // good, ours
	Red    Colour = "red"    // bad, a violation
	Purple Colour = "purple" // a limit or target
	Grey   Colour = "grey"   // all else
)

// Chart is one picture.
type Chart struct {
	Title  string
	XLabel string
	YLabel string
	X      []float64 // growing
	Series []Series
	// Top is the least upper end of the Y axis; it is higher if a value is.
	Top float64
	// Low, above 0, makes the Y axis logarithmic, from there to Top by tens; what
	// is below is drawn at its foot. Areas need an axis from 0.
	Low float64
	// XFormat and YFormat give the text of a tick; nil is %.4g.
	XFormat, YFormat func(float64) string
}

// Measures in pixels.
const (
	width, height            = 900, 320
	left, right, head, under = 64, 20, 62, 44
)

const style = `<style>
.bg{fill:#fff;stroke:#d8dee4}.title{font:600 16px system-ui,sans-serif;fill:#1f2328}.tick,.name{font:11px system-ui,sans-serif;fill:#656d76}
.grid{stroke:#e6eaee}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.area{fill-opacity:.55;stroke:none}
.blue{--c:#0969da}.amber{--c:#bc7a00}.green{--c:#1a7f5a}.red{--c:#cf222e}.purple{--c:#8250df}.grey{--c:#6e7781}
.line{stroke:var(--c)}.area,.key{fill:var(--c)}
@media (prefers-color-scheme: dark){
.bg{fill:#0d1117;stroke:#30363d}.title{fill:#e6edf3}.tick,.name{fill:#8d96a0}.grid{stroke:#21262d}
.blue{--c:#58a6ff}.amber{--c:#d9a233}.green{--c:#3fb68b}.red{--c:#f85149}.purple{--c:#bc8cff}.grey{--c:#7d8590}}
</style>
`

// SVG draws charts below each other in one picture.
func SVG(charts ...Chart) string {
	var b strings.Builder
	h := height * max(1, len(charts))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		width, h, width, h, Escape(titles(charts)))
	b.WriteString(style)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="10"/>`+"\n", width, h)
	for i := range charts {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)">`+"\n", i*height)
		charts[i].draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func titles(charts []Chart) string {
	var out []string
	for _, c := range charts {
		out = append(out, c.Title)
	}
	return strings.Join(out, "; ")
}

// Write draws charts into a file, whole or not at all.
func Write(path string, charts ...Chart) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".plot-*")
	if err != nil {
		return fmt.Errorf("write plot: %w", err)
	}
	_, err = f.WriteString(SVG(charts...))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(f.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write plot: %w", err)
	}
	return nil
}

// frame maps values to pixels.
type frame struct{ x0, x1, low, top float64 }

func (f frame) x(v float64) float64 {
	if f.x1 == f.x0 {
		return left
	}
	return left + (width-left-right)*(v-f.x0)/(f.x1-f.x0)
}

func (f frame) y(v float64) float64 {
	up := min(max(v, 0), f.top) / f.top
	if f.low > 0 {
		up = math.Log(min(max(v, f.low), f.top)/f.low) / math.Log(f.top/f.low)
	}
	return head + (height-head-under)*(1-up)
}

// ticks are where the Y axis is marked.
func (f frame) ticks() (out []float64) {
	if f.low > 0 {
		for v := f.low; v <= f.top*(1+1e-9); v *= 10 {
			out = append(out, v)
		}
		return out
	}
	for i := range lines + 1 {
		out = append(out, f.top*float64(i)/lines)
	}
	return out
}

func (c *Chart) draw(b *strings.Builder) {
	f := c.frame()
	fmt.Fprintf(b, `<text class="title" x="20" y="28">%s</text>`+"\n", Escape(c.Title))
	c.grid(b, f)
	base := make([]float64, len(c.X))
	for i := range c.Series {
		if s := &c.Series[i]; s.Kind == Area {
			c.area(b, f, s, base)
		}
	}
	for i := range c.Series {
		if s := &c.Series[i]; s.Kind != Area {
			c.line(b, f, s)
		}
	}
	c.legend(b)
}

// frame finds the ends of the axes.
func (c *Chart) frame() frame {
	f := frame{top: c.Top}
	if len(c.X) > 0 {
		f.x0, f.x1 = c.X[0], c.X[len(c.X)-1]
	}
	for i := range c.X {
		sum := 0.0
		for k := range c.Series {
			y := c.Series[k].at(i)
			if math.IsNaN(y) || math.IsInf(y, 0) {
				continue
			}
			if c.Series[k].Kind == Area {
				sum += y
			}
			f.top = max(f.top, y, sum)
		}
	}
	if c.Low > 0 {
		f.low, f.top = c.Low, max(f.top, c.Low*10)
		return f
	}
	f.top = nice(f.top)
	return f
}

func (s *Series) at(i int) float64 {
	if i >= len(s.Y) {
		return math.NaN()
	}
	return s.Y[i]
}

// nice rounds up to 1, 2, 2.5 or 5 times a power of ten.
func nice(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if v <= m*p*(1+1e-9) {
			return m * p
		}
	}
	return 10 * p
}

const lines = 5 // of the grid, and about as many ticks

func (c *Chart) grid(b *strings.Builder, f frame) {
	format, yformat := c.XFormat, c.YFormat
	if format == nil {
		format = number
	}
	if yformat == nil {
		yformat = number
	}
	for _, v := range f.ticks() {
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", left, width-right, f.y(v), f.y(v))
		fmt.Fprintf(b, `<text class="tick" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-8, f.y(v)+4, Escape(yformat(v)))
	}
	step := nice((f.x1 - f.x0) / (lines + 3))
	for v := math.Ceil(f.x0/step) * step; v <= f.x1*(1+1e-9); v += step {
		fmt.Fprintf(b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", f.x(v), height-under+18, Escape(format(v)))
	}
	fmt.Fprintf(b, `<text class="tick" x="%d" y="%d" text-anchor="end">%s</text>`+"\n", width-right, height-10, Escape(c.XLabel))
	fmt.Fprintf(b, `<text class="tick" x="20" y="%d">%s</text>`+"\n", head-12, Escape(c.YLabel))
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

// area draws a series on top of base, and adds it to that.
func (c *Chart) area(b *strings.Builder, f frame, s *Series, base []float64) {
	var up, down strings.Builder
	for i, x := range c.X {
		y := s.at(i)
		if math.IsNaN(y) {
			y = 0
		}
		to := "L"
		if i == 0 {
			to = "M"
		}
		fmt.Fprintf(&up, "%s%.1f %.1f", to, f.x(x), f.y(base[i]+y))
		base[i] += y
	}
	for i := len(c.X) - 1; i >= 0; i-- {
		y := s.at(i)
		if math.IsNaN(y) {
			y = 0
		}
		fmt.Fprintf(&down, "L%.1f %.1f", f.x(c.X[i]), f.y(base[i]-y))
	}
	fmt.Fprintf(b, `<path class="area %s" d="%s%sZ"/>`+"\n", s.Colour, up.String(), down.String())
}

func (c *Chart) line(b *strings.Builder, f frame, s *Series) {
	var d strings.Builder
	pen := false
	last := 0.0
	for i, x := range c.X {
		y := s.at(i)
		if math.IsNaN(y) || math.IsInf(y, 0) {
			pen = false
			continue
		}
		switch {
		case !pen:
			fmt.Fprintf(&d, "M%.1f %.1f", f.x(x), f.y(y))
		case s.Kind == Step && y != last:
			fmt.Fprintf(&d, "H%.1fV%.1f", f.x(x), f.y(y))
		case s.Kind == Step:
			fmt.Fprintf(&d, "H%.1f", f.x(x))
		default:
			fmt.Fprintf(&d, "L%.1f %.1f", f.x(x), f.y(y))
		}
		pen, last = true, y
	}
	fmt.Fprintf(b, `<path class="line %s" d="%s"/>`+"\n", s.Colour, d.String())
}

// legend names the series at the top right, each with its colour.
func (c *Chart) legend(b *strings.Builder) {
	x := float64(width - right)
	for i := len(c.Series) - 1; i >= 0; i-- {
		s := &c.Series[i]
		x -= 6.2*float64(len([]rune(s.Name))) + 26
		fmt.Fprintf(b, `<rect class="key %s" x="%.1f" y="%d" width="10" height="10" rx="2"/>`, s.Colour, x, head-21)
		fmt.Fprintf(b, `<text class="name" x="%.1f" y="%d">%s</text>`+"\n", x+14, head-12, Escape(s.Name))
	}
}

// Escape makes text fit for SVG and HTML, in an attribute too.
func Escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}
