package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// patience is how long a page may take to show something; it only matters when
// it is broken.
const patience = 60 * time.Second

// tab is a page of a real browser that collects what goes wrong in it.
type tab struct {
	*testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
	hosts    map[string]bool // asked for
	urls     map[network.RequestID]string
	files    float64 // bytes of the console's own files, as encoded on the wire
	data     float64 // bytes of the API's answers
}

// needChromium skips without a browser, with the reason in feature's terms.
func needChromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testkit.Need(t, &feature.UnsupportedError{Feature: "console test", Reason: feature.NoPeer, Need: "Chromium", Fix: "Install the package chromium"})
	return ""
}

// browser is one Chromium for all tests; each gets a profile of its own in it.
var browser struct {
	sync.Mutex
	ctx context.Context
	end func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.ctx != nil {
		_ = chromedp.Cancel(browser.ctx) // waits for it to leave its directory
		browser.end()
	}
	os.Exit(code)
}

func startBrowser(t *testing.T, path string) context.Context {
	browser.Lock()
	defer browser.Unlock()
	if browser.ctx != nil {
		return browser.ctx
	}
	opts := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	alloc, endAlloc := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, end := chromedp.NewContext(alloc)
	if err := chromedp.Do(ctx); err != nil { // starts it
		t.Fatal(err)
	}
	browser.ctx = ctx
	browser.end = func() {
		end()
		endAlloc()
	}
	return ctx
}

func openTab(t *testing.T, width, height int64, scheme string) *tab {
	ctx, endTime := context.WithTimeout(startBrowser(t, needChromium(t)), 4*patience)
	p := &tab{T: t, hosts: map[string]bool{}, urls: map[network.RequestID]string{}}
	var end context.CancelFunc
	p.ctx, end = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(func() {
		end()
		endTime()
	})
	p.do(chromedp.EmulateViewport(width, height))
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(p.ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return p
}

// hear notes errors, exceptions, violations of the policy and failed requests.
func (p *tab) hear(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := func(format string, args ...any) { p.problems = append(p.problems, fmt.Sprintf(format, args...)) }
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		d := ev.ExceptionDetails
		if note("exception: %s at %s:%d", d.Text, d.URL, d.LineNumber); d.Exception != nil {
			note("exception: %s", d.Exception.Description)
		}
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			for _, a := range ev.Args {
				note("console.%s: %s %s", ev.Type, a.Value, a.Description)
			}
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			note("log: %s %s", ev.Entry.Text, ev.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.urls[ev.RequestID] = ev.Request.URL
		p.hosts[strings.SplitN(ev.Request.URL, "/", 4)[2]] = true
	case *network.EventResponseReceived:
		if ev.Response.Status >= 400 {
			note("%d from %s", ev.Response.Status, ev.Response.URL)
		}
	case *network.EventLoadingFailed:
		if !ev.Canceled { // a page that moves on cancels what it asked for
			note("request %s", ev.ErrorText)
		}
	case *network.EventLoadingFinished:
		if strings.Contains(p.urls[ev.RequestID], "/api/") {
			p.data += ev.EncodedDataLength
		} else {
			p.files += ev.EncodedDataLength
		}
	}
}

// forgive forgets problems that contain one of the words, and keeps the rest.
func (p *tab) forgive(words ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems = slices.DeleteFunc(p.problems, func(s string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s, w) })
	})
}

// clean fails the test if anything went wrong in the page so far.
func (p *tab) clean() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.problems {
		p.Errorf("the page complained: %s", s)
	}
	p.problems = nil
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.shot("failed")
		p.clean()
		p.Fatal(err)
	}
}

func (p *tab) open(url string) {
	p.Helper()
	p.do(chromedp.Navigate(url))
	p.until(`document.querySelector('main').getAttribute('aria-busy') === 'false'`)
}

// until waits for a JavaScript condition.
func (p *tab) until(condition string) {
	p.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`Boolean(`+condition+`)`))
		if err == nil && ok {
			return
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || time.Now().After(deadline) {
			p.shot("failed")
			p.clean()
			p.Fatalf("never true: %s (%v)", condition, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// click presses the element as a user would, at its place on the screen.
func (p *tab) click(selector string) {
	p.Helper()
	p.until(`document.querySelector(` + quote(selector) + `)`)
	p.do(chromedp.ScrollIntoView(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

func (p *tab) text(selector string) string {
	p.Helper()
	return eval[string](p, `document.querySelector(`+quote(selector)+`).innerText`)
}

// eval gives the value of a JavaScript expression.
func eval[T any](p *tab, js string) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js))
	if err != nil {
		p.Fatalf("evaluate %s: %v", js, err)
	}
	return v
}

// shot saves a picture below $ANOLE_CONSOLE_SHOTS, if that is set.
func (p *tab) shot(name string) {
	dir := os.Getenv("ANOLE_CONSOLE_SHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Logf("screenshot %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		p.Log(err)
	}
}

// quote writes s as a JavaScript string.
func quote(s string) string { return fmt.Sprintf("%q", s) }
