package web

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// painted says whether anything is drawn on a canvas by its label.
func painted(label string) string {
	return `(c => c && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0))(document.querySelector('canvas[aria-label^="` + label + `"]'))`
}

// From what is amiss to the service's past, its requests, and the connection of one.
func TestRequestsPanel(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/tcprt")
	services, slow, routes := "Services and their requests", "Slowest requests", "Requests by what they are"
	p.until(rows(services) + ` === 3 && ` + rows(slow) + ` === 12 && ` + rows(routes) + ` === 3`)
	if got := p.text(".tiles"); !strings.Contains(got, "11 k") || !strings.Contains(got, "2.1 %") || !strings.Contains(got, "oldest 1.5 s") {
		t.Errorf("the tiles say %q", got)
	}
	if got := p.text(".rt-anomaly"); !strings.Contains(got, "cpu throttled") || !strings.Contains(got, "97 % sure") || !strings.Contains(got, "61 % of its periods") || !strings.Contains(got, "21 ms, usually 4 ms") {
		t.Errorf("what is amiss: %q", got)
	}
	if got := column(p, "Anomalies that are over", "2"); len(got) != 1 || got[0] != "network loss" {
		t.Errorf("anomalies that are over: %q", got)
	}
	if got := column(p, routes, "2"); got[0] != "GET /cart/{id}" {
		t.Errorf("routes: %q", got)
	}

	p.click(".rt-anomaly .rt-link")
	p.until(painted("Mean time") + ` && ` + painted("Latency") + ` && ` + painted("Requests per"))
	if got := p.text("#rt-one"); got != "shop/web/nginx:443 (server), the last 15 minutes" {
		t.Errorf("its past is headed %q", got)
	}
	p.until(rows(slow) + ` === 12`)
	p.shot("requests")

	p.click("[aria-labelledby=rt-slow] tbody .opener")
	p.until(`document.querySelector('dialog').open && document.querySelectorAll('dialog .rt-line li').length === 12 && document.querySelectorAll('dialog .rt-line .rt-this').length === 1 && document.querySelectorAll('dialog .rt-when i').length === 12`)
	if got := p.text("dialog"); !strings.Contains(got, "10.0.0.5:443 with 10.0.0.9:40122") || !strings.Contains(got, "GET /cart/{id}") || !strings.Contains(got, "811 nginx") || !strings.Contains(got, "4bf92f35") {
		t.Errorf("the connection: %q", got)
	}
	p.until(`document.querySelector('dialog').getAnimations().length === 0`)
	p.shot("connection")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until(`!document.querySelector('dialog').open`)

	// Names and routes are text, whoever chose them.
	p.until(`window.pwned === undefined && document.querySelectorAll('main img').length === 0`)

	// Another service has no slow ones; none at all brings them back.
	p.click("[aria-labelledby=rt-services] tbody tr:nth-child(3) .opener")
	p.until(rows(slow) + ` === 0 || document.querySelector('[aria-labelledby=rt-slow]').innerText.includes('No request is kept yet')`)
	p.click("[aria-labelledby=rt-one] .more")
	p.until(`document.querySelector('[aria-labelledby=rt-one]').hidden && ` + rows(slow) + ` === 12`)
	p.forgive("willReadFrequently") // painted does
	p.clean()
}

// Where nothing is timed the panel says so, and what to do.
func TestRequestsPanelOff(t *testing.T) {
	a := newFakeAgent(t)
	a.bare.Store(true)
	p := openTab(t, 800, 600, "dark")
	p.open(a.URL + "/#/tcprt")
	p.until(`document.querySelector('.rt-trouble') && !document.querySelector('.rt-trouble').hidden`)
	if got := p.text(".rt-trouble"); !strings.Contains(got, "request timing is not running") || !strings.Contains(got, "anole doctor") {
		t.Errorf("it says %q", got)
	}
	p.forgive("503")
	p.clean()
}
