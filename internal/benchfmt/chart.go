package benchfmt

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/internal/plot"
)

// Measures of the chart in pixels.
const (
	chartWidth = 960
	chartLabel = 450 // left of the bars
	chartRight = 130 // right of the bars
	chartRow   = 50
	chartHead  = 46
	chartFoot  = 34
)

// WriteSVG draws SVG into a file.
func WriteSVG(path, title string, results []Result) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write chart: %w", err)
	}
	return replace(path, []byte(SVG(title, results)))
}

// SVG draws the results that have a peer as bars of their ratio, with the range
// of the rounds as a whisker, the target as a tick, and a line at 1, where ours
// and the peer are equal. The axis is logarithmic, so that twice and half are
// equally far from it. Colours follow the viewer's light or dark preference.
func SVG(title string, results []Result) string {
	var rows []*Result
	for i := range results {
		if r := &results[i]; r.PeerName != "" && r.Ratio > 0 {
			rows = append(rows, r)
		}
	}
	low, high := axis(rows)
	height := chartHead + chartRow*len(rows) + chartFoot
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, chartWidth, height, plot.Escape(title))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="10"/>`+"\n", chartWidth, height)
	fmt.Fprintf(&b, `<text class="title" x="20" y="29">%s</text>`+"\n", plot.Escape(title))
	x := func(v float64) float64 {
		span := float64(chartWidth - chartLabel - chartRight)
		return chartLabel + span*math.Log(min(max(v, low), high)/low)/math.Log(high/low)
	}
	grid(&b, low, high, height, x)
	for i, r := range rows {
		bar(&b, r, float64(chartHead+chartRow*i), x)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

const chartStyle = `<style>
.bg{fill:#fff;stroke:#d8dee4}.title{font:600 16px system-ui,sans-serif;fill:#1f2328}
.what{font:13px system-ui,sans-serif;fill:#1f2328}.peer,.tick{font:11px system-ui,sans-serif;fill:#656d76}
.value{font:600 13px ui-monospace,monospace;fill:#1f2328}.grid{stroke:#d8dee4}.one{stroke:#656d76;stroke-width:1.5}
.meets{fill:#1a7f5a}.fails{fill:#c2410c}.plain{fill:#6e7781}.range{stroke:#1f2328;stroke-width:1.5}.target{stroke:#8250df;stroke-width:2.5}
@media (prefers-color-scheme: dark){
.bg{fill:#0d1117;stroke:#30363d}.title,.what,.value{fill:#e6edf3}.peer,.tick{fill:#8d96a0}.grid{stroke:#262c34}.one{stroke:#8d96a0}
.meets{fill:#3fb68b}.fails{fill:#f0883e}.plain{fill:#7d8590}.range{stroke:#e6edf3}.target{stroke:#bc8cff}}
</style>
`

// axisMost bounds the axis; what lies beyond is drawn at its end.
const axisMost = 4096

// axis gives powers of two around all that is drawn.
func axis(rows []*Result) (low, high float64) {
	low, high = 0.5, 2
	for _, r := range rows {
		for _, v := range []float64{r.Ratio, r.Spread.Min, r.Spread.Max} {
			if v > 0 {
				low, high = min(low, v), max(high, v)
			}
		}
		if t, err := ParseTarget(r.Target); err == nil && t.Value > 0 {
			low, high = min(low, t.Value), max(high, t.Value)
		}
	}
	low, high = max(low, 1./axisMost), min(high, axisMost)
	return math.Exp2(math.Floor(math.Log2(low))), math.Exp2(math.Ceil(math.Log2(high)))
}

func grid(b *strings.Builder, low, high float64, height int, x func(float64) float64) {
	// At most about eight lines, however wide the axis.
	step := math.Exp2(math.Ceil(max(1, math.Log2(high/low)/8)))
	for v := low; v <= high*1.001; v *= step {
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", x(v), x(v), chartHead-4, height-chartFoot)
		fmt.Fprintf(b, `<text class="tick" x="%.1f" y="%d" text-anchor="middle">%s×</text>`+"\n", x(v), height-chartFoot+16, number(v))
	}
	fmt.Fprintf(b, `<line class="one" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", x(1), x(1), chartHead-4, height-chartFoot)
}

func bar(b *strings.Builder, r *Result, y float64, x func(float64) float64) {
	class := "plain"
	if r.Target != "" {
		class = map[bool]string{true: "meets", false: "fails"}[r.Meets]
	}
	from, to := min(x(1), x(r.Ratio)), max(x(1), x(r.Ratio))
	fmt.Fprintf(b, `<text class="what" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", chartLabel-14, y+20, plot.Escape(short(r.What, 58)))
	fmt.Fprintf(b, `<text class="peer" x="%d" y="%.1f" text-anchor="end">%s against %s, %s</text>`+"\n", chartLabel-14, y+36,
		plot.Escape(withUnitPlain(r.Ours, r.Unit)), plot.Escape(withUnitPlain(r.Peer, r.Unit)), plot.Escape(short(r.PeerName, 36)))
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="18" rx="3"/>`+"\n", class, from, y+12, max(to-from, 2))
	if r.Spread.Min > 0 && r.Spread.Max > r.Spread.Min {
		fmt.Fprintf(b, `<line class="range" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", x(r.Spread.Min), x(r.Spread.Max), y+21, y+21)
	}
	if t, err := ParseTarget(r.Target); err == nil && t.Value > 0 {
		fmt.Fprintf(b, `<line class="target" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"><title>target %s</title></line>`+"\n",
			x(t.Value), x(t.Value), y+7, y+35, plot.Escape(t.String()))
	}
	fmt.Fprintf(b, `<text class="value" x="%d" y="%.1f">%s×</text>`+"\n", chartWidth-chartRight+18, y+26, number(r.Ratio))
}

func withUnitPlain(v float64, unit string) string { return strings.TrimSpace(number(v) + " " + unit) }

// short cuts text at a number of characters.
func short(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return strings.TrimSpace(string(r[:most-1])) + "…"
	}
	return s
}
