package l7

import (
	"encoding/binary"

	"github.com/anole-os/anole/tcprt"
)

// preface is what a client begins with (RFC 9113 §3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Frame types (RFC 9113 §6) and flags of HEADERS (§6.2).
const (
	frameData         = 0
	frameHeaders      = 1
	framePriority     = 2
	frameRSTStream    = 3
	frameSettings     = 4
	framePushPromise  = 5
	framePing         = 6
	frameGoAway       = 7
	frameWindowUpdate = 8
	frameContinuation = 9

	flagPadded   = 0x8
	flagPriority = 0x20
)

var frameNames = [...]string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"}

// frame is RFC 9113 §4.1.
type frame struct {
	length      int
	kind, flags byte
	stream      uint32
	body        []byte // what is there of it
	rest        []byte
}

// readFrame takes only what the RFC allows for each type, so that little else is
// taken for one.
func readFrame(b []byte) (f frame, good bool) {
	const header = 9
	if len(b) < header {
		return f, false
	}
	f.length = int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	f.kind, f.flags, f.stream = b[3], b[4], binary.BigEndian.Uint32(b[5:])
	if !f.allowed() {
		return f, false
	}
	n := min(f.length, len(b)-header)
	f.body, f.rest = b[header:header+n], b[header+n:]
	return f, true
}

func (f *frame) allowed() bool {
	if f.stream>>31 != 0 || f.length > 1<<20 {
		return false
	}
	onStream := f.stream != 0
	switch f.kind {
	case frameData, framePushPromise:
		return onStream
	case frameHeaders, frameContinuation:
		return onStream && f.length > 0
	case framePriority:
		return onStream && f.length == 5
	case frameRSTStream:
		return onStream && f.length == 4
	case frameSettings:
		return !onStream && f.length%6 == 0 && (f.flags&1 == 0 || f.length == 0)
	case framePing:
		return !onStream && f.length == 8
	case frameGoAway:
		return !onStream && f.length >= 8
	case frameWindowUpdate:
		return f.length == 4
	}
	return false
}

// block gives the header block of a HEADERS frame.
func (f *frame) block() []byte {
	b := f.body
	if f.flags&flagPadded != 0 {
		b = b[min(1, len(b)):]
	}
	if f.flags&flagPriority != 0 {
		b = b[min(5, len(b)):]
	}
	return b
}

// afterPreface gives the frames, and whether the preface or its beginning is there.
func afterPreface(b []byte) (frames []byte, there bool) {
	n := min(len(b), len(preface))
	if n < len("PRI * H") || string(b[:n]) != preface[:n] {
		return b, false
	}
	return b[n:], true
}

func fitHTTP2(b []byte, request bool) score {
	if request {
		if _, there := afterPreface(b); there {
			return certain
		}
	}
	frames := 0
	for len(b) > 0 {
		f, good := readFrame(b)
		if !good && len(b) < 9 && frames > 0 {
			break
		}
		if !good || request && (f.kind == frameHeaders || f.kind == frameData) && f.stream%2 == 0 || request && f.kind == framePushPromise {
			return unfit
		}
		frames++
		b = f.rest
	}
	if frames > 1 {
		return sure
	}
	return likely
}

// parseHTTP2 tells what HPACK's static table has (RFC 7541 appendix A); all else is
// in tables whose state is the connection's.
func parseHTTP2(h *tcprt.Hint, request, answer []byte) {
	frames, there := afterPreface(request)
	if there && len(frames) == 0 {
		h.Method = "PRI"
	}
	if f, good := firstFrame(frames); good {
		h.Method = frameNames[f.kind]
		if f.kind == frameHeaders {
			h.Method = staticMethod(f.block())
		}
	}
	if f, good := firstFrame(answer); good && f.kind == frameHeaders {
		h.Status = staticStatus(f.block())
	}
}

// firstFrame gives the first HEADERS, or the first frame when there is none.
func firstFrame(b []byte) (first frame, good bool) {
	for {
		f, more := readFrame(b)
		if !more {
			return first, good
		}
		if !good || f.kind == frameHeaders {
			first, good = f, true
		}
		if f.kind == frameHeaders {
			return first, true
		}
		b = f.rest
	}
}

// staticMethod: 2 and 3 are :method GET and POST. An update of the dynamic table's
// size (§6.3) may be before them.
func staticMethod(b []byte) string {
	switch staticIndex(b) {
	case 2:
		return "GET"
	case 3:
		return "POST"
	}
	return Other
}

// staticStatus: 8 to 14 are those of :status.
func staticStatus(b []byte) string {
	if i := staticIndex(b); i >= 8 && i <= 14 {
		return [...]string{"200", "204", "206", "304", "400", "404", "500"}[i-8]
	}
	return ""
}

// staticIndex gives the index of the block's first field where all of it is in the
// static table (§6.1), or 0.
func staticIndex(b []byte) int {
	for len(b) > 0 && b[0]>>5 == 1 {
		b = afterInteger(b, 0x1f)
	}
	if len(b) == 0 || b[0]&0x80 == 0 || b[0]&0x7f > 61 {
		return 0
	}
	return int(b[0] & 0x7f)
}

// afterInteger skips one of HPACK (RFC 7541 §5.1) whose first byte has a prefix of
// these bits.
func afterInteger(b []byte, prefix byte) []byte {
	long := b[0]&prefix == prefix
	for b = b[1:]; long && len(b) > 0; b = b[1:] {
		long = b[0]&0x80 != 0
	}
	return b
}

// countHTTP2 counts the streams that are opened: a HEADERS frame on a stream that is
// later than all before. Others end a request.
func countHTTP2(b []byte) (n int) {
	b, _ = afterPreface(b)
	var last uint32
	for {
		f, good := readFrame(b)
		if !good {
			return n
		}
		if f.kind == frameHeaders && f.stream > last {
			n++
			last = f.stream
		}
		b = f.rest
	}
}
