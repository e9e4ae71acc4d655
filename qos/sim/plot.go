package sim

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/anole-os/anole/internal/plot"
)

// colours of the scenarios, in their order.
var colours = []plot.Colour{plot.Grey, plot.Red, plot.Green, plot.Blue, plot.Purple, plot.Amber}

// SVG draws the report: CPU use and violations over time, and their distribution
// over nodes.
func (r *Report) SVG() string {
	use := plot.Chart{
		Title: fmt.Sprintf("CPU use of %d nodes, %s", r.Fleet.Nodes, hours(r.Fleet.Seconds)), XLabel: "hours", Top: 1, YFormat: percentTick,
	}
	bad := plot.Chart{Title: "Services with their p99 beyond the objective", XLabel: "hours", Top: 1, Low: lowest, YFormat: percentTick}
	nodes := plot.Chart{Title: "CPU use of single nodes", XLabel: "nodes, from the least to the most used", Top: 1, XFormat: percentTick, YFormat: percentTick}
	worst := plot.Chart{
		Title: "Violations on single nodes", XLabel: "nodes, from the best to the worst", Top: 1, Low: lowest, XFormat: percentTick, YFormat: percentTick,
	}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		use.X, bad.X = r.hours(len(s.Series.LS)), r.hours(len(s.Series.LS))
		nodes.X, worst.X = parts(len(s.Nodes.CPU)), parts(len(s.Nodes.CPU))
		draw := func(c *plot.Chart, y []float64) {
			c.Series = append(c.Series, plot.Series{Name: s.Name, Colour: colours[i%len(colours)], Y: y})
		}
		draw(&use, add(s.Series.LS, s.Series.BE))
		draw(&bad, s.Series.Violation)
		draw(&nodes, s.Nodes.CPU)
		draw(&worst, s.Nodes.Violation)
	}
	return plot.SVG(use, bad, nodes, worst)
}

// lowest is the least share that the violations' axis tells apart.
const lowest = 1e-4

func percentTick(v float64) string { return fmt.Sprintf("%g %%", math.Round(v*1e6)/1e4) }

func hours(seconds int) string { return fmt.Sprintf("%g h", math.Round(float64(seconds)/36)/100) }

// hours gives the middle of each bin.
func (r *Report) hours(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = (float64(i) + 0.5) * r.Model.Bin / 3600
	}
	return out
}

// parts goes from 0 to 1.
func parts(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(i) / float64(max(1, n-1))
	}
	return out
}

func add(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] + b[i]
	}
	return out
}

// HTML is a page of its own with the figures and the plot.
func (r *Report) HTML() string {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><meta charset="utf-8"><title>anole qos simulate</title>
<style>:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;max-width:960px;margin:24px auto;padding:0 16px}
table{border-collapse:collapse;width:100%;margin:16px 0}th,td{padding:6px 8px;border-bottom:1px solid #8884;text-align:right}
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}</style>
`)
	fmt.Fprintf(&b, "<h1>%d nodes, %s, seed %d</h1>\n<table><tr>", r.Fleet.Nodes, hours(r.Fleet.Seconds), r.Model.Seed)
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
