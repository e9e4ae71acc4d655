package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/vishvananda/netlink"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
)

// freePort finds a port for the console.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %v %s", url, resp.Status, err, b)
	}
	return string(b)
}

// everything is a policy that isolates all that a node can: beside CPU and
// memory a disk and an interface, which are made for the test.
func everything(t *testing.T, prefix string) (policy, disk, link string) {
	t.Helper()
	disk, link = disks.Loop(t).Name, fmt.Sprintf("an%d", os.Getpid()%1e6)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: link + "p"}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	for _, name := range []string{link, link + "p"} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return policyFor(prefix) + fmt.Sprintf("  io: {devices: [{match: %q}]}\n  net: {interfaces: {%s: {rate: 100Mbit}}}\n", disk, link), disk, link
}

func TestMetricsAndHistory(t *testing.T) {
	g := groups.Open(t)
	policy, disk, _ := everything(t, g.Prefix)
	g.Make("ls-m").Spin()
	g.Make("be-m").Spin()
	addr := freePort(t)
	n := newNode(t, fmt.Sprintf("agent:\n  console: {listen: %q}\n  history: {interval: 1s}\n%s", addr, policy))
	n.start()
	base := "http://" + addr
	metrics := ""
	n.await("the probes' answers", func() bool { // they are asked beside the start
		metrics = fetch(t, base+"/metrics")
		return strings.Contains(metrics, "anole_feature_supported") && strings.Contains(metrics, "anole_qos_net_links") && strings.Contains(metrics, "anole_qos_memory_used_bytes")
	})
	for _, want := range []string{
		"anole_qos_io_disk_info{disk=\"" + disk + "\"", "anole_qos_memory_used_bytes{class=\"BE\"}", "anole_qos_node_memory_bytes{kind=\"available\"}", "anole_workload_source_connected{source=\"nri\"}",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	if n := strings.Count(metrics, "\nanole_"); n > 1500 {
		t.Errorf("%d series of a small node", n)
	}
	for _, want := range []string{"anole_qos_cpu_usage_seconds_total{class=\"LS\"}", "anole_qos_be_cap_cores", "anole_build_info"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	t.Run("promtool", func(t *testing.T) {
		c := exec.Command(testkit.NeedTool(t, "promtool"), "check", "metrics")
		c.Stdin = strings.NewReader(metrics)
		if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	})
	n.await("history", func() bool {
		return strings.Contains(fetch(t, base+"/api/v1/query?query="+url.QueryEscape(`increase(anole_qos_cpu_usage_seconds_total{class="BE"}[30s]) > 0`)), `"value"`)
	})
	t.Run("Grafana board", func(t *testing.T) { board(t, base) })
}

// board asks the agent every query of the Grafana board.
func board(t *testing.T, base string) {
	src, err := os.ReadFile("../../deploy/grafana/qos.json")
	if err != nil {
		t.Fatal(err)
	}
	var b struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(src, &b); err != nil || len(b.Panels) == 0 {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			expr := strings.NewReplacer("$node", ".*", "$__rate_interval", "30s").Replace(q.Expr)
			out := fetch(t, fmt.Sprintf("%s/api/v1/query_range?query=%s&start=%d&end=%d&step=5", base, url.QueryEscape(expr), now-60, now))
			if !strings.Contains(out, `"status":"success"`) {
				t.Errorf("%s: %s", p.Title, out)
			}
		}
	}
}

// loadTime is for people: no test judges by time.
const loadTime = `performance.getEntriesByType("navigation")[0].loadEventEnd`

// TestConsole opens the real agent's console in a real browser.
func TestConsole(t *testing.T) {
	chromium := testkit.NeedTool(t, "chromium")
	g := groups.Open(t)
	policy, disk, link := everything(t, g.Prefix)
	g.Make("ls-c").Spin()
	g.Make("be-c").Spin()
	addr := freePort(t)
	n := newNode(t, fmt.Sprintf("agent:\n  console: {listen: %q}\n  history: {interval: 1s}\n%s", addr, policy))
	n.start()
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	defer endAlloc()
	var wrong complaints
	ctx, end := chromedp.NewContext(alloc, chromedp.WithListener(wrong.hear))
	defer end()
	shows := func(text string) {
		t.Helper()
		var last string // what the page said, for who looks for the cause
		defer func() {
			if t.Failed() {
				t.Logf("the page: %s\nits console: %s", last, wrong.text())
			}
		}()
		began, again := time.Now(), false
		n.await(text+" in the console", func() bool {
			// The network that this test makes may have the browser give up what it
			// loads; once in some runs a page of it hangs.
			if hangs := !again && time.Since(began) > 20*time.Second; wrong.again() || hangs {
				t.Logf("loading the page again; it said: %s\nits console: %s", last, wrong.text())
				if chromedp.Do(ctx, chromedp.Reload()) == nil {
					again = again || hangs
				}
			}
			body, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
			if last = body; err != nil {
				last = err.Error()
			}
			return err == nil && strings.Contains(body, text)
		})
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+addr+"/")); err != nil {
		t.Fatal(err)
	}
	shows("What this node can do")
	shows("cpu.idle")
	if ms, err := chromedp.Run(ctx, chromedp.Evaluate[float64](loadTime)); err == nil {
		t.Logf("the console loaded in %.0f ms", ms)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate("http://"+addr+"/#/qos")); err != nil {
		t.Fatal(err)
	}
	shows("Who runs in which class")
	shows("be-c")
	for _, text := range []string{"to be kept free", disk, "Best effort may", link, "Guaranteed", "Containers", "What this node uses, and why", "core scheduling"} {
		shows(text)
	}
	if s := wrong.text(); s != "" {
		t.Errorf("the console complained:\n%s", s)
	}
}

// complaints collects what a page reports to the developer's console.
type complaints struct {
	mu    sync.Mutex
	b     strings.Builder
	moved bool // the browser gave up loading, as an interface of the node came or went
}

// again says whether the page has to be loaded again since the last time.
func (c *complaints) again() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.moved
	c.moved = false
	return was
}

func (c *complaints) hear(ev any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		fmt.Fprintf(&c.b, "exception: %s at %s:%d\n", ev.ExceptionDetails.Text, ev.ExceptionDetails.URL, ev.ExceptionDetails.LineNumber)
	case *log.EventEntryAdded:
		switch {
		case strings.Contains(ev.Entry.Text, "net::ERR_NETWORK_CHANGED"):
			c.moved = true
		case ev.Entry.Level == log.EntryLevelError:
			fmt.Fprintf(&c.b, "%s %s\n", ev.Entry.Text, ev.Entry.URL)
		}
	}
}

func (c *complaints) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}
