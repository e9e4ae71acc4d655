package web

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// rows counts the rows of the table with a caption.
func rows(caption string) string {
	return `[...document.querySelectorAll('table')].find(t => t.caption.textContent === '` + caption + `').tBodies[0].rows.length`
}

// column gives the cells of a table's column.
func column(p *tab, caption string, at string) []string {
	return eval[[]string](p, `[...[...document.querySelectorAll('table')].find(t => t.caption.textContent === '`+caption+`').tBodies[0].rows].map(r => r.cells[`+at+`].innerText)`)
}

// typeInto replaces what a box holds, by the keyboard.
func (p *tab) typeInto(selector, s string) {
	p.Helper()
	if s == "" {
		s = kb.Backspace
	}
	p.do(script(`(e => { e.focus(); e.select() })(document.querySelector('`+selector+`'))`), chromedp.KeyEvent(s))
}

// radio presses a choice of a segmented control and waits for its mark.
func (p *tab) radio(group, value string) {
	p.Helper()
	sel := group + ` [role=radio][data-value="` + value + `"]`
	p.click(sel)
	p.until(`document.querySelector('` + sel + `').getAttribute('aria-checked') === 'true'`)
}

func TestOverview(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/")
	p.until(`document.querySelector('.plot canvas')`)
	p.until(rows("Features of this node") + ` === 8`)
	if got := p.text("#who"); !strings.Contains(got, "edge-07") || !strings.Contains(got, "degraded") || !strings.Contains(got, "up 3 h 1") {
		t.Errorf("the header says %q", got)
	}
	if got := p.text(".tiles"); !strings.Contains(got, "generation 3") || !strings.Contains(got, "38 MiB") {
		t.Errorf("the tiles say %q", got)
	}
	if got := strings.Join(column(p, "Modules of the agent", "1"), " "); got != "degraded running unsupported" {
		t.Errorf("module states %q", got)
	}

	p.radio(".table-tools", "no")
	p.until(rows("Features of this node") + ` === 3`)
	p.typeInto(".table-tools .filter", "pmu")
	p.until(rows("Features of this node") + ` === 1`)
	p.typeInto(".table-tools .filter", "nonsense")
	p.until(`document.querySelector('.span .empty').innerText === 'Nothing matches.'`)
	p.typeInto(".table-tools .filter", "")
	p.radio(".table-tools", "all")
	p.until(rows("Features of this node") + ` === 8`)
	p.click(".span th:nth-child(3) .sort")
	p.until(`document.querySelector('.span th:nth-child(3)').getAttribute('aria-sort') === 'ascending'`)
	if got := column(p, "Features of this node", "2"); got[0] != "could not tell" || got[7] != "yes" {
		t.Errorf("answers in order: %q", got)
	}
	p.click(".span th:nth-child(3) .sort")
	p.until(`document.querySelector('.span th:nth-child(3)').getAttribute('aria-sort') === 'descending'`)
	if got := column(p, "Features of this node", "2"); got[0] != "yes" {
		t.Errorf("answers in reverse order: %q", got)
	}
	p.clean()
}

func TestThemeIsRemembered(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "dark")
	theme := func(want string) {
		t.Helper()
		p.until(`document.documentElement.dataset.theme === '` + want + `'`)
	}
	p.open(a.URL)
	theme("dark") // auto follows the system
	p.radio("#theme", "light")
	theme("light")
	p.do(chromedp.Reload())
	theme("light")
	p.until(`document.querySelector('#theme [data-value=light]')?.getAttribute('aria-checked') === 'true'`)
	p.radio("#theme", "dark")
	theme("dark")
	p.do(chromedp.SendKeys(chromedp.CSS("#theme [data-value=dark]"), kb.ArrowLeft))
	theme("dark") // auto again
	p.until(`document.querySelector('#theme [data-value=auto]').getAttribute('aria-checked') === 'true' && document.activeElement.dataset.value === 'auto'`)
	p.clean()
}

