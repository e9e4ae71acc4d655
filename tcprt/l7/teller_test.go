package l7

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

func served(port uint16) tcprt.Record {
	return tcprt.Record{Role: tcprt.Server, Local: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Remote: netip.MustParseAddrPort("10.0.0.1:40000")}
}

// A Teller names what a turn alone leaves open by what the service spoke before, and
// keeps services apart.
func TestTeller(t *testing.T) {
	var teller Teller
	tell := func(port uint16, request, answer string) tcprt.Record {
		r := served(port)
		teller.Hints(&r, []byte(request), []byte(answer))
		return r
	}
	if r := tell(9000, "GET /users/17 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"); r.Hint != (tcprt.Hint{Protocol: "http", Method: "GET", Route: "/users/{id}", Status: "200"}) {
		t.Errorf("%+v", r.Hint)
	}
	if r := tell(9000, "\x00\x01", "HTTP/1.1 400 Bad Request\r\n\r\n"); r.Hint.Protocol != "http" || r.Hint.Status != "400" {
		t.Errorf("%+v", r.Hint)
	}
	if r := tell(9001, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", "$1\r\nv\r\n"); r.Hint.Protocol != "redis" || r.Hint.Method != http.MethodGet {
		t.Errorf("%+v", r.Hint)
	}
	if r := tell(9000, "POST /x HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"); r.Flags&tcprt.Continued == 0 {
		t.Errorf("%+v", r)
	}
	if r := tell(9002, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", ""); r.Flags&(tcprt.TLS|tcprt.Handshake) != tcprt.TLS|tcprt.Handshake {
		t.Errorf("%+v", r)
	}
	if r := tell(9001, strings.Repeat("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 4), "$1\r\nv\r\n"); r.Hint.Requests != 4 || r.Hint.Method != http.MethodGet {
		t.Errorf("%+v", r.Hint)
	}
	if r := tell(9003, "", ""); r.Hint != (tcprt.Hint{}) {
		t.Errorf("%+v", r.Hint)
	}
}

// However many services and routes there are, a Teller stays small.
func TestTellerIsBounded(t *testing.T) {
	teller := Teller{MaxRoutes: 5}
	routes := map[string]bool{}
	for i := range 3 * maxServices {
		r := served(uint16(1 + i))
		if i > 2*maxServices {
			r = served(80)
		}
		teller.Hints(&r, fmt.Appendf(nil, "GET /%c/list HTTP/1.1\r\n\r\n", 'a'+i%26), []byte("HTTP/1.1 200 OK\r\n\r\n"))
		if i > 2*maxServices {
			routes[r.Hint.Route] = true
		}
	}
	if n := len(teller.services); n == 0 || n > maxServices || len(routes) > 6 || !routes[Other] {
		t.Errorf("%d services, routes %v", len(teller.services), routes)
	}
}
