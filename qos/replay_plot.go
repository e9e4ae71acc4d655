package qos

import "github.com/anole-os/anole/internal/plot"

// WritePlot draws use and both caps over time into an SVG file.
func (r *Replay) WritePlot(path string) error {
	c := plot.Chart{Title: "CPU use and best-effort cap on " + r.Node, XLabel: "seconds since the start", YLabel: "cores", Top: r.CPUs}
	ls := plot.Series{Name: "LS", Kind: plot.Area, Colour: plot.Blue}
	be := plot.Series{Name: "BE", Kind: plot.Area, Colour: plot.Amber}
	busy := plot.Series{Name: "node", Colour: plot.Grey}
	then := plot.Series{Name: "recorded cap", Kind: plot.Step, Colour: plot.Purple}
	now := plot.Series{Name: "replayed cap", Kind: plot.Step, Colour: plot.Green}
	for _, p := range r.Points {
		c.X = append(c.X, p.At)
		ls.Y, be.Y = append(ls.Y, p.LS), append(be.Y, p.BE)
		busy.Y = append(busy.Y, min(orNaN(p.Busy), r.CPUs)) // counter and clock are read one after the other
		then.Y, now.Y = append(then.Y, orNaN(p.Then)), append(now.Y, orNaN(p.Now))
	}
	c.Series = []plot.Series{ls, be, busy, then, now}
	return plot.Write(path, c)
}
