package l7

import "testing"

// usual are requests as most are, with what they may cost.
var usual = []struct {
	name            string
	port            uint16
	request, answer string
}{
	{"http", 8080, "GET /api/v1/users/12345/orders?page=2 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAuthorization: Bearer eyJhbGciOiJIUzI1NiJ9\r\nAccept-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 27 Jul 2009 12:28:53 GMT\r\nContent-Length: 2\r\n\r\n{}"},
	{"redis", 6379, resp("GET", "key:000000012345"), "$3\r\nxxx\r\n"},
	{"redis batch", 6379, resp("SET", "key:000000012345", "xxx") + resp("GET", "key:000000012345"), "+OK\r\n$3\r\nxxx\r\n"},
	{"mysql", 3306, string(mysqlQuery("SELECT c FROM sbtest1 WHERE id=5034")), mysqlPacket(1, "\x01") + "\x27\x00\x00\x02\x03def"},
	{"postgresql", 5432, pgQuery("SELECT abalance FROM pgbench_accounts WHERE aid = 77;"), pgOne},
	{"tls", 443, tlsRecordOf(applicationData, string(make([]byte, 200))), tlsRecordOf(applicationData, string(make([]byte, 200)))},
	{"http2", 80, frameOf(frameHeaders, 5, 3, "\x82\x86\x84") + frameOf(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), frameOf(frameHeaders, 4, 3, "\x88") + frameOf(frameData, 1, 3, "a")},
	{"unknown", 0, string(make([]byte, 256)), string(make([]byte, 256))},
}

func TestUsualRequestsAllocateNothing(t *testing.T) {
	for _, l := range []Level{Verbs, Statements} {
		o := &Options{Level: l, Routes: &Routes{}}
		for _, c := range usual {
			request, answer := []byte(c.request), []byte(c.answer)
			if n := testing.AllocsPerRun(100, func() { Parse(o, c.port, request, answer) }); n != 0 {
				t.Errorf("%s at %v: %v allocations", c.name, l, n)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, c := range usual {
		b.Run(c.name, func(b *testing.B) { parseMany(b, &Options{Routes: &Routes{}}, c.port, c.request, c.answer) })
	}
	trace := "GET /api/v1/users HTTP/1.1\r\nHost: a\r\ntraceparent: " + traceID + "\r\n\r\n"
	b.Run("http with a trace", func(b *testing.B) {
		parseMany(b, &Options{Routes: &Routes{}}, 80, trace, "HTTP/1.1 200 OK\r\n")
	})
	for _, c := range usual[3:5] {
		b.Run(c.name+" statements", func(b *testing.B) {
			parseMany(b, &Options{Level: Statements, Routes: &Routes{}}, c.port, c.request, c.answer)
		})
	}
}

func parseMany(b *testing.B, o *Options, port uint16, request, answer string) {
	asked, answered := []byte(request), []byte(answer)
	b.ReportAllocs()
	for b.Loop() {
		Parse(o, port, asked, answered)
	}
}