func TestTimeRangeAndTabs(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL)
	for _, s := range []string{"300", "3600", "21600", "86400", "900"} {
		p.radio("#when", s)
	}
	p.click(".live")
	p.until(`document.querySelector('.live').getAttribute('aria-pressed') === 'false' && document.querySelector('.fixed').innerText.includes(' – ')`)
	p.click(".live")
	p.until(`document.querySelector('.live').getAttribute('aria-pressed') === 'true' && document.querySelector('.fixed').innerText === ''`)

	on := func(id string) {
		t.Helper()
		p.until(`document.querySelector('#tab-` + id + `').getAttribute('aria-selected') === 'true' && document.querySelector('.panel-` + id + `')`)
	}
	on("overview")
	p.click("#tab-qos")
	on("qos")
	p.click("#tab-explore")
	on("explore")
	p.do(chromedp.NavigateBack())
	on("qos")
	p.do(chromedp.NavigateBack())
	on("overview")
	p.do(chromedp.NavigateForward())
	on("qos")
	p.do(chromedp.SendKeys(chromedp.CSS("#tab-tcprt"), kb.ArrowRight+kb.Enter))
	on("explore")
	p.do(script(`location.hash = '#/nowhere'`))
	p.until(`document.querySelector('[role=alert]')?.innerText.includes('There is no panel “nowhere”')`)
	p.clean()
}

func TestQoSPanel(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	p.until(`document.querySelectorAll('.plot canvas').length === 5`)
	who, wrote := "Workloads and their classes", "Writes to kernel files"
	p.until(rows(who) + ` === 10`)
	if got := p.text(".qos-tiles"); !strings.Contains(got, "Node CPU") || !strings.Contains(got, "p50 ") || !strings.Contains(got, "cap ") || strings.Contains(got, "–") {
		t.Errorf("the tiles say %q", got)
	}
	p.until(`document.querySelectorAll('svg.spark').length === 10`)

	// Charts: hide a series, another resource, zoom by dragging, back to live.
	p.click(".span .legend-item")
	p.until(`document.querySelector('.span .legend-item').getAttribute('aria-pressed') === 'false'`)
	p.click(".span .legend-item")
	p.radio(".qos-pick", "memory")
	p.until(`document.querySelector('.qos-slot canvas')`)
	box := eval[[]float64](p, `(() => { scrollTo(0, 0); const r = document.querySelector('.span .u-over').getBoundingClientRect(); return [r.left, r.top, r.width, r.height] })()`)
	y := box[1] + box[3]/2
	p.do(chromedp.DragAndDropXY(box[0]+box[2]*0.7, y, box[0]+box[2]*0.9, y, 5))
	p.until(`document.querySelector('.live').getAttribute('aria-pressed') === 'false'`)
	p.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, box[0]+box[2]*0.5, y))
	p.until(`document.querySelector('.span .chart-at').innerText !== ''`)
	p.do(chromedp.MouseClickXY(box[0]+box[2]*0.5, y, chromedp.ClickCount(2)))
	p.until(`document.querySelector('.live').getAttribute('aria-pressed') === 'true'`)

	// The table of workloads.
	p.click("[aria-labelledby=qos-who] th:nth-child(2) .sort")
	if got := column(p, who, "1"); got[0] != "SYSTEM" || got[9] != "BE" {
		t.Errorf("classes in order: %q", got)
	}
	p.typeInto("[aria-labelledby=qos-who] .filter", "encode")
	p.until(rows(who) + ` === 2`)

	// The drawer: open by a row, close by each way.
	p.click("[aria-labelledby=qos-who] tbody .opener")
	p.until(`document.querySelector('dialog').open && ` + rows("Kernel files of the workload") + ` === 3 && document.querySelectorAll('.qos-steps li time').length > 5`)
	if got := p.text("dialog"); !strings.Contains(got, "262144") || !strings.Contains(got, "/anole-BE/encode-") || !strings.Contains(got, "the same 0.3 cores") {
		t.Errorf("the drawer says %q", got)
	}
	p.until(`document.querySelector('dialog').getAnimations().length === 0`)
	p.shot("drawer")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.until(`!document.querySelector('dialog').open && document.activeElement.className === 'opener'`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`document.querySelector('dialog').open`)
	p.click("dialog .icon-button")
	p.until(`!document.querySelector('dialog').open`)
	p.typeInto("[aria-labelledby=qos-who] .filter", "")

	// The feed of decisions.
	p.until(rows(wrote) + ` === 12`)
	p.click("[aria-labelledby=qos-wrote] .more")
	p.until(rows(wrote) + ` === 120`)
	p.do(chromedp.SetValue(chromedp.CSS("[aria-labelledby=qos-wrote] select"), "priority"))
	p.do(script(`document.querySelector('[aria-labelledby=qos-wrote] select').dispatchEvent(new Event('change'))`))
	p.until(rows(wrote) + ` === 24`)
	p.typeInto("[aria-labelledby=qos-wrote] .filter", "backup")
	p.until(rows(wrote) + ` === 12`)
	if got := column(p, "Mechanisms in use", "1"); len(got) != 11 || got[0] != "cpu.idle" || got[5] != "nothing" || got[7] != "off" {
		t.Errorf("mechanisms %q", got)
	}
	p.clean()
}

