package web

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// faint lists the texts whose contrast with their ground is below WCAG 2 AA:
// 4.5, or 3 for large text. Colours go through a canvas, which understands all
// that a style may say.
const faint = `(() => {
	const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgba = c => { pen.clearRect(0, 0, 1, 1); pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
	const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const ground = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255]; };
	const out = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement, s = walk.currentNode.data.trim();
		if (!s || !e.checkVisibility() || e.closest('script, noscript, .sr, .skip')) continue;
		const style = getComputedStyle(e), size = parseFloat(style.fontSize);
		const need = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
		const [a, b] = [light(rgba(style.color)), light(ground(e))];
		const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
		if (ratio < need) out.add(s.slice(0, 30) + ' (' + e.className + ') ' + ratio.toFixed(2));
	}
	return [...out];
})()`

func TestTextIsReadable(t *testing.T) {
	a := newFakeAgent(t)
	for _, scheme := range []string{"light", "dark"} {
		p := openTab(t, 1280, 800, scheme)
		for _, panel := range []string{"overview", "qos", "explore"} {
			p.open(a.URL + "/#/" + panel)
			p.until(`document.querySelector('.plot canvas') && document.querySelector('.legend-item') && document.querySelector('tbody tr')`)
			for _, s := range eval[[]string](p, faint) {
				t.Errorf("%s, %s: %s", panel, scheme, s)
			}
		}
		p.do(script(`location.hash = '#/qos'`))
		p.click("[aria-labelledby=qos-who] tbody .opener")
		p.until(`document.querySelector('.qos-steps li')`)
		for _, s := range eval[[]string](p, faint) {
			t.Errorf("drawer, %s: %s", scheme, s)
		}
		p.do(chromedp.KeyEvent("\x1b"))
		p.clean()
	}
}

// TestControlsHaveNames holds that every control says what it does to those who
// do not see it.
func TestControlsHaveNames(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	for _, panel := range []string{"overview", "qos", "explore"} {
		p.open(a.URL + "/#/" + panel)
		p.until(`document.querySelector('.legend-item') && document.querySelector('tbody tr')`)
		nameless := eval[[]string](p, `[...document.querySelectorAll('button, a, input, select, [role=img], table, [role=radiogroup]')]
			.filter(e => !(e.innerText?.trim() || e.getAttribute('aria-label') || e.caption || e.labels?.length))
			.filter(e => e.checkVisibility()).map(e => e.outerHTML.slice(0, 80))`)
		for _, s := range nameless {
			t.Errorf("%s: no name: %s", panel, s)
		}
		twice := eval[[]string](p, `[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, i, all) => all.indexOf(id) !== i)`)
		for _, id := range twice {
			t.Errorf("%s: id %q twice", panel, id)
		}
	}
	p.clean()
}
