package term

import (
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Progress shows how far long work has come: a bar on a terminal, otherwise
// one line at the beginning and one at the end. It is used from one goroutine.
type Progress struct {
	w     io.Writer
	label string
	start time.Time
	pool  *mpb.Progress
	bar   *mpb.Bar
}

// NewProgress shows work of total steps on w.
func NewProgress(w io.Writer, label string, total int64) *Progress {
	p := &Progress{w: w, label: label, start: time.Now()}
	if !IsTerminal(w) {
		fmt.Fprintf(w, "%s …\n", label)
		return p
	}
	p.pool = mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	p.bar = p.pool.New(total, mpb.BarStyle().Rbound("|"),
		mpb.PrependDecorators(decor.Name(label, decor.WCSyncSpaceR)),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_MMSS)))
	return p
}

// Set says how many steps are done.
func (p *Progress) Set(done int64) {
	if p.bar != nil {
		p.bar.SetCurrent(done)
	}
}

// Done ends the display, whether or not all steps were done.
func (p *Progress) Done() {
	if p.bar == nil {
		fmt.Fprintf(p.w, "%s: %s\n", p.label, Duration(time.Since(p.start)))
		return
	}
	p.bar.Abort(false)
	p.pool.Wait()
}