// TestQoSPanelResources looks at what is shown beside the CPU.
func TestQoSPanelResources(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	for _, c := range []struct {
		section, caption string
		rows             int
		has              []string
		charts           []string
	}{
		{"qos-memory", "Memory by class", 5, []string{"5 GiB of 16 GiB", "(3)", "633", "taken back from BE", "evictions"}, []string{"Memory by class", "Memory of the node", "Major faults", "Taken back"}},
		{"qos-disks", "Disks", 2, []string{"nvme0n1", "io.max", "110 %", "io.cost is not built", "all it wants", "reads take 310µs", "110 µs"}, []string{"Block IO by class", "LS request latency"}},
		{"qos-network", "Interfaces", 4, []string{"eth0", "edt", "10Gbit / 10Gbit", "7Gbit", "70 GiB", "1312", "the rest", "somebody chose"}, []string{"Network by class", "Packets dropped"}},
		{"qos-containers", "Sources of containers", 3, []string{"NRI", "containerd 1.7", "permission denied"}, nil},
	} {
		p.until(rows(c.caption) + ` === ` + strconv.Itoa(c.rows))
		if c.section == "qos-memory" { // comes with the history
			p.until(`document.querySelector('.qos-line').innerText.includes('GiB') && !document.querySelector('.qos-line').innerText.includes('–')`)
		}
		text := strings.ReplaceAll(p.text("[aria-labelledby="+c.section+"]"), ",", "")
		for _, s := range c.has {
			if !strings.Contains(text, s) {
				t.Errorf("%s lacks %q: %q", c.section, s, text)
			}
		}
		for _, title := range c.charts {
			p.do(script(`document.querySelector('.chart[aria-label="` + title + `"]').scrollIntoView()`))
			p.until(`document.querySelector('.chart[aria-label="` + title + `"] canvas') && document.querySelector('.chart[aria-label="` + title + `"] .legend-item')`)
		}
	}
	if got := column(p, "Labels not followed", "1"); len(got) != 2 || !strings.Contains(got[0], "LS") || !strings.Contains(got[1], "{nonsense") {
		t.Errorf("labels not followed: %q", got)
	}
	if n := eval[int](p, `[...document.querySelectorAll('.qos-off')].filter(e => e.checkVisibility()).length`); n != 0 {
		t.Errorf("%d sections are said to be off", n)
	}
	p.typeInto("[aria-labelledby=qos-who] .filter", "web")
	p.click("[aria-labelledby=qos-who] tbody .opener")
	p.until(`document.querySelector('dialog').open && document.querySelector('.qos-facts dt')`)
	for _, s := range []string{"protected", "counts as LS", "shop/web-7d9f", "koordinator.sh/qosClass=LS (from nri)", "{nonsense (from cri): is no JSON object", "nri, cri, tree"} {
		if got := p.text(".qos-facts"); !strings.Contains(got, s) {
			t.Errorf("the drawer lacks %q: %q", s, got)
		}
	}
	p.clean()
}

