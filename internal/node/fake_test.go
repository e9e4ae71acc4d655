package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

// trace collects what fake modules were asked to do, in order.
type trace struct {
	mu  sync.Mutex
	did []string
}

func (t *trace) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.did = append(t.did, fmt.Sprintf(format, args...))
}

// take gives what happened since the last call.
func (t *trace) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.did
	t.did = nil
	return out
}

type fakeConfig struct {
	Value     int    `yaml:"value" doc:"a value"`
	FailStart bool   `yaml:"failStart"`
	FailTake  bool   `yaml:"failTake"`
	Refuse    string `yaml:"refuse"`
}

// fake is a module whose every step can be made to go wrong.
type fake struct {
	name  string
	t     *trace
	c     fakeConfig
	start func(context.Context) error
	stop  func(context.Context) error
	host  *core.Host
}

func (f *fake) Config() any { return &f.c }

func (f *fake) Provision(h *core.Host) error {
	f.host = h
	if f.c.Refuse != "" {
		return errors.New(f.c.Refuse)
	}
	return nil
}

func (f *fake) Start(ctx context.Context) error {
	if f.c.FailStart {
		f.t.add("start %s fails", f.name)
		return errors.New("no luck")
	}
	f.t.add("start %s %d", f.name, f.c.Value)
	if f.start != nil {
		return f.start(ctx)
	}
	return nil
}

func (f *fake) Stop(ctx context.Context) error {
	f.t.add("stop %s", f.name)
	if f.stop != nil {
		return f.stop(ctx)
	}
	return nil
}

// agile is a fake that takes a new configuration without a restart.
type agile struct{ fake }

func (a *agile) Reconfigure(_ context.Context, next any) error {
	c := next.(*fakeConfig)
	if c.FailTake {
		a.t.add("reconfigure %s fails", a.name)
		return errors.New("not that one")
	}
	a.c = *c
	a.t.add("reconfigure %s %d", a.name, c.Value)
	return nil
}

// rich is a fake with every optional interface that speaks to the world.
type rich struct{ fake }

func (r *rich) Status() core.Status {
	return core.Status{State: core.Degraded, Summary: "half of it works", Detail: map[string]int{"value": r.c.Value}}
}

func (r *rich) Probes() []*feature.Probe {
	return []*feature.Probe{
		feature.NewProbe(r.name, "air", "breathes", func() (string, error) { return "fresh", nil }),
		feature.NewProbe(r.name, "wings", "flies", func() (string, error) {
			return "", &feature.UnsupportedError{Feature: "wings", Reason: feature.NoHardware, Need: "wings", Fix: "grow some"}
		}),
		feature.NewProbe(r.name, "mood", "is happy", func() (string, error) { return "", errors.New("it will not say") }),
	}
}

var descFake = &core.Desc{Name: "anole_rich_value", Help: "The configured value.", Kind: core.Gauge, Labels: []string{"who"}}

func (r *rich) Collect(emit func(core.Metric)) {
	emit(core.Metric{Desc: descFake, Values: []string{"me"}, Value: float64(r.c.Value)})
}

func (r *rich) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/rich/hello", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) })
	mux.HandleFunc("POST /api/v1/rich/do", func(w http.ResponseWriter, _ *http.Request) { r.t.add("done") })
}

func (r *rich) Panel() core.Panel { return core.Panel{ID: r.name, Title: "Rich"} }

func (r *rich) Revert(context.Context) error { r.t.add("revert %s", r.name); return nil }

func info(name string, m func() core.Module, after ...string) core.Info {
	return core.Info{Name: name, Doc: "a fake", After: after, New: m}
}

func plain(t *trace, name string, after ...string) core.Info {
	return info(name, func() core.Module { return &fake{name: name, t: t} }, after...)
}

func registry(t *testing.T, infos ...core.Info) *core.Registry {
	t.Helper()
	r := &core.Registry{}
	for _, i := range infos {
		if err := r.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

const quiet = "version: 1\nagent: {console: {enabled: false}, history: {enabled: false}}\n"

func options(t *testing.T, r *core.Registry, config string) Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "anole") // t.TempDir is too long for a unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	opt := Options{
		Registry: r, Config: filepath.Join(dir, "etc", "anole.yaml"), StateDir: filepath.Join(dir, "lib"), RunDir: filepath.Join(dir, "run"),
		Log: &testkit.Buffer{}, Version: "test", Debounce: 20 * time.Millisecond, Required: true,
		Undo: func(*journal.Entry) error { return nil },
	}
	write(t, opt.Config, config)
	return opt
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// agent is a running node.
type agent struct {
	*Node
	t    *testing.T
	stop context.CancelFunc
	end  chan error
	once sync.Once
	err  error
}

// run brings a node up and fails the test if it does not become ready.
func run(t *testing.T, opt Options) *agent {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	a := &agent{Node: New(opt), t: t, stop: stop, end: make(chan error, 1)}
	go func() { a.end <- a.Run(ctx) }()
	select {
	case <-a.Ready():
	case err := <-a.end:
		t.Fatalf("the agent ended: %v\n%s", err, opt.Log)
	case <-time.After(time.Minute):
		t.Fatalf("the agent is not ready\n%s", opt.Log)
	}
	t.Cleanup(func() { _ = a.finish() })
	return a
}

func (a *agent) finish() error {
	a.once.Do(func() {
		a.stop()
		select {
		case a.err = <-a.end:
		case <-time.After(time.Minute):
			a.t.Error("the agent does not end")
		}
	})
	return a.err
}

// client speaks over the agent's socket.
func (a *agent) client() *http.Client {
	path := filepath.Join(a.opt.RunDir, SocketName)
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}, DisableKeepAlives: true}}
}

func wantTrace(t *testing.T, tr *trace, want ...string) {
	t.Helper()
	if got := tr.take(); !slices.Equal(got, want) {
		t.Fatalf("modules did\n %q\nwant\n %q", got, want)
	}
}

// eventually polls until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("did not happen: %s", what)
}

func stateOf(st api.Status, name string) core.State {
	for _, m := range st.Modules {
		if m.Name == name {
			return m.State
		}
	}
	return ""
}
