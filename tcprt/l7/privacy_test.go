package l7

import (
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// What programs sent as values comes out in no field, at either level, whole or cut
// at each byte, and whatever the connection is taken for.
func TestNothingIsToldOfValues(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 8 {
		secret := marker(r)
		answers := answersWith(secret)
		for name, request := range plant(secret) {
			for cut := range min(len(request), Window) + 1 {
				answer := answers[r.IntN(len(answers))]
				tellsNothing(t, name, secret, request[:cut], answer[:r.IntN(len(answer)+1)])
			}
			for _, answer := range answers {
				tellsNothing(t, name, secret, request, answer)
			}
		}
	}
}

// marker is a word that no set and no other part of a request has.
func marker(r *rand.Rand) string {
	b := make([]byte, 9)
	for i := range b {
		b[i] = "QqXxZzJj"[r.IntN(8)]
	}
	return string(b)
}

func tellsNothing(t *testing.T, name, secret, request, answer string) {
	t.Helper()
	var last tcprt.Hint
	look := func(h tcprt.Hint) {
		if h == last {
			return
		}
		last = h
		const part = 4 // bytes of it that are already too much
		all := strings.ToLower(strings.Join([]string{h.Protocol, h.Method, h.Route, h.Status, h.Traceparent}, "\n"))
		for i := range len(secret) - part + 1 {
			if strings.Contains(all, strings.ToLower(secret[i:i+part])) {
				t.Fatalf("%s: %+v of %q and %q", name, h, request, answer)
			}
		}
	}
	for _, o := range []*Options{nil, {Level: Statements, Routes: &Routes{}}} {
		for _, port := range []uint16{0, 80, 3306, 5432, 6379} {
			h, _ := Parse(o, port, []byte(request), []byte(answer))
			look(h)
		}
		for p := range protocols {
			h, _ := ParseAs(o, p, []byte(request), []byte(answer))
			look(h)
		}
	}
}

// plant gives requests that have the secret where values are.
func plant(s string) map[string]string {
	bind := pgMessage('B', "\x00s1\x00\x00\x00\x00\x01\x00\x00\x00\x09"+s+"\x00\x00")
	all := map[string]string{
		"query string":        "GET /a?token=" + s + "&b=" + s + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"query without path":  "GET ?" + s + " HTTP/1.1\r\n\r\n",
		"fragment":            "GET /a#" + s + " HTTP/1.1\r\n\r\n",
		"user of a URI":       "GET http://" + s + ":" + s + "@h/a HTTP/1.1\r\n\r\n",
		"host of a URI":       "GET http://" + s + " HTTP/1.1\r\n\r\n",
		"host":                "CONNECT " + s + ":443 HTTP/1.1\r\n\r\n",
		"path parameter":      "GET /a;id=" + s + "/b HTTP/1.1\r\n\r\n",
		"mail in a path":      "GET /a/" + s + "@b.org HTTP/1.1\r\n\r\n",
		"escaped query":       "GET /a%3F" + s + " HTTP/1.1\r\n\r\n",
		"header values":       "GET /a HTTP/1.1\r\nAuthorization: Bearer " + s + "\r\nCookie: a=" + s + "\r\nX-" + s + ": 1\r\ntraceparent: " + s + "\r\n\r\n",
		"trace of a header":   "GET /a HTTP/1.1\r\ntraceparent: " + traceID + "-" + s + "\r\ntracestate: a=" + s + "\r\n\r\n",
		"body":                "POST /a HTTP/1.1\r\n\r\n" + s + "\r\n\r\nGET /" + s,
		"a method":            s + " /a HTTP/1.1\r\n\r\n",
		"redis arguments":     resp("SET", s, s) + resp(s, s),
		"redis subcommand":    resp("CLIENT", s) + resp("AUTH", s, s),
		"redis command":       resp(s, s),
		"redis inline":        "AUTH " + s + "\r\nCONFIG " + s + "\r\n",
		"mysql login":         mysqlLogin[:36] + s + "\x00\x14" + s + s + "\x00",
		"mysql database":      mysqlPacket(0, "\x02"+s),
		"mysql user":          mysqlPacket(0, "\x11"+s+"\x00"),
		"mysql parameters":    mysqlPacket(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x0f\x00\x09"+s),
		"mysql file":          mysqlPacket(2, s+","+s),
		"mysql attributes":    string(mysqlQuery("\x01\x01\x00\x01\xfe\x00\x01n\x09" + s + "SELECT 1")),
		"mysql many":          string(mysqlQuery("\x0a\x01\x00\x00\x01\xfe\x00\x01n\x09" + s + "SELECT 1")),
		"mysql comment":       string(mysqlQuery("SELECT /*! " + s + " */ 1 # " + s)),
		"mysql backslash":     string(mysqlQuery("SELECT 'a\\' , " + s)),
		"postgresql startup":  strings.Replace(pgStart, "postgres", s[:8], 1),
		"postgresql password": pgMessage('p', s+"\x00"),
		"postgresql bind":     bind + bind,
		"postgresql name":     pgMessage('P', s+"\x00SELECT 1\x00\x00\x00") + bind,
		"postgresql copy":     pgMessage('d', s+"\n") + pgMessage('f', s+"\x00"),
		"postgresql call":     pgMessage('F', "\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x09"+s+"\x00\x00"),
		"postgresql E":        pgQuery("SELECT E'\\'" + s + "'"),
		"postgresql dollars":  pgQuery("DO $a$ " + s + " $a$; SELECT " + s),
		"TLS":                 tlsRecordOf(applicationData, s) + tlsRecordOf(handshake, "\x01"+s),
		"HTTP/2":              preface + frameOf(frameHeaders, 5, 1, "\x42\x09"+s) + frameOf(frameData, 1, 1, s),
		"unknown":             s + " " + s + "\r\n" + s,
	}
	for name, literal := range map[string]string{
		"quoted": "'" + s + "'", "doubled": "'a''" + s + "'", "hex": "x'" + hex.EncodeToString([]byte(s)) + s + "'", "number": "12" + s, "commented": "/* " + s + " */1",
		"in a list": "(1, '" + s + "', '" + s + "')", "to the end": "1 -- " + s,
	} {
		for _, verb := range []string{"SELECT ", "INSERT INTO t VALUES ", "SET a = ", "EXECUTE p ", "CALL f "} {
			all["mysql "+name+verb] = string(mysqlQuery(verb + literal))
			all["mysql prepare "+name+verb] = mysqlPacket(0, "\x16"+verb+literal)
			all["postgresql "+name+verb] = pgQuery(verb + literal)
			all["postgresql parse "+name+verb] = pgMessage('P', "\x00"+verb+literal+"\x00\x00\x00") + bind
		}
	}
	return all
}

// answersWith gives answers that have the secret.
func answersWith(s string) []string {
	return []string{
		"", s, "HTTP/1.1 200 " + s + "\r\nSet-Cookie: " + s + "\r\n\r\n" + s, "-" + s + " " + s + "\r\n", "-ERR " + s + "\r\n", "$9\r\n" + s + "\r\n",
		"!9\r\n" + s + "\r\n", "|1\r\n+" + s + "\r\n+" + s + "\r\n-" + s + "\r\n",
		mysqlPacket(1, "\xff\x10\x04#"+strings.ToUpper(s)[:4]+" "+s), mysqlPacket(1, s), pgMessage('E', "S"+s+"\x00C"+s[:5]+"\x00M"+s+"\x00\x00"), pgOne + s,
		pgMessage('D', "\x00\x01\x00\x00\x00\x09"+s) + pgReady, tlsHello(3, "") + s, tlsRecordOf(alert, s[:2]), frameOf(frameHeaders, 4, 1, "\x48\x09"+s) + s,
	}
}