// TestQoSPanelWithoutResources holds that what is off takes one line with its
// reason, and that no chart of it is drawn or asked for; and that it comes and
// goes with the policy.
func TestQoSPanelWithoutResources(t *testing.T) {
	a := newFakeAgent(t)
	a.bare.Store(true)
	p := openTab(t, 1280, 800, "dark")
	p.open(a.URL + "/#/qos")
	off := `[...document.querySelectorAll('.qos-off')].filter(e => e.checkVisibility())`
	p.until(off + `.length === 4`)
	got := strings.Join(eval[[]string](p, off+`.map(e => e.innerText)`), "\n")
	for _, s := range []string{"the memory controller", "no disk to control", "the policy names no interface", "NRI: no socket", "CRI: no privilege", "containerd events: off"} {
		if !strings.Contains(got, s) {
			t.Errorf("no word of %q: %q", s, got)
		}
	}
	charts := `document.querySelectorAll('.qos-resources .chart').length`
	if n := eval[int](p, charts); n != 0 {
		t.Errorf("%d charts of what is off", n)
	}
	a.bare.Store(false)
	p.until(off + `.length === 0 && ` + charts + ` === 8`)
	a.bare.Store(true)
	p.until(off + `.length === 4 && ` + charts + ` === 0`)
	p.clean()
}

// TestQoSPanelOfABigNode holds that tables stop somewhere and long names break.
func TestQoSPanelOfABigNode(t *testing.T) {
	a := newFakeAgent(t)
	a.big.Store(true)
	for _, width := range []int64{390, 1280} {
		p := openTab(t, width, 800, "light")
		p.open(a.URL + "/#/qos")
		for caption, n := range map[string]int{"Workloads and their classes": 50, "Disks": 8, "Interfaces": 24, "Labels not followed": 8} {
			p.until(rows(caption) + ` === ` + strconv.Itoa(n))
		}
		if over := eval[float64](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
			t.Errorf("%v px wider than a window of %d: %v", over, width, eval[string](p, widest))
		}
		p.clean()
	}
}

func TestExplore(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/explore")
	values := "Latest value of each series"
	p.until(`document.querySelector('.plot canvas') && ` + rows(values) + ` === 5`)
	p.click(".example:nth-of-type(3)")
	p.until(`document.querySelector('.promql').value.includes('by (knob)') && document.querySelector('table') && ` + rows(values) + ` === 2`)
	p.do(chromedp.NavigateBack())
	p.until(`document.querySelector('.promql').value.includes('by (class)')`)

	p.typeInto(".promql", "anole_qos_node_cpu_ca")
	p.until(`!document.querySelector('.suggest').hidden && document.querySelector('.suggest li').innerText === 'anole_qos_node_cpu_capacity_cores'`)
	p.do(chromedp.KeyEvent(kb.ArrowDown + kb.Enter))
	p.until(`document.querySelector('.suggest').hidden && document.querySelector('.promql').value === 'anole_qos_node_cpu_capacity_cores'`)
	p.do(chromedp.KeyEvent(kb.Enter))
	p.until(`location.hash.includes('capacity') && document.querySelector('.panel-explore table') && ` + rows(values) + ` === 1`)
	if got := column(p, values, "1"); got[0] != "2.00" {
		t.Errorf("capacity %q, want 2.00", got)
	}
	p.clean()

	p.typeInto(".promql", "sum(")
	p.click(".primary")
	p.until(`!document.querySelector('.query-error').hidden && document.querySelector('.query-error').innerText.includes('parse error')`)
	p.forgive("400") // the browser's own word on the refused query
	p.clean()
}

func TestNamesStayText(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	p.until(rows("Workloads and their classes") + ` === 10`)
	p.typeInto("[aria-labelledby=qos-who] .filter", "onerror")
	p.until(rows("Workloads and their classes") + ` === 1`)
	if got := p.text("[aria-labelledby=qos-who] tbody .opener"); got != xssName {
		t.Errorf("shown as %q, want %q", got, xssName)
	}
	p.click("[aria-labelledby=qos-who] tbody .opener")
	p.until(`document.querySelector('dialog').open && document.querySelector('.qos-facts code').innerText.includes('onerror')`)
	p.do(script(`location.hash = '#/explore?q=' + encodeURIComponent('anole_qos_workload_cpu_usage_seconds_total')`))
	p.until(`document.querySelector('.panel-explore .legend-item') && document.body.innerText.includes('onerror')`)
	if n := eval[int](p, `document.querySelectorAll('img').length + Number('pwned' in window)`); n != 0 {
		t.Error("a workload's name became an element")
	}
	p.clean()
}

