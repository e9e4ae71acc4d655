package l7

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/anole-os/anole/tcprt"
)

// bounded says what holds of any Hint.
func bounded(t *testing.T, h tcprt.Hint) {
	t.Helper()
	for _, f := range []struct {
		text string
		most int
	}{{h.Protocol, 10}, {h.Method, MaxMethod}, {h.Route, MaxRoute}, {h.Status, MaxStatus}, {h.Traceparent, 55}} {
		if len(f.text) > f.most || !utf8.ValidString(f.text) || strings.ContainsFunc(f.text, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("%+v", h)
		}
	}
	if h.Traceparent != "" && len(h.Traceparent) != 55 {
		t.Fatalf("%+v", h)
	}
}

// fuzz runs one protocol's parser on any bytes: whole and cut they tell something
// within bounds, twice the same, and the same through a Routes.
func fuzz(f *testing.F, p Protocol, seeds ...[2]string) {
	for _, s := range seeds {
		f.Add([]byte(s[0]), []byte(s[1]))
	}
	f.Fuzz(func(t *testing.T, request, answer []byte) {
		before := bytes.Clone(request)
		for _, o := range []Options{{}, {Level: Statements}} {
			h, flags := ParseAs(&o, p, request, answer)
			bounded(t, h)
			o.Routes = &Routes{Max: 1}
			again, same := ParseAs(&o, p, request, answer)
			if again.Route == Other {
				again.Route = h.Route
			}
			if again != h || flags != same {
				t.Fatalf("%+v, then %+v", h, again)
			}
		}
		if h, _ := ParseAs(nil, p, request[:len(request)/2], answer[:len(answer)/2]); h.Protocol != p.String() {
			t.Fatal(h)
		}
		if n := Count(p, request); n < 0 || n > Window/2 {
			t.Fatalf("%d requests", n)
		}
		if !bytes.Equal(before, request) {
			t.Fatal("the request was written to")
		}
	})
}

