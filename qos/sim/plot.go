package sim

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the plot in pixels.
const (
	plotWidth  = 960
	plotHigh   = 220 // of a panel
	plotLeft   = 64
	plotRight  = 24
	plotGap    = 66
	plotHead   = 74
	plotFoot   = 16
	plotLegend = 50
)

const plotStyle = `<style>
.bg{fill:#fff;stroke:#d8dee4}.title{font:600 16px system-ui,sans-serif;fill:#1f2328}.panel{font:600 13px system-ui,sans-serif;fill:#1f2328}
.tick,.legend{font:11px system-ui,sans-serif;fill:#656d76}.legend{font-size:12px}.grid{stroke:#d8dee4}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.c0{stroke:#6e7781}.c1{stroke:#c2410c}.c2{stroke:#1a7f5a}.c3{stroke:#8250df}.c4{stroke:#0969da}.c5{stroke:#bf8700}
@media (prefers-color-scheme: dark){
.bg{fill:#0d1117;stroke:#30363d}.title,.panel{fill:#e6edf3}.tick,.legend{fill:#8d96a0}.grid{stroke:#262c34}
.c0{stroke:#8d96a0}.c1{stroke:#f0883e}.c2{stroke:#3fb68b}.c3{stroke:#bc8cff}.c4{stroke:#58a6ff}.c5{stroke:#d29922}
}
</style>
`

// colours is how many classes there are for lines.
const colours = 6

// SVG draws the report: CPU use and violations over time, and their distribution
// over nodes. Colours follow the viewer's light or dark preference.
func (r *Report) SVG() string {
	high := plotHead + 3*(plotHigh+plotGap) + plotFoot
	var b strings.Builder
	title := fmt.Sprintf("%d nodes, %s: what each policy makes of the same load", r.Fleet.Nodes, hours(r.Fleet.Seconds))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		plotWidth, high, plotWidth, high, html.EscapeString(title))
	b.WriteString(plotStyle)
	fmt.Fprintf(&b, `<rect class="bg" width="%d" height="%d" rx="10"/>`+"\n", plotWidth, high)
	fmt.Fprintf(&b, `<text class="title" x="20" y="29">%s</text>`+"\n", html.EscapeString(title))
	r.legend(&b)
	y := float64(plotHead + 20)
	wide := float64(plotWidth - plotLeft - plotRight)
	span := float64(r.Fleet.Seconds) / 3600
	time := axis{0, span, func(v float64) string { return fmt.Sprintf("%g h", v) }, hourStep(span)}
	share := axis{0, 1, percentTick, 0.25}
	r.panel(&b, "CPU use of the fleet", plotLeft, y, wide, time, share, func(s *Scenario) []float64 { return add(s.Series.LS, s.Series.BE) })
	y += plotHigh + plotGap
	r.panel(&b, "Services with their p99 beyond the objective (log)", plotLeft, y, wide, time, logShare, func(s *Scenario) []float64 { return s.Series.Violation })
	y += plotHigh + plotGap
	half := (wide - plotLeft) / 2
	nodes := axis{0, 1, percentTick, 0.25}
	r.panel(&b, "Nodes, from the least to the most used: CPU use", plotLeft, y, half, nodes, share, func(s *Scenario) []float64 { return s.Nodes.CPU })
	r.panel(&b, "Nodes, from the best to the worst: violations (log)", plotLeft+half+plotLeft, y, half, nodes, logShare, func(s *Scenario) []float64 { return s.Nodes.Violation })
	b.WriteString("</svg>\n")
	return b.String()
}

// axis is one of a panel; a step below 0 is a logarithmic one.
type axis struct {
	low, high float64
	text      func(float64) string
	step      float64
}

// logShare is from 1/10,000 to 1; what is less is drawn at its foot.
var logShare = axis{1e-4, 1, percentTick, -1}

func percentTick(v float64) string { return fmt.Sprintf("%g %%", math.Round(v*1e6)/1e4) }

func (a axis) at(v float64) float64 {
	v = min(max(v, a.low), a.high)
	if a.step < 0 {
		return math.Log(v/a.low) / math.Log(a.high/a.low)
	}
	return (v - a.low) / (a.high - a.low)
}

func (a axis) ticks() (out []float64) {
	if a.step < 0 {
		for v := a.low; v <= a.high*1.001; v *= 10 {
			out = append(out, v)
		}
		return out
	}
	for i := 0; ; i++ {
		v := a.low + float64(i)*a.step
		if v > a.high*1.0001 {
			return out
		}
		out = append(out, v)
	}
}

// hourStep gives about eight marks.
func hourStep(hours float64) float64 {
	for _, s := range []float64{0.1, 0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168} {
		if hours/s <= 9 {
			return s
		}
	}
	return hours / 8
}

