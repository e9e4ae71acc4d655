package web

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func get(h http.Handler, path string, header ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "http://node/", nil)
	r.URL.Path = path // as sent, uncleaned
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func testPanels() []Panel {
	return []Panel{
		{ID: "late", Title: "Late", Order: 20, FS: fstest.MapFS{"panel.js": {Data: []byte("export function mount() {}")}}},
		{ID: "b", Title: "B", Order: 10, FS: fstest.MapFS{"panel.js": {Data: []byte("//b")}, "sub/x.css": {Data: []byte("b{}")}}},
		{ID: "a", Title: "A", Order: 10},
	}
}

func TestEveryFileHasItsType(t *testing.T) {
	h := Handler(testPanels())
	for path, want := range map[string]string{
		"/": "text/html; charset=utf-8", "/static/js/app.js": "text/javascript; charset=utf-8",
		"/static/css/shell.css": "text/css; charset=utf-8", "/static/anole.svg": "image/svg+xml",
		"/static/vendor/uplot/LICENSE": "text/plain; charset=utf-8", "/panels.json": "application/json",
		"/panels/b/panel.js": "text/javascript; charset=utf-8", "/panels/b/sub/x.css": "text/css; charset=utf-8",
	} {
		res := get(h, path)
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != want {
			t.Errorf("%s: %d %q, want 200 %q", path, res.StatusCode, res.Header.Get("Content-Type"), want)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the browser may guess the type", path)
		}
	}
}

func TestUnknownIsNotFoundAndOutsideIsUnreachable(t *testing.T) {
	h := Handler(append(testPanels(), Panel{ID: "dir", FS: os.DirFS("static")}))
	for _, path := range []string{
		"/nothing", "/index.html", "/static/index.html", "/static/", "/static", "/panels/", "/panels/none/panel.js", "/panels/a/panel.js", "/panels/b/", "/api/v1/status",
		"/static/../handler.go", "/panels/b/../late/panel.js", "/panels/dir/../handler.go", "/panels/dir/../../go.mod", "/static/%2e%2e/handler.go",
		"//static/js/app.js", "/static//js/app.js", "/static/js/app.js/", "/panels/dir/./anole.svg", "/static\\js\\app.js", "", "static/js/app.js", "/static/js/app.js\x00",
	} {
		if res := get(h, path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%q: %d, want 404", path, res.StatusCode)
		}
	}
	if res := get(h, "/panels/dir/anole.svg"); res.StatusCode != http.StatusOK {
		t.Errorf("a file of the same panel: %d", res.StatusCode)
	}
}

func TestTagSparesTheBody(t *testing.T) {
	h := Handler(testPanels())
	plain := get(h, "/static/js/app.js")
	zipped := get(h, "/static/js/app.js", "Accept-Encoding", "br, gzip")
	pt, zt := plain.Header.Get("ETag"), zipped.Header.Get("ETag")
	if pt == "" || zt == "" || pt == zt {
		t.Fatalf("tags %q and %q: want two different ones", pt, zt)
	}
	for _, c := range []struct {
		have, accept string
		code         int
	}{{pt, "", 304}, {zt, "gzip", 304}, {"W/" + pt, "", 304}, {`"x", ` + pt, "", 304}, {"*", "", 304}, {`"x"`, "", 200}, {zt, "", 200}} {
		res := get(h, "/static/js/app.js", "If-None-Match", c.have, "Accept-Encoding", c.accept)
		if res.StatusCode != c.code {
			t.Errorf("If-None-Match %s, Accept-Encoding %q: %d, want %d", c.have, c.accept, res.StatusCode, c.code)
		}
		if c.code == 304 && body(t, res) != "" {
			t.Error("304 with a body")
		}
	}
	other := Handler([]Panel{{ID: "b", FS: fstest.MapFS{"panel.js": {Data: []byte("//new")}}}})
	if get(h, "/panels/b/panel.js").Header.Get("ETag") == get(other, "/panels/b/panel.js").Header.Get("ETag") {
		t.Error("other content, same tag")
	}
}

func TestGzipIsTheSameFile(t *testing.T) {
	h := Handler(nil)
	want := body(t, get(h, "/static/js/kit.js"))
	res := get(h, "/static/js/kit.js", "Accept-Encoding", "gzip;q=0.5")
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") != "Accept-Encoding" {
		t.Fatalf("headers %v", res.Header)
	}
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil || string(got) != want {
		t.Errorf("unpacked %d bytes (%v), want the %d of the file", len(got), err, len(want))
	}
	for _, refuse := range []string{"gzip;q=0", "identity", "br"} {
		if res := get(h, "/static/js/kit.js", "Accept-Encoding", refuse); res.Header.Get("Content-Encoding") != "" {
			t.Errorf("Accept-Encoding %q: packed all the same", refuse)
		}
	}
}

func TestPolicyIsOnEveryAnswer(t *testing.T) {
	h := Handler(nil)
	for _, path := range []string{"/", "/nothing", "/static/js/app.js"} {
		policy := get(h, path).Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
	}
}

func TestOnlyReading(t *testing.T) {
	w := httptest.NewRecorder()
	Handler(nil).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	w = httptest.NewRecorder()
	Handler(nil).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %d bytes, length %q", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
}

func TestPanelsAreListedInOrder(t *testing.T) {
	var got struct{ Panels []struct{ ID, Title string } }
	if err := json.Unmarshal([]byte(body(t, get(Handler(testPanels()), "/panels.json"))), &got); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, p := range got.Panels {
		ids = append(ids, p.ID)
	}
	if s := strings.Join(ids, " "); s != "a b late" {
		t.Errorf("order %q, want %q", s, "a b late")
	}
	if s := body(t, get(Handler(nil), "/panels.json")); s != `{"panels":[]}` {
		t.Errorf("no panels: %s", s)
	}
}

// brokenFS cannot be read.
type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, errors.New("no") }

func TestUnreadablePanelLeavesTheOthers(t *testing.T) {
	h := Handler(append(testPanels(), Panel{ID: "broken", FS: brokenFS{}}))
	if c := get(h, "/panels/broken/panel.js").StatusCode; c != http.StatusNotFound {
		t.Errorf("broken panel: %d", c)
	}
	if c := get(h, "/panels/b/panel.js").StatusCode; c != http.StatusOK {
		t.Errorf("its neighbour: %d", c)
	}
}

// TestNothingPointsElsewhere reads every file that a browser loads: an address
// of another host would be refused by the policy, so none may be written.
func TestNothingPointsElsewhere(t *testing.T) {
	foreign := regexp.MustCompile(`(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}`)
	for _, from := range []fs.FS{static, os.DirFS("../qos/module/panel")} {
		err := fs.WalkDir(from, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasPrefix(p, "static/vendor/") {
				return err
			}
			b, err := fs.ReadFile(from, p)
			if err != nil {
				return err
			}
			for _, u := range foreign.FindAllString(string(b), -1) {
				if u != "http://www.w3" && !strings.HasPrefix(u, "http://www.w3.org") { // a name space, never asked for
					t.Errorf("%s: %s", p, u)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPreloadsExist keeps index.html and the files in step.
func TestPreloadsExist(t *testing.T) {
	h := Handler(nil)
	for _, m := range regexp.MustCompile(`(?:href|src)="(/static/[^"#]+)`).FindAllStringSubmatch(body(t, get(h, "/")), -1) {
		if c := get(h, m[1]).StatusCode; c != http.StatusOK {
			t.Errorf("%s: %d", m[1], c)
		}
	}
}
