package l7

// score is how well some bytes fit a protocol.
type score int

const (
	unfit    score  = iota - 1 // they cannot be of it
	unseen                     // there is nothing to judge by
	likely                     // they may well be
	sure                       // hardly anything else looks so
	certain                    // whatever the other side said
	accepted = sure            // what the two sides and the port need together
)

// Detect tells the protocol by the bytes alone, or Unknown.
func Detect(request, answer []byte) Protocol { return detect(0, window(request), window(answer)) }

func detect(port uint16, request, answer []byte) Protocol {
	best, most := Unknown, accepted-1
	usual := usualPort(port)
	for p := Unknown + 1; p < protocols; p++ {
		asked, answered := fit(p, request, true), fit(p, answer, false)
		if asked == certain && (answered > unseen || len(answer) == 0) {
			return p
		}
		s := asked + answered
		if p == usual && s > unfit {
			s++
		}
		if s > most {
			best, most = p, s
		}
	}
	return best
}

// fit judges one side's bytes.
func fit(p Protocol, b []byte, request bool) score {
	if len(b) == 0 {
		return unseen
	}
	switch {
	case p == HTTP && request:
		return fitHTTPRequest(b)
	case p == HTTP:
		return fitHTTPAnswer(b)
	case p == HTTP2:
		return fitHTTP2(b, request)
	case p == Redis && request:
		return fitRedisRequest(b)
	case p == Redis:
		return fitRedisAnswer(b)
	case p == MySQL && request:
		return fitMySQLRequest(b)
	case p == MySQL:
		return fitMySQLAnswer(b)
	case p == PostgreSQL && request:
		return fitPostgreSQLRequest(b)
	case p == PostgreSQL:
		return fitPostgreSQLAnswer(b)
	case p == TLS:
		return fitTLS(b)
	}
	return unfit
}

// usualPort is what a server on it speaks, as a rule.
func usualPort(port uint16) Protocol {
	switch port {
	case 80, 8000, 8080:
		return HTTP
	case 443, 8443:
		return TLS
	case 3306:
		return MySQL
	case 5432, 6432:
		return PostgreSQL
	case 6379, 26379:
		return Redis
	}
	return Unknown
}