func FuzzHTTP(f *testing.F) {
	fuzz(f, HTTP, [2]string{"GET /a/1?b HTTP/1.1\r\nHost: a\r\ntraceparent: " + traceID + "\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		[2]string{"PUT http://u@h/a;b HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\n"},
		[2]string{"CONNECT a:1 HTTP/1.0\n\n", "HTTP/1.1 101 x\r\n\r\n"}, [2]string{"\r\nOPTIONS * HTTP/1.1\r\n", "HTTP/1.1 9"})
}

func FuzzRedis(f *testing.F) {
	fuzz(f, Redis, [2]string{resp("GET", "k") + resp("CONFIG", "GET", "x"), "$1\r\na\r\n"}, [2]string{"PING\r\nCLIENT LIST\r\n", "-ERR x\r\n"},
		[2]string{"*2\r\n$4\r\nINCR\r\n$99", "|1\r\n+a\r\n*2\r\n:1\r\n,2\r\n>1\r\n_\r\n!3\r\nOOM\r\n"})
}

func FuzzMySQL(f *testing.F) {
	fuzz(f, MySQL, [2]string{string(mysqlQuery("SELECT 'a', 1")), mysqlOK}, [2]string{mysqlLogin, mysqlNoTable}, [2]string{mysqlSSL, mysqlEOF},
		[2]string{mysqlPacket(0, "\x19\x01\x00\x00\x00") + mysqlPacket(0, "\x16/*! a */"), ""}, [2]string{string(mysqlQuery("\x00\x01SET a = b")), ""})
}

func FuzzPostgreSQL(f *testing.F) {
	fuzz(f, PostgreSQL, [2]string{pgQuery("SELECT E'a', $$b$$"), pgOne}, [2]string{pgStart, pgSyntax}, [2]string{fromHex("00 00 00 08 04 d2 16 2f"), "S"},
		[2]string{pgMessage('P', "s\x00INSERT INTO t VALUES ($1)\x00\x00\x00") + pgMessage('E', "\x00\x00\x00\x00\x00") + pgMessage('S', ""), pgReady})
}

func FuzzTLS(f *testing.F) {
	fuzz(f, TLS, [2]string{fromHex("16 03 01 00 f8 01 00 00 f4 03 03"), tlsHello(3, fromHex("00 2b 00 02 03 04"))},
		[2]string{fromHex("14 03 03 00 01 01") + tlsRecordOf(applicationData, strings.Repeat("f", 53)), fromHex("15 03 03 00 02 02 46")})
}

func FuzzHTTP2(f *testing.F) {
	fuzz(f, HTTP2, [2]string{preface + frameOf(frameSettings, 0, 0, "") + frameOf(frameHeaders, 0x2d, 1, "\x01\x00\x00\x00\x00\x10\x82"), frameOf(frameHeaders, 4, 1, "\x88")},
		[2]string{frameOf(frameHeaders, 4, 3, "\x3f\xe1\x1f\x83") + frameOf(frameData, 1, 3, "a"), frameOf(framePing, 1, 0, "12345678")})
}

// What is found to be a protocol is parsed as it.
func FuzzParse(f *testing.F) {
	for i, s := range []string{"GET /a HTTP/1.1\r\n\r\n", resp("GET", "k"), string(mysqlQuery("SELECT 1")), pgQuery("SELECT 1"), pgStart, mysqlLogin,
		fromHex("16 03 01 00 f8 01 00 00 f4 03 03"), preface, "PING\r\n"} {
		f.Add(uint16([]int{0, 80, 3306, 5432, 6379}[i%5]), []byte(s), []byte("+OK\r\n"))
	}
	f.Fuzz(func(t *testing.T, port uint16, request, answer []byte) {
		h, flags := Parse(nil, port, request, answer)
		bounded(t, h)
		if same, again := ParseAs(nil, detect(port, window(request), window(answer)), request, answer); same != h || flags != again {
			t.Fatalf("%+v, then %+v", h, same)
		}
		if p := Detect(request, answer); p >= protocols || p != Unknown && h.Protocol == "" {
			t.Fatalf("%v without a port, %q with one", p, h.Protocol)
		}
		if (h.Method != "" || h.Status != "") && h.Protocol == "" {
			t.Fatalf("%+v", h)
		}
	})
}

// A path never tells more than it has, and a template is its own.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/a/1/b?c", "http://u:p@h/a", "*", "/a;b//c.d-e_f~g:h/", "/123e4567-e89b-12d3-a456-426614174000", "/\xff"} {
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, target []byte, cut bool) {
		got := template([]byte("x"), []byte("GET"), target, cut)[1:]
		bounded(t, tcprt.Hint{Route: string(got)})
		if len(got) > 0 && got[0] != '/' && string(got) != "*" || bytes.ContainsAny(got, "?#;@%") {
			t.Fatalf("%q of %q", got, target)
		}
		want := strings.ReplaceAll(strings.TrimSuffix(string(got), more), anyID, "word")
		if again := template(nil, []byte("GET"), []byte(want), false); string(again) != want {
			t.Fatalf("%q of %q, and %q of %q", got, target, again, want)
		}
	})
}

// Whatever is in a literal, none of it is told.
func FuzzStatement(f *testing.F) {
	f.Add("SELECT a, ", "b", " FROM c")
	f.Add("SET a = ", "\\", ", 1")
	f.Add("INSERT INTO t VALUES (1, ", "$$'--/*", "), (2)")
	f.Add("SELECT /* a */ E", "\\'", " -- b")
	f.Fuzz(func(t *testing.T, head, literal, tail string) {
		for _, d := range []dialect{mysql, postgresql} {
			bounded(t, tcprt.Hint{Route: string(statement(nil, []byte(head+literal+tail), d))})
			bounded(t, tcprt.Hint{Method: verb([]byte(head), d)})
			if strings.Contains(head, "QZX") || strings.ContainsAny(head, "'\"`\\$#-/*") {
				continue // the literal may be in another, or in a comment
			}
			text := "QZX" + strings.ReplaceAll(literal, "'", "''") + "QZX"
			if got := statement(nil, []byte(head+" '"+text+"' "), d); bytes.Contains(got, []byte("QZX")) {
				t.Fatalf("%q of %q", got, head+" '"+text+"' "+tail)
			}
		}
	})
}