func TestAgentGoesAndComesBack(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	p.until(rows("Workloads and their classes") + ` === 10`)
	p.clean()
	a.gone.Store(true)
	p.until(`document.querySelector('.banner')?.innerText.includes('does not answer') && document.querySelector('.state').innerText === 'no answer'`)
	if n := eval[int](p, `Math.round(document.querySelector('.banner svg path').getBoundingClientRect().width)`); n < 10 {
		t.Errorf("the banner's sign is %d px wide: is it drawn without the agent?", n)
	}
	p.shot("gone")
	if n := eval[int](p, rows("Workloads and their classes")); n != 10 {
		t.Errorf("%d workloads left on the page, want the last 10", n)
	}
	a.gone.Store(false)
	p.until(`!document.querySelector('.banner') && document.querySelector('.state').innerText === 'degraded'`)
	p.forgive("net::ERR_EMPTY_RESPONSE", "net::ERR_CONNECTION")
	p.clean()
}

func TestEmptyNodeSaysWhatToDo(t *testing.T) {
	a := newFakeAgent(t)
	a.empty.Store(true)
	a.off.Store(true)
	p := openTab(t, 1280, 800, "dark")
	p.open(a.URL + "/#/qos")
	p.until(`document.querySelector('[aria-labelledby=qos-who] .empty').innerText.includes('anole qos run --class be -- cmd')`)
	p.until(`document.querySelector('[aria-labelledby=qos-wrote] .empty').innerText.includes('Nothing was written yet')`)
	p.until(`[...document.querySelectorAll('.plot-empty')].filter(e => !e.closest('.qos-resources')).every(e => !e.hidden && e.innerText.includes('no space left on device'))`)
	p.shot("empty")
	p.click("#tab-overview")
	p.until(`document.querySelector('.problems')?.innerText.includes('no space left on device') && document.querySelector('.tiles').innerText.includes('off')`)
	p.clean()
}

func TestHiddenPageAsksNothing(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	p.until(rows("Workloads and their classes") + ` === 10`)
	p.do(script(`Object.defineProperty(document, 'hidden', {get: () => window.away, configurable: true}), window.away = true`))
	count := `performance.getEntriesByType('resource').length`
	time.Sleep(time.Second) // what was asked before is answered
	before := eval[int](p, count)
	time.Sleep(5 * time.Second) // two status ticks and a history tick
	if after := eval[int](p, count); after != before {
		t.Errorf("%d requests while hidden", after-before)
	}
	p.do(script(`window.away = false, document.dispatchEvent(new Event('visibilitychange'))`))
	p.until(count + ` !== ` + strconv.Itoa(before))
	p.clean()
}

func TestPageIsSmallAndSelfContained(t *testing.T) {
	a := newFakeAgent(t)
	p := openTab(t, 1280, 800, "light")
	p.open(a.URL + "/#/qos")
	p.until(`document.querySelectorAll('.plot canvas').length === 5`)
	p.mu.Lock()
	t.Logf("%.0f KiB of files, %.0f KiB of data over the wire", p.files/1024, p.data/1024)
	if p.files > 150<<10 {
		t.Errorf("%.0f bytes of files to show the QoS panel, want at most 150 KiB", p.files)
	}
	if p.files+p.data > 200<<10 {
		t.Errorf("%.0f bytes in all, want at most 200 KiB", p.files+p.data)
	}
	for host := range p.hosts {
		if !strings.HasSuffix(a.URL, host) {
			t.Errorf("the page asked %s", host)
		}
	}
	p.mu.Unlock()
	p.clean()
}

// script runs JavaScript for its effect.
func script(js string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[any](js)(ctx, t)
		return chromedp.Void{}, err
	})
}
