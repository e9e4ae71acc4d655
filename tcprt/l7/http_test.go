package l7

import (
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// one is a request, its answer, and what they must tell.
type one struct {
	name            string
	request, answer string
	want            tcprt.Hint
	flags           tcprt.Flags
	count           int
}

// check parses each as what it is, and again as what it is found to be.
func check(t *testing.T, o *Options, p Protocol, all []one) {
	t.Helper()
	for _, c := range all {
		c.want.Protocol = p.String()
		h, f := ParseAs(o, p, []byte(c.request), []byte(c.answer))
		if h != c.want || f != c.flags {
			t.Errorf("%s:\n got %+v %v\nwant %+v %v", c.name, h, f, c.want, c.flags)
		}
		if n := Count(p, []byte(c.request)); n != c.count {
			t.Errorf("%s: %d requests, want %d", c.name, n, c.count)
		}
		port := map[Protocol]uint16{MySQL: 3306, PostgreSQL: 5432, Redis: 6379}[p]
		if h, _ := Parse(o, port, []byte(c.request), []byte(c.answer)); h != c.want {
			t.Errorf("%s: taken for %+v", c.name, h)
		}
	}
}

const traceID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" // Trace Context §3.2

func TestHTTP(t *testing.T) {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n" }
	check(t, nil, HTTP, []one{
		// RFC 9112 §2.1, RFC 9110 §3.9.
		{"get", "GET /hello.txt HTTP/1.1\r\nUser-Agent: curl/7.64.1\r\nHost: www.example.com\r\nAccept-Language: en, mi\r\n\r\n",
			"HTTP/1.1 200 OK\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\nServer: Apache\r\nContent-Length: 51\r\n\r\nHello World!",
			tcprt.Hint{Method: "GET", Route: "/hello.txt", Status: "200"}, 0, 1},
		{"a line before it (RFC 9112 §2.2)", "\r\n" + get("/"), "HTTP/1.0 404 Not Found\r\n", tcprt.Hint{Method: "GET", Route: "/", Status: "404"}, 0, 1},
		{"a bare line feed (RFC 9112 §2.2)", "HEAD /a HTTP/1.0\n\n", "HTTP/1.1 204\r\n\r\n", tcprt.Hint{Method: "HEAD", Route: "/a", Status: "204"}, 0, 1},
		{"absolute-form (§3.2.2)", get("http://user:word@www.example.org:8080/pub/WWW/TheProject.html"), "", tcprt.Hint{Method: "GET", Route: "/pub/WWW/TheProject.html"}, 0, 1},
		{"absolute-form without a path", get("https://www.example.org?q=1"), "", tcprt.Hint{Method: "GET", Route: "/"}, 0, 1},
		{"authority-form (§3.2.3)", "CONNECT www.example.com:80 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 Connection established\r\n\r\n", tcprt.Hint{Method: "CONNECT", Status: "200"}, 0, 1},
		{"asterisk-form (§3.2.4)", "OPTIONS * HTTP/1.1\r\n\r\n", "", tcprt.Hint{Method: "OPTIONS", Route: "*"}, 0, 1},
		{"a method of WebDAV", "PROPFIND /dav HTTP/1.1\r\n\r\n", "HTTP/1.1 207 Multi-Status\r\n", tcprt.Hint{Method: Other, Route: "/dav", Status: "207"}, 0, 1},
		{"the target is cut", "GET /v1/orders/12", "", tcprt.Hint{Method: "GET", Route: "/v1/orders/*"}, 0, 1},
		{"the query is cut", "GET /v1/orders?token=", "", tcprt.Hint{Method: "GET", Route: "/v1/orders"}, 0, 1},
		{"the answer is cut", get("/a"), "HTTP/1.1 2", tcprt.Hint{Method: "GET", Route: "/a"}, 0, 1},
		{"no such status (RFC 9110 §15)", get("/a"), "HTTP/1.1 999 Denied\r\n", tcprt.Hint{Method: "GET", Route: "/a", Status: Other}, 0, 1},
		{"an answer alone", "", "HTTP/1.1 503 Service Unavailable\r\n", tcprt.Hint{Status: "503"}, 0, 0},
		// RFC 9110 §10.1.1.
		{"expects to go on", "PUT /somewhere/fun HTTP/1.1\r\nHost: origin.example.com\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
			tcprt.Hint{Method: "PUT", Route: "/somewhere/fun", Status: "100"}, tcprt.Continued, 1},
		{"did not wait for it", "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\n\r\nbody", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n",
			tcprt.Hint{Method: "PUT", Route: "/a", Status: "201"}, 0, 1},
		{"early hints (RFC 8297 §2)", get("/a"), "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n", tcprt.Hint{Method: "GET", Route: "/a", Status: "200"}, 0, 1},
		// RFC 6455 §1.2.
		{"upgrade", "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05Hello", tcprt.Hint{Method: "GET", Route: "/chat", Status: "101"}, 0, 1},
		{"a pipeline (RFC 9112 §9.3.2)", get("/a") + get("/b") + get("/c"), "HTTP/1.1 200 OK\r\n", tcprt.Hint{Method: "GET", Route: "/a", Status: "200"}, 0, 3},
		{"a body is no request", "POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET it to", "", tcprt.Hint{Method: "POST", Route: "/a"}, 0, 1},
		{"a trace", "GET /a HTTP/1.1\r\nHost: b\r\nTraceParent: \t" + traceID + " \r\ntracestate: x=y\r\n\r\n", "", tcprt.Hint{Method: "GET", Route: "/a", Traceparent: traceID}, 0, 1},
	})
	if h, _ := Parse(nil, 80, []byte("GET /a HTTP/2.0\r\n\r\n"), nil); h != (tcprt.Hint{}) {
		t.Error(h)
	}
}

// Trace Context §3.2 and W3C's validation suite.
func TestTraceparent(t *testing.T) {
	later := "cc" + traceID[2:]
	for _, c := range []struct{ lines, want string }{
		{"traceparent: " + traceID + "\r\n", traceID},
		{"traceparent:" + traceID + "\n", traceID},
		{"TRACEPARENT: " + traceID + "\r\n\r\n", traceID},
		{"a: b\r\ntraceparent: " + traceID + "\r\n", traceID},
		{"traceparent: " + later + "\r\n", later},
		{"traceparent: " + later + "-what-the-future-will-be-like\r\n", later},
		{"traceparent: " + later + ".what-the-future-will-be-like\r\n", ""},
		{"traceparent: " + traceID + "-00\r\n", ""},
		{"traceparent: ff" + traceID[2:] + "\r\n", ""},
		{"traceparent: " + strings.ToUpper(traceID) + "\r\n", ""},
		{"traceparent: " + strings.Replace(traceID, "0af7651916cd43dd8448eb211c80319c", strings.Repeat("0", 32), 1) + "\r\n", ""},
		{"traceparent: " + strings.Replace(traceID, "b7ad6b7169203331", strings.Repeat("0", 16), 1) + "\r\n", ""},
		{"traceparent: " + traceID[:54] + ".\r\n", ""},
		{"traceparent: " + traceID, ""}, // cut
		{"traceparent: " + traceID[:30] + "\r\n", ""},
		{"traceparent: " + traceID + "\r\ntraceparent: " + traceID + "\r\n", ""},
		{"traceparents: " + traceID + "\r\n", ""},
		{"trace-parent: " + traceID + "\r\n", ""},
		{"\r\ntraceparent: " + traceID + "\r\n", ""}, // in the body
		{"a: b\r\n traceparent: " + traceID + "\r\n", ""},
	} {
		if got := string(findTraceparent([]byte(c.lines))); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}
