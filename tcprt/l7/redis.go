package l7

import (
	"bytes"

	"github.com/anole-os/anole/tcprt"
)

// respLine reads a header of the Redis serialization protocol, as "*3\r\n": the
// number, and what comes after the line.
func respLine(b []byte, kind byte) (n int, rest []byte, good bool) {
	if len(b) < 4 || b[0] != kind {
		return 0, nil, false
	}
	i := 1
	for ; i < len(b) && digit(b[i]); i++ {
		if n > 1<<26 { // a string has 1<<29 bytes at most
			return 0, nil, false
		}
		n = n*10 + int(b[i]-'0')
	}
	if i == 1 || len(b) < i+2 || b[i] != '\r' || b[i+1] != '\n' {
		return 0, nil, false
	}
	return n, b[i+2:], true
}

// bulk reads a bulk string; whole when all of it is there.
func bulk(b []byte) (s, rest []byte, whole bool) {
	n, b, good := respLine(b, '$')
	if !good || len(b) < n+2 {
		return nil, nil, false
	}
	return b[:n], b[n+2:], true
}

// redisWords gives the first two words of a request, the command and what may be
// its subcommand, where they are there.
func redisWords(b []byte) (command, sub []byte) {
	n, rest, good := respLine(b, '*')
	if !good {
		return inlineWords(b)
	}
	if command, rest, good = bulk(rest); good && n > 1 {
		sub, _, _ = bulk(rest)
	}
	return command, sub
}

// inlineWords reads an inline command, which ends with its line.
func inlineWords(b []byte) (command, sub []byte) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 || !letter(b[0]) {
		return nil, nil
	}
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	command, rest, _ := bytes.Cut(line, []byte(" "))
	sub, _, _ = bytes.Cut(rest, []byte(" "))
	return command, sub
}

func fitRedisRequest(b []byte) score {
	if b[0] == '*' {
		n, rest, good := respLine(b, '*')
		switch {
		case !good && bytes.IndexByte(b, '\n') >= 0, good && n == 0:
			return unfit
		case !good || len(rest) == 0:
			return likely
		case rest[0] != '$':
			return unfit
		}
		if _, _, good = respLine(rest, '$'); good {
			return certain
		}
		return likely
	}
	if !letter(b[0]) {
		return unfit
	}
	command, _ := inlineWords(b)
	switch {
	case command == nil && bytes.IndexByte(b, '\n') < 0 && len(b) < MaxMethod:
		return unseen
	case redisCommand(command, nil) == Other:
		return unfit
	}
	return likely
}

func fitRedisAnswer(b []byte) score {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		end = len(b)
	}
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	if len(line) == 0 {
		return unfit
	}
	switch body := line[1:]; line[0] {
	case '+', '-':
		return printable(body)
	case ':', '$', '*', '%', '~', '>', '|', '!', '=', '(':
		return number(body)
	case '_':
		return whenFit(len(body) == 0)
	case '#':
		return whenFit(len(body) == 1 && (body[0] == 't' || body[0] == 'f'))
	case ',':
		return whenFit(len(body) > 0 && len(body) < 32)
	}
	return unfit
}

func whenFit(fits bool) score {
	if fits {
		return likely
	}
	return unfit
}

func printable(b []byte) score {
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return unfit
		}
	}
	return likely
}

func number(b []byte) score {
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		b = b[1:]
	}
	for _, c := range b {
		if !digit(c) {
			return unfit
		}
	}
	return whenFit(len(b) > 0)
}

func parseRedis(h *tcprt.Hint, request, answer []byte) {
	if len(request) > 0 {
		h.Method = redisCommand(redisWords(request))
	}
	h.Status = redisStatus(answer)
}

// redisStatus gives the error's prefix, or OK, of the first reply.
func redisStatus(b []byte) string {
	if b = reply(b); len(b) == 0 {
		return ""
	}
	switch b[0] {
	case '-':
		return redisError(b[1:])
	case '!': // RESP3: an error with a length
		if _, rest, good := respLine(b, '!'); good {
			return redisError(rest)
		}
		return Other
	}
	if fitRedisAnswer(b) == unfit {
		return ""
	}
	return ok
}

// reply skips what RESP3 may put before one: attributes and pushes.
func reply(b []byte) []byte {
	for len(b) > 0 && (b[0] == '|' || b[0] == '>') {
		b = skipValue(b)
	}
	return b
}

// skipValue gives what comes after a value, or nil.
func skipValue(b []byte) []byte {
	for left := 1; left > 0; left-- {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil
		}
		kind := b[0]
		n, rest, good := respLine(b, kind)
		b = b[end+1:]
		switch kind {
		case '$', '!', '=':
			if good && len(rest) < n+2 {
				return nil
			}
			if good {
				b = rest[n+2:]
			}
		case '*', '~', '>':
			left += n
		case '%', '|':
			left += 2 * n
		}
		if left > Window { // more than there can be
			return nil
		}
	}
	return b
}

func redisError(b []byte) string {
	end := 0
	for end < len(b) && b[end] >= 'A' && b[end] <= 'Z' {
		end++
	}
	if name, known := redisErrors[string(b[:end])]; known {
		return name
	}
	return Other
}

// countRedis counts the requests of a pipeline.
func countRedis(b []byte) (n int) {
	for len(b) > 0 {
		if b[0] != '*' {
			end := bytes.IndexByte(b, '\n')
			if command, _ := inlineWords(b); end < 0 || redisCommand(command, nil) == Other {
				return n
			}
			n++
			b = b[end+1:]
			continue
		}
		words, rest, good := respLine(b, '*')
		if !good {
			return n
		}
		n++
		for ; words > 0; words-- {
			if _, rest, good = bulk(rest); !good {
				return n
			}
		}
		b = rest
	}
	return n
}
