package node

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

func richInfo(tr *trace) core.Info {
	return info("rich", func() core.Module { return &rich{fake{name: "rich", t: tr}} })
}

const withConsole = "version: 1\nagent: {console: {listen: '127.0.0.1:0', names: [node.example]}, history: {enabled: false}}\nrich: {value: 42}\n"

// ask sends a request and gives status and body.
func ask(t *testing.T, c *http.Client, method, url, host string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func TestSocketAPI(t *testing.T) {
	tr := &trace{}
	a := unwatched(t, registry(t, richInfo(tr), plain(tr, "bare")), withConsole)
	fi, err := os.Stat(filepath.Join(a.opt.RunDir, SocketName))
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("socket %v, %v", fi.Mode(), err)
	}
	c := a.client()
	get := func(path string) (int, string) {
		code, body, _ := ask(t, c, "GET", "http://anole"+path, "")
		return code, body
	}
	_, body := get("/api/v1/status")
	var st api.Status
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		t.Fatal(err)
	}
	if st.State != core.Degraded || stateOf(st, "rich") != core.Degraded || stateOf(st, "bare") != core.Running || st.PID != os.Getpid() || st.ReadyIn <= 0 || st.Config.Generation != 1 {
		t.Errorf("status %s", body)
	}
	_, body = get("/api/v1/features")
	var fs struct{ Features []feature.Result }
	if err := json.Unmarshal([]byte(body), &fs); err != nil || len(fs.Features) != 3 || fs.Features[1].Reason != feature.NoHardware {
		t.Errorf("features %s, %v", body, err)
	}
	for _, q := range []struct {
		method, path string
		code         int
		want         string
	}{
		{"GET", "/api/v1/rich/hello", 200, "hello"},
		{"GET", "/api/v1/rich/nothing", 404, `"code":"not_found"`},
		{"GET", "/api/v1/rich/do", 405, `"code":"method"`},
		{"POST", "/api/v1/rich/do", 200, ""},
		{"GET", "/api/v1/bare/x", 404, `"code":"not_found"`},
		{"GET", "/api/v1/nobody", 404, `no route GET /api/v1/nobody`},
		{"GET", "/", 404, `"code":"not_found"`},
		{"GET", "/api/v1/reload", 405, `"code":"method"`},
		{"POST", "/api/v1/status", 405, `"code":"method"`},
		{"POST", "/api/v1/reload", 200, `"changed":[]`},
		{"GET", "/api/v1/query?query=up", 503, `"code":"history_off"`},
		{"GET", "/healthz", 200, `"state":"degraded"`},
		{"HEAD", "/api/v1/status", 200, ""},
	} {
		code, body, _ := ask(t, c, q.method, "http://anole"+q.path, "")
		if code != q.code || !strings.Contains(body, q.want) {
			t.Errorf("%s %s: %d %s; want %d %s", q.method, q.path, code, body, q.code, q.want)
		}
	}
	write(t, a.opt.Config, "version: 1\nrihc: {}\n")
	if code, body, _ := ask(t, c, "POST", "http://anole/api/v1/reload", ""); code != 422 || !strings.Contains(body, `did you mean \"rich\"`) {
		t.Errorf("bad reload: %d %s", code, body)
	}
	if code, _, _ := ask(t, c, "POST", "http://anole/api/v1/stop", ""); code != 202 {
		t.Errorf("stop: %d", code)
	}
	if err := <-a.end; err != nil {
		t.Error(err)
	}
	a.end <- nil // for the clean-up
}

func TestConsoleIsReadOnlyAndKnowsItsName(t *testing.T) {
	opt := options(t, registry(t, richInfo(&trace{})), withConsole)
	var panels []core.Panel
	opt.Web = func(p []core.Panel) http.Handler {
		panels = p
		return http.FileServerFS(fstest.MapFS{"index.html": {Data: []byte("<title>anole</title>")}})
	}
	a := run(t, opt)
	if len(panels) != 1 || panels[0].ID != "rich" {
		t.Errorf("panels %+v", panels)
	}
	addr := a.Status().Console.Address
	_, port, _ := net.SplitHostPort(addr)
	for _, q := range []struct {
		method, path, host string
		code               int
		want               string
	}{
		{"GET", "/", "", 200, "<title>anole"},
		{"GET", "/api/v1/status", "localhost:" + port, 200, `"version":"test"`},
		{"GET", "/api/v1/status", "[::1]:" + port, 200, ""},
		{"GET", "/api/v1/status", "LOCALHOST", 200, ""},
		{"GET", "/api/v1/status", "node.example:" + port, 200, ""},
		{"GET", "/metrics", "", 200, "anole_rich_value"},
		{"GET", "/api/v1/rich/hello", "", 200, "hello"},
		{"GET", "/api/v1/status", "evil.example", 403, `"code":"host"`},
		{"GET", "/", "evil.example:" + port, 403, `"code":"host"`},
		{"GET", "/", "127.0.0.1.evil.example", 403, `"code":"host"`},
		{"GET", "/", "10.0.0.1", 403, `"code":"host"`},
		{"POST", "/api/v1/stop", "", 403, `"code":"read_only"`},
		{"POST", "/api/v1/reload", "", 403, `"code":"read_only"`},
		{"POST", "/api/v1/rich/do", "", 403, `"code":"read_only"`},
		{"DELETE", "/api/v1/rich/hello", "", 403, `"code":"read_only"`},
		{"POST", "/api/v1/query?query=up", "", 503, `"code":"history_off"`}, // reads only, whatever the method
	} {
		code, body, h := ask(t, http.DefaultClient, q.method, "http://"+addr+q.path, q.host)
		if code != q.code || !strings.Contains(body, q.want) {
			t.Errorf("%s %s as %q: %d %.80s; want %d %s", q.method, q.path, q.host, code, body, q.code, q.want)
		}
		if h.Get("Content-Security-Policy") == "" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s: headers %v", q.method, q.path, h)
		}
	}
}

func TestPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	opt := options(t, registry(t), quiet)
	opt.Listen = ln.Addr().String()
	a := run(t, opt)
	st := a.Status()
	if st.State != core.Degraded || !strings.Contains(st.Console.Error, "the port is taken by process ") {
		t.Fatalf("console %+v, state %s", st.Console, st.State)
	}
	_ = ln.Close()
	a.console.retry(a.Node) // the main loop does so every ten seconds
	if st := a.Status(); st.State != core.Running || st.Console.Address != opt.Listen {
		t.Errorf("after the port was free: %+v, state %s", st.Console, st.State)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	opt := options(t, registry(t), quiet)
	if err := os.MkdirAll(opt.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(opt.RunDir, SocketName)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	a := run(t, opt)
	if code, _, _ := ask(t, a.client(), "GET", "http://anole/healthz", ""); code != 200 {
		t.Errorf("healthz %d", code)
	}
	if err := a.finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	write(t, path, "not a socket")
	if err := New(opt).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file in the way: %v", err)
	}
}

func TestMetricsAreClean(t *testing.T) {
	a := unwatched(t, registry(t, richInfo(&trace{})), withConsole)
	eventually(t, "probes are asked", func() bool { return len(a.Probed()) == 3 })
	problems, err := testutil.GatherAndLint(a.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	_, body, _ := ask(t, a.client(), "GET", "http://anole/metrics", "")
	for _, want := range []string{
		`anole_rich_value{who="me"} 42`, `anole_build_info{version="test"} 1`, `anole_module_state{module="rich",state="degraded"} 1`,
		`anole_feature_supported{feature="air",reason="",room="rich"} 1`, `anole_feature_supported{feature="wings",reason="no_hardware",room="rich"} 0`,
		`anole_feature_supported{feature="mood",reason="could_not_tell",room="rich"} 0`, `anole_config_reloads_total{result="ok"} 0`,
		"go_goroutines ", "process_open_fds ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
	cmd := exec.Command(testkit.NeedTool(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

func TestHistoryAnswersQueries(t *testing.T) {
	a := unwatched(t, registry(t, richInfo(&trace{})), "version: 1\nagent: {console: {enabled: false}, history: {interval: 100ms}}\nrich: {value: 42}\n")
	eventually(t, "the value is in the history", func() bool {
		_, body, _ := ask(t, a.client(), "GET", "http://anole/api/v1/query?query="+url.QueryEscape(`anole_rich_value{who="me"}`), "")
		return strings.Contains(body, `"42"`)
	})
	if h := a.Status().History; !h.Enabled || h.State != "ready" {
		t.Errorf("history %+v", h)
	}
}

func TestRevertOverTheAPI(t *testing.T) {
	tr := &trace{}
	opt := options(t, registry(t, richInfo(tr)), quiet)
	opt.Undo = func(e *journal.Entry) error {
		if e.Path == "/stuck" {
			return errors.New("device says no")
		}
		return nil
	}
	a := run(t, opt)
	tr.take()
	for _, p := range []string{"/one", "/stuck"} {
		if err := a.journal.Record(journal.Entry{Op: journal.OpWrite, Path: p}); err != nil {
			t.Fatal(err)
		}
	}
	_, body, _ := ask(t, a.client(), "POST", "http://anole/api/v1/revert", "")
	var rep api.Reverted
	if err := json.Unmarshal([]byte(body), &rep); err != nil || rep.Restored != 1 || len(rep.Failed) != 1 || rep.Stopped[0] != "rich" {
		t.Fatalf("report %s, %v", body, err)
	}
	wantTrace(t, tr, "stop rich")
	if err := <-a.end; err == nil {
		t.Error("the agent ended without saying what could not be put back")
	}
	a.end <- nil
	opt.Undo = func(*journal.Entry) error { return nil }
	rep, err := RevertOffline(t.Context(), opt)
	if err != nil || rep.Restored != 1 || len(rep.Failed) != 0 {
		t.Errorf("offline %+v, %v", rep, err)
	}
	wantTrace(t, tr, "revert rich")
}
