package web

import (
	"os"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestPictures draws every panel at the sizes people use. The pictures are kept
// only if ANOLE_CONSOLE_SHOTS names a directory; the test itself holds that no
// page is wider than its window and that nothing goes wrong while drawing.
func TestPictures(t *testing.T) {
	a := newFakeAgent(t)
	for _, size := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1280, 800, "light"}, {"dark", 1280, 800, "dark"}, {"mobile", 390, 844, "light"}, {"narrow", 360, 640, "dark"}, {"4k", 3840, 2160, "dark"}} {
		t.Run(size.name, func(t *testing.T) {
			p := openTab(t, size.width, size.height, size.scheme)
			for _, panel := range []string{"overview", "qos", "tcprt", "explore"} {
				p.open(a.URL + "/#/" + panel)
				p.until(`document.querySelector('.plot canvas, .rt-figure canvas') && document.querySelector('tbody tr')`)
				if over := eval[float64](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("%s is %v px wider than its window: %v", panel, over, eval[string](p, widest))
				}
				p.shot(size.name + "-" + panel)
				if os.Getenv("ANOLE_CONSOLE_SHOTS") != "" {
					h := eval[int64](p, `document.documentElement.scrollHeight`)
					p.do(chromedp.EmulateViewport(size.width, h))
					p.until(drawn)
					p.shot(size.name + "-" + panel + "-full")
					p.do(chromedp.EmulateViewport(size.width, size.height))
				}
			}
			p.clean()
		})
	}
}

// drawn says that every chart shows its lines, or why it has none.
const drawn = `[...document.querySelectorAll('.chart')].every(c => c.querySelector('canvas') || c.querySelector('.plot-empty:not([hidden])'))`

// widest names the elements that stick out of the window.
const widest = `[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5)
	.map(e => e.tagName + '.' + e.className).join(' ')`
