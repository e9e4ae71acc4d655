package l7

import (
	"fmt"

	"github.com/anole-os/anole/tcprt"
)

// Window is how many bytes of a request, and of an answer, are looked at.
const Window = 256

// The most bytes that a Hint has in each of its fields. A traceparent has 55.
const (
	MaxMethod = 32
	MaxRoute  = 120
	MaxStatus = 32
)

// Other stands for all that is not of a closed set, or came when there was no more
// room for it.
const Other = "other"

const ok = "OK"

// Protocol is what a connection speaks.
type Protocol uint8

// The protocols.
const (
	Unknown Protocol = iota
	HTTP             // HTTP/1.0 and 1.1
	Redis            // RESP2, RESP3 and inline commands
	MySQL
	PostgreSQL // version 3
	TLS
	HTTP2
	protocols // how many there are
)

// String is its name in a Hint, "" of Unknown.
func (p Protocol) String() string {
	return [...]string{"", "http", "redis", "mysql", "postgresql", "tls", "http2", ""}[min(p, protocols)]
}

// Level is how much of a statement of SQL is told.
type Level uint8

// The levels.
const (
	Verbs      Level = iota // its first word
	Statements              // and all of it, with ? for each value, as Route
)

// String is the level's name in a configuration.
func (l Level) String() string {
	if l == Statements {
		return "statements"
	}
	return "verbs"
}

// ParseLevel reads what String wrote.
func ParseLevel(s string) (Level, error) {
	for l := Verbs; l <= Statements; l++ {
		if s == l.String() {
			return l, nil
		}
	}
	return 0, fmt.Errorf("read level %q: neither verbs nor statements", s)
}

// Options of Parse; a nil pointer is the zero value.
type Options struct {
	Level Level
	// Routes bounds the number of routes of a service, and keeps them so that a
	// known one allocates nothing. When nil, there is no bound.
	Routes *Routes
}

// route gives the string for one; good says whether the server took it for one of
// its own.
func (o *Options) route(b []byte, good bool) string {
	if len(b) == 0 {
		return ""
	}
	if o.Routes == nil {
		return string(b)
	}
	return o.Routes.name(b, good)
}

// Parse tells what it can of a request and its answer, either of which may be
// empty. The port is the server's, and decides only where the bytes leave it open.
//
// Of requests in one batch the first that is answered is told; Count says how many
// there are.
func Parse(o *Options, port uint16, request, answer []byte) (tcprt.Hint, tcprt.Flags) {
	request, answer = window(request), window(answer)
	return parse(o, detect(port, request, answer), request, answer)
}

// ParseAs is Parse for a connection whose protocol is known.
func ParseAs(o *Options, p Protocol, request, answer []byte) (tcprt.Hint, tcprt.Flags) {
	return parse(o, p, window(request), window(answer))
}

func parse(o *Options, p Protocol, request, answer []byte) (h tcprt.Hint, f tcprt.Flags) {
	if o == nil {
		o = &Options{}
	}
	switch p {
	case HTTP:
		f = parseHTTP(&h, o, request, answer)
	case HTTP2:
		parseHTTP2(&h, request, answer)
	case Redis:
		parseRedis(&h, request, answer)
	case MySQL:
		f = parseMySQL(&h, o, request, answer)
	case PostgreSQL:
		f = parsePostgreSQL(&h, o, request, answer)
	case TLS:
		f = parseTLS(&h, request, answer)
	}
	h.Protocol = p.String()
	return h, f
}

// Count says how many requests begin in these bytes, as far as can be seen: of
// HTTP/1 and Redis those of a pipeline, of HTTP/2 the streams that are opened, of
// MySQL and PostgreSQL the commands that are answered on their own. It is 0 where
// none begins.
func Count(p Protocol, request []byte) int {
	request = window(request)
	switch p {
	case HTTP:
		return countHTTP(request)
	case HTTP2:
		return countHTTP2(request)
	case Redis:
		return countRedis(request)
	case MySQL:
		return countMySQL(request)
	case PostgreSQL:
		return countPostgreSQL(request)
	}
	return 0
}

func window(b []byte) []byte { return b[:min(len(b), Window)] }
