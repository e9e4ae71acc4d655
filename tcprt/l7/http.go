package l7

import (
	"bytes"

	"github.com/anole-os/anole/tcprt"
)

// methods are those of RFC 9110 §9.3 and RFC 5789.
var methods = [...]string{"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"}

// knownMethod gives one of methods, or Other.
func knownMethod(b []byte) string {
	for _, m := range methods {
		if string(b) == m {
			return m
		}
	}
	return Other
}

// requestLine is RFC 9112 §3.
type requestLine struct {
	method, target []byte
	whole          bool // the line is all there
	cut            bool // the target is not all there
	rest           []byte
}

// readRequestLine says whether b begins with one, or with the beginning of one.
func readRequestLine(b []byte) (l requestLine, good bool) {
	b = bytes.TrimPrefix(b, []byte("\r\n")) // RFC 9112 §2.2
	n := bytes.IndexByte(b[:min(len(b), MaxMethod)], ' ')
	if n <= 0 || !token(b[:n]) {
		return l, false
	}
	l.method, b = b[:n], b[n+1:]
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		l.target, _, l.whole = bytes.Cut(b, []byte(" "))
		l.cut, l.whole = !l.whole, false
		return l, knownMethod(l.method) != Other && targetLike(l.method, l.target)
	}
	l.rest = b[end+1:]
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	n = bytes.LastIndexByte(line, ' ')
	if n <= 0 || !http1(line[n+1:]) {
		return l, false
	}
	l.target, l.whole = line[:n], true
	return l, true
}

// http1 is the HTTP-version of RFC 9112 §2.3.
func http1(b []byte) bool {
	return len(b) == 8 && string(b[:7]) == "HTTP/1." && digit(b[7])
}

// targetLike looks for one of the forms of RFC 9112 §3.2.
func targetLike(method, b []byte) bool {
	switch {
	case len(b) == 0:
		return false
	case b[0] == '/', string(b) == "*", string(method) == "CONNECT":
		return true
	}
	return bytes.HasPrefix(b, []byte("http://")) || bytes.HasPrefix(b, []byte("https://"))
}

// token is that of RFC 9110 §5.6.2, as methods have it.
func token(b []byte) bool {
	for _, c := range b {
		if !letter(c) && !digit(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func fitHTTPRequest(b []byte) score {
	l, good := readRequestLine(b)
	switch {
	case !good:
		return unfit
	case l.whole:
		return certain
	}
	return sure
}

func fitHTTPAnswer(b []byte) score {
	const version = "HTTP/1."
	switch n := min(len(b), len(version)); {
	case string(b[:n]) != version[:n]:
		return unfit
	case n < len(version):
		return likely
	}
	if _, _, good := readStatus(b); !good && len(b) >= 12 {
		return unfit
	}
	return sure
}

// readStatus reads the status-line of RFC 9112 §4, "HTTP/1.1 200"; good only when
// the code is all there.
func readStatus(b []byte) (code int, rest []byte, good bool) {
	if len(b) < 12 || !http1(b[:8]) || b[8] != ' ' || !digit(b[9]) || !digit(b[10]) || !digit(b[11]) || len(b) > 12 && digit(b[12]) {
		return 0, nil, false
	}
	return int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0'), b[12:], true
}

func parseHTTP(h *tcprt.Hint, o *Options, request, answer []byte) (f tcprt.Flags) {
	code, final := finalStatus(answer)
	if code == 100 && !final {
		f |= tcprt.Continued
	}
	h.Status = statusName(code)
	l, good := readRequestLine(request)
	if !good {
		return f
	}
	h.Method = knownMethod(l.method)
	var room [MaxRoute]byte
	h.Route = o.route(template(room[:0], l.method, l.target, l.cut), code != 0 && !stray(code))
	if l.whole {
		h.Traceparent = string(findTraceparent(l.rest))
	}
	return f
}

// finalStatus skips interim answers (RFC 9110 §15.2) where what follows them is
// seen. 101 is final: it ends HTTP.
func finalStatus(b []byte) (code int, final bool) {
	for {
		next, rest, good := readStatus(b)
		if !good {
			return code, false
		}
		if code = next; code >= 200 || code == 101 {
			return code, true
		}
		end := bytes.Index(rest, []byte("\r\n\r\n"))
		if end < 0 {
			return code, false
		}
		b = rest[end+4:]
	}
}

// stray are answers to requests for what the server does not have: what scanners
// ask for must not use up the routes.
func stray(code int) bool {
	switch code {
	case 400, 404, 405, 410, 414, 421, 501:
		return true
	}
	return false
}

// statusNames has "100" to "599" (RFC 9110 §15).
var statusNames = func() (all [500]string) {
	for i := range all {
		code := i + 100
		all[i] = string([]byte{'0' + byte(code/100), '0' + byte(code/10%10), '0' + byte(code%10)})
	}
	return all
}()

func statusName(code int) string {
	switch {
	case code == 0:
		return ""
	case code < 100 || code >= 600:
		return Other
	}
	return statusNames[code-100]
}

// countHTTP sees those of a pipeline that have no body (RFC 9112 §9.3.2).
func countHTTP(b []byte) (n int) {
	for {
		if l, good := readRequestLine(b); !good || n > 0 && knownMethod(l.method) == Other {
			return n
		}
		n++
		end := bytes.Index(b, []byte("\r\n\r\n"))
		if end < 0 || end+4 >= len(b) {
			return n
		}
		b = b[end+4:]
	}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
