package l7

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

func TestTemplate(t *testing.T) {
	for target, want := range map[string]string{
		"/":                 "/",
		"":                  "",
		"a/b":               "",
		"?a=b":              "",
		"/?a=b":             "/",
		"/a/b/":             "/a/b/",
		"//a///b":           "/a/b",
		"/a#b?c":            "/a",
		"/a?b#c":            "/a",
		"/api/v1/users":     "/api/v1/users",
		"/api/v1/users/42":  "/api/v1/users/{id}",
		"/users/42/posts/7": "/users/{id}/posts/{id}",
		"/o/123e4567-e89b-12d3-a456-426614174000/x": "/o/{id}/x", // RFC 9562 §4
		"/o/deadbeef":                      "/o/{id}",
		"/o/DEADBEEF12":                    "/o/{id}",
		"/o/decade/facade":                 "/o/decade/facade",
		"/app.3f2a1b9c.js":                 "/{id}",
		"/app.min.js":                      "/app.min.js",
		"/jquery-3.6.0.min.js":             "/jquery-3.6.0.min.js",
		"/order-12345":                     "/{id}",
		"/2024-05-01/log":                  "/{id}/log",
		"/sha256/base64/oauth2":            "/sha256/base64/oauth2",
		"/dGhlIHNhbXBsZSBub25jZQ":          "/{id}",
		"/qRzTbWkXvPmLsNdGhJyC":            "/{id}",
		"/getUserAccountBalanceHistory":    "/getUserAccountBalanceHistory",
		"/01ARZ3NDEKTSV4RRFFQ69G5FAV":      "/{id}", // a ULID
		"/" + strings.Repeat("long", 9):    "/{id}",
		"/a%2Fb/c":                         "/{id}/c",
		"/mail/joe@example.com":            "/mail/{id}",
		"/a;jsessionid=1A530637289A03B0/b": "/a/b",
		"/;a/b/;c":                         "/b/",
		"/v1/books:batch":                  "/v1/books:batch",
		"/caf\xc3\xa9/\xff\x00":            "/{id}/{id}",
		"/a b":                             "/{id}",
		"/a=b&c":                           "/{id}",
		"/a/b/c/d/e/f/g/h/i/j":             "/a/b/c/d/e/f/g/h/*",
		"/a/b/c/d/e/f/g/h/":                "/a/b/c/d/e/f/g/h/*",
		"/a/b/c/d/e/f/g/h":                 "/a/b/c/d/e/f/g/h",
		strings.Repeat("/thirty-characters-of-a-segment", 5): strings.Repeat("/thirty-characters-of-a-segment", 3) + "/*",
		"http://h":             "/",
		"http://h/":            "/",
		"http://u:p@h/a/1?b=c": "/a/{id}",
		"*":                    "*",
	} {
		if got := string(template(nil, []byte("GET"), []byte(target), false)); got != want {
			t.Errorf("%q: %q, want %q", target, got, want)
		}
	}
	for target, want := range map[string]string{"/": "/*", "/a/b": "/a/*", "/a/b?c": "/a/b", "http://h/a": "/*", "http://h": "/*"} {
		if got := string(template(nil, []byte("GET"), []byte(target), true)); got != want {
			t.Errorf("%q, cut: %q, want %q", target, got, want)
		}
	}
}

// Many at once learn no more than there is room for, and each is one string.
func TestRoutes(t *testing.T) {
	r := Routes{Max: 10}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for i := range 40 {
				want := fmt.Sprintf("/%d", i)
				if got := r.name([]byte(want), true); got != want && got != Other {
					t.Errorf("%q for %q", got, want)
				}
			}
		})
	}
	wait.Wait()
	if r.Len() != 10 {
		t.Error(r.Len())
	}
	known := 0
	for i := range 40 {
		if r.name(fmt.Appendf(nil, "/%d", i), true) != Other {
			known++
		}
	}
	if known != 10 {
		t.Error(known)
	}
	var zero Routes
	for i := range 2 * DefaultRoutes {
		zero.name(fmt.Appendf(nil, "/%d", i), true)
	}
	if zero.Len() != DefaultRoutes {
		t.Error(zero.Len())
	}
}

// What the server does not know takes no place of what it does.
func TestStrayRoutes(t *testing.T) {
	o := &Options{Routes: &Routes{Max: 2}}
	route := func(path, status string) string {
		h, _ := Parse(o, 80, []byte("GET "+path+" HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 "+status+" x\r\n"))
		return h.Route
	}
	for i := range 10 {
		if got := route(fmt.Sprintf("/admin%c.php", 'a'+i), "404"); got != Other {
			t.Error(got)
		}
	}
	if a, b, again, c := route("/a", "200"), route("/b", "500"), route("/a", "404"), route("/c", "200"); a != "/a" || b != "/b" || again != "/a" || c != Other {
		t.Error(a, b, again, c)
	}
	o = &Options{Level: Statements, Routes: &Routes{Max: 1}}
	for _, want := range []string{"SELECT ?", Other, "SELECT ?"} {
		text := map[string]string{"SELECT ?": "SELECT 1", Other: "SELECT a"}[want]
		if h, _ := ParseAs(o, MySQL, mysqlQuery(text), nil); h.Route != want {
			t.Errorf("%+v", h)
		}
	}
	if h, _ := ParseAs(o, Unknown, []byte("a"), nil); h != (tcprt.Hint{}) {
		t.Error(h)
	}
}