func hours(seconds int) string { return fmt.Sprintf("%g h", math.Round(float64(seconds)/36)/100) }

func (r *Report) legend(b *strings.Builder) {
	x := 20.0
	for i := range r.Scenarios {
		name := r.Scenarios[i].Name
		fmt.Fprintf(b, `<line class="line c%d" x1="%.0f" x2="%.0f" y1="%d" y2="%d"/>`, i%colours, x, x+22, plotLegend, plotLegend)
		fmt.Fprintf(b, `<text class="legend" x="%.0f" y="%d">%s</text>`+"\n", x+28, plotLegend+4, html.EscapeString(name))
		x += 28 + 7*float64(len([]rune(name))) + 30
	}
}

// panel draws one line for each scenario; the values are spread evenly over x.
func (r *Report) panel(b *strings.Builder, title string, left, top, wide float64, x, y axis, values func(*Scenario) []float64) {
	foot := top + plotHigh
	fmt.Fprintf(b, `<text class="panel" x="%.1f" y="%.1f">%s</text>`+"\n", left, top-10, html.EscapeString(title))
	for _, v := range y.ticks() {
		at := foot - plotHigh*y.at(v)
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, left, left+wide, at, at)
		fmt.Fprintf(b, `<text class="tick" x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", left-6, at+4, y.text(v))
	}
	for _, v := range x.ticks() {
		fmt.Fprintf(b, `<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", left+wide*x.at(v), foot+16, x.text(v))
	}
	for i := range r.Scenarios {
		v := values(&r.Scenarios[i])
		fmt.Fprintf(b, `<polyline class="line c%d" points="`, i%colours)
		for k, p := range v {
			fmt.Fprintf(b, "%.1f,%.1f ", left+wide*float64(k)/float64(max(1, len(v)-1)), foot-plotHigh*y.at(p))
		}
		b.WriteString(`"/>` + "\n")
	}
}

func add(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}

// HTML is a page of its own with the plot and the figures.
func (r *Report) HTML() string {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><meta charset="utf-8"><title>anole qos simulate</title>
<style>:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;max-width:960px;margin:24px auto;padding:0 16px}
table{border-collapse:collapse;width:100%;margin:16px 0}th,td{padding:6px 8px;border-bottom:1px solid #8884;text-align:right}
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}</style>
`)
	fmt.Fprintf(&b, "<h1>%d nodes, %s, seed %d</h1>\n", r.Fleet.Nodes, hours(r.Fleet.Seconds), r.Model.Seed)
	b.WriteString("<table><tr>")
	for _, h := range Columns() {
		fmt.Fprintf(&b, "<th>%s</th>", html.EscapeString(h))
	}
	b.WriteString("</tr>\n")
	for i := range r.Scenarios {
		b.WriteString("<tr>")
		for _, c := range r.Scenarios[i].Row() {
			fmt.Fprintf(&b, "<td>%s</td>", html.EscapeString(c))
		}
		b.WriteString("</tr>\n")
	}
	b.WriteString("</table>\n")
	b.WriteString(r.SVG())
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		fmt.Fprintf(&b, "<p><b>%s</b>: %s</p>\n", html.EscapeString(s.Name), html.EscapeString(s.About))
	}
	b.WriteString("</html>\n")
	return b.String()
}

// Columns names the fields of Row.
func Columns() []string {
	return []string{"POLICY", "CPU", "LS", "BE", "P95", "LS IN VIOLATION", "LS THROTTLED", "BE DONE", "WASTED", "EVICTED", "QUEUE", "IDLE FILLED"}
}

// Row gives a scenario's figures for people.
func (s *Scenario) Row() []string {
	done, wasted, evicted, queue, filled := "-", "-", "-", "-", "-"
	if s.BE.Done+s.BE.Running > 0 {
		done = fmt.Sprintf("%.4g core-h", s.BE.Work/3600)
		wasted = fmt.Sprintf("%.3g core-h", s.BE.Wasted/3600)
		evicted = fmt.Sprint(s.BE.Evicted + s.BE.Starved)
		queue = fmt.Sprintf("%.1f s", s.BE.QueueWait)
		filled = fine(s.BE.Filled)
	}
	return []string{
		s.Name, fine(s.CPU.Mean), fine(s.CPU.LS), fine(s.CPU.BE), fmt.Sprintf("%.0f %%", s.CPU.P95*100), fine(s.LS.Violation), fine(s.LS.Throttled),
		done, wasted, evicted, queue, filled,
	}
}

func fine(v float64) string {
	if v != 0 && v < 0.01 {
		return fmt.Sprintf("%.3f %%", v*100)
	}
	return fmt.Sprintf("%.1f %%", v*100)
}
