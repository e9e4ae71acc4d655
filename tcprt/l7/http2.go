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

// parseHTTP2 tells what needs no state of the connection: methods and statuses that
// are literals or in HPACK's static table.
func parseHTTP2(h *tcprt.Hint, request, answer []byte) {
	frames, there := afterPreface(request)
	if there && len(frames) == 0 {
		h.Method = "PRI"
	}
	if f, good := firstFrame(frames); good {
		h.Method = frameNames[f.kind]
		if f.kind == frameHeaders {
			h.Method = blockMethod(f.block())
		}
	}
	if f, good := firstFrame(answer); good && f.kind == frameHeaders {
		h.Status = blockStatus(f.block())
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
