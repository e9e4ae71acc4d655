package load

import (
	"bytes"
	"errors"
)

// Limits of what the parser takes from a service.
const (
	maxLine   = 8 << 10
	maxHeader = 64 << 10
	maxBody   = 64 << 20
)

// Errors of the response parser. Constant texts: the bytes are foreign.
var (
	errStatusLine = errors.New("malformed status line")
	errHeader     = errors.New("malformed header")
	errLength     = errors.New("malformed or conflicting content length")
	errEncoding   = errors.New("unsupported transfer encoding")
	errChunk      = errors.New("malformed chunk")
	errTooLarge   = errors.New("response exceeds limit")
	errEarlyClose = errors.New("connection closed within response")
	errSurplus    = errors.New("bytes after the response")
)

type parseState uint8

const (
	inStatus parseState = iota
	inHeader
	inBody
	inChunkSize
	inChunkData
	inChunkEnd
	inTrailer
	inUntilClose
	inDone
)

// response parses one HTTP/1.x response at a time and discards its body
// (RFC 9112). It takes bytes in pieces of any size and allocates only for a
// line that is split between two pieces.
type response struct {
	state   parseState
	partial []byte // begin of a line whose end has not arrived
	header  int    // bytes of header and trailer lines seen
	body    int64  // bytes of body seen
	left    int64  // bytes left of body or chunk
	length  int64  // Content-Length, -1 when absent
	chunked bool

	status int  // valid from the end of the status line
	close  bool // connection ends with this response
}

// reset makes ready for the next response, keeping the line buffer.
func (r *response) reset() { *r = response{partial: r.partial[:0], length: -1} }

// feed consumes from b and reports how much; done means the response is
// complete, and bytes beyond n belong to no request of ours. After an error
// the connection is of no more use.
func (r *response) feed(b []byte) (n int, done bool, err error) {
	for n < len(b) && r.state != inDone {
		switch r.state {
		case inBody, inChunkData, inUntilClose:
			n += r.skip(int64(len(b) - n))
		default:
			var line []byte
			var used int
			line, used, err = r.takeLine(b[n:])
			n += used
			if err == nil && line != nil {
				err = r.takeHead(line)
			}
		}
		if err == nil && r.body > maxBody {
			err = errTooLarge
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, r.state == inDone, nil
}

// eof tells what the end of the connection means here.
func (r *response) eof() error {
	if r.state == inUntilClose {
		r.state = inDone
		return nil
	}
	return errEarlyClose
}

// skip discards up to avail bytes of body and returns how many.
func (r *response) skip(avail int64) int {
	n := avail
	if r.state != inUntilClose {
		n = min(avail, r.left)
		r.left -= n
		if r.left == 0 && r.state == inBody {
			r.state = inDone
		} else if r.left == 0 {
			r.state = inChunkEnd
		}
	}
	r.body += n
	return int(n)
}

// takeLine returns the next line without its end, joined with the part seen
// before, or nil when the end has not arrived yet. The line is valid until
// the next call.
func (r *response) takeLine(b []byte) (line []byte, used int, err error) {
	end := bytes.IndexByte(b, '\n')
	whole := end >= 0
	if !whole {
		end = len(b)
	}
	if len(r.partial)+end > maxLine {
		return nil, end, errTooLarge
	}
	line = b[:end]
	if !whole || len(r.partial) > 0 {
		r.partial = append(r.partial, line...)
		line = r.partial
	}
	if !whole {
		return nil, end, nil
	}
	r.partial = r.partial[:0]
	return bytes.TrimSuffix(line, []byte{'\r'}), end + 1, nil
}

// takeHead handles a line of anything but body.
func (r *response) takeHead(line []byte) error {
	switch r.state {
	case inStatus:
		return r.statusLine(line)
	case inHeader, inTrailer:
		if r.header += len(line) + 1; r.header > maxHeader {
			return errTooLarge
		}
		if len(line) > 0 {
			return r.field(line)
		}
		return r.headEnd()
	case inChunkSize:
		return r.chunkSize(line)
	}
	if len(line) != 0 { // inChunkEnd
		return errChunk
	}
	r.state = inChunkSize
	return nil
}

// statusLine parses "HTTP/1.x NNN reason" (RFC 9112 section 4).
func (r *response) statusLine(l []byte) error {
	if len(l) < 12 || !bytes.HasPrefix(l, []byte("HTTP/1.")) || l[8] != ' ' || (len(l) > 12 && l[12] != ' ') {
		return errStatusLine
	}
	minor := l[7]
	if minor != '0' && minor != '1' {
		return errStatusLine
	}
	r.status = 0
	for _, d := range l[9:12] {
		if d < '0' || d > '9' {
			return errStatusLine
		}
		r.status = r.status*10 + int(d-'0')
	}
	if r.status < 100 || r.status == 101 {
		return errStatusLine
	}
	r.close = minor == '0'
	r.state = inHeader
	return nil
}

func (r *response) field(l []byte) error {
	colon := bytes.IndexByte(l, ':')
	if colon <= 0 || bytes.ContainsAny(l[:colon], " \t") {
		return errHeader
	}
	if r.state == inTrailer {
		return nil
	}
	name, value := l[:colon], bytes.TrimSpace(l[colon+1:])
	switch {
	case is(name, "content-length"):
		n, ok := decimal(value)
		if !ok || (r.length >= 0 && r.length != n) {
			return errLength
		}
		r.length = n
	case is(name, "transfer-encoding"):
		if !is(value, "chunked") || r.chunked {
			return errEncoding
		}
		r.chunked = true
	case is(name, "connection"):
		r.close = r.close || is(value, "close")
	}
	return nil
}

// headEnd chooses how the body is delimited (RFC 9112 section 6.3). Length
// together with chunked is refused instead of resolved: it marks a broken or
// hostile peer.
func (r *response) headEnd() error {
	switch {
	case r.state == inTrailer:
		r.state = inDone
	case r.status < 200: // interim response: the final one follows, within the same limit
		header := r.header
		r.reset()
		r.header = header
	case r.status == 204 || r.status == 304:
		r.state = inDone
	case r.chunked && r.length >= 0:
		return errLength
	case r.chunked:
		r.state = inChunkSize
	case r.length > maxBody:
		return errTooLarge
	case r.length > 0:
		r.state, r.left = inBody, r.length
	case r.length == 0:
		r.state = inDone
	default:
		r.state, r.close = inUntilClose, true
	}
	return nil
}

func (r *response) chunkSize(l []byte) error {
	if semi := bytes.IndexByte(l, ';'); semi >= 0 {
		l = l[:semi]
	}
	l = bytes.TrimRight(l, " \t")
	if len(l) == 0 || len(l) > 8 {
		return errChunk
	}
	n := int64(0)
	for _, d := range l {
		v := bytes.IndexByte([]byte("0123456789abcdef"), d|0x20)
		if v < 0 || (d < '0') {
			return errChunk
		}
		n = n<<4 | int64(v)
	}
	if n > maxBody {
		return errTooLarge
	}
	r.left, r.state = n, inChunkData
	if n == 0 {
		r.state = inTrailer
	}
	return nil
}

// is compares a foreign token with lower-case text, ignoring ASCII case.
func is(b []byte, lower string) bool {
	return len(b) == len(lower) && bytes.EqualFold(b, []byte(lower))
}

// decimal parses 1 to 18 digits and nothing else.
func decimal(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}
