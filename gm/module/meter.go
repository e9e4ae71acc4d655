package module

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/anole-os/anole/internal/term"
)

// meter shows on standard error how far a long run over files is: on a terminal one line
// that changes, elsewhere, which is for those who asked, a line at times.
type meter struct {
	w        io.Writer
	terminal bool
	names    []string // of the files, if known
	total    int64    // bytes of these; 0 is not known
	began    time.Time
	next     time.Time // to be shown
	every    time.Duration
	shown    bool // there is a line, to be cleared
	text     string
}

// shownAfter is how long a run goes without a word on a terminal.
const shownAfter = 2 * time.Second

func newMeter(w io.Writer, asked bool) *meter {
	now := time.Now()
	m := &meter{w: w, terminal: term.IsTerminal(w), began: now, next: now.Add(shownAfter), every: 5 * time.Second}
	if m.terminal {
		m.every = 200 * time.Millisecond
		if asked {
			m.next = now.Add(m.every)
		}
	}
	return m
}

func (m *meter) set(files int, bytes int64) {
	now := time.Now()
	if now.Before(m.next) {
		return
	}
	if m.total == 0 && m.names != nil {
		m.total = sizes(m.names)
		m.names = nil
	}
	m.next = now.Add(m.every)
	m.text = fmt.Sprintf("%d files, %s", files, quantity(bytes))
	if m.total > 0 {
		m.text += fmt.Sprintf(" of %s (%d%%)", quantity(m.total), min(100, 100*bytes/m.total))
	}
	m.text += fmt.Sprintf(", %s/s", quantity(int64(float64(bytes)/now.Sub(m.began).Seconds())))
	if !m.terminal {
		fmt.Fprintln(m.w, m.text)
		return
	}
	m.clear()
	fmt.Fprint(m.w, m.text)
	m.shown = true
}

func (m *meter) clear() {
	if m.shown {
		fmt.Fprint(m.w, "\r\x1b[K")
		m.shown = false
	}
}

func (m *meter) done() { m.clear() }

// over gives a writer before whose output the line goes away, as both may be on one terminal.
func (m *meter) over(w io.Writer) io.Writer { return &cleared{m, w} }

type cleared struct {
	m *meter
	w io.Writer
}

func (c *cleared) Write(b []byte) (int, error) {
	c.m.clear()
	return c.w.Write(b)
}

// sizes is how many bytes regular files have; 0 if there is anything else.
func sizes(names []string) (n int64) {
	for _, name := range names {
		st, err := os.Stat(name)
		switch {
		case err != nil: // it is told elsewhere
		case !st.Mode().IsRegular():
			return 0
		default:
			n += st.Size()
		}
	}
	return n
}

// quantity is a number of bytes to be read.
func quantity(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, u := float64(n)/(1<<10), 0
	for ; v >= 1<<10 && u < len(units)-1; u++ {
		v /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", v, units[u])
}
