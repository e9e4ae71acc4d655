package l7

import (
	"encoding/binary"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// frameOf puts a header before a payload (RFC 9113 §4.1).
func frameOf(kind, flags byte, stream uint32, payload string) string {
	n := len(payload)
	return string(binary.BigEndian.AppendUint32([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, stream)) + payload
}

func TestHTTP2(t *testing.T) {
	var (
		settings = frameOf(frameSettings, 0, 0, "\x00\x03\x00\x00\x00\x64")
		ack      = frameOf(frameSettings, 1, 0, "")
		// RFC 7541 C.4.1 and C.6.1: GET http www.example.com / and 302 …
		get   = fromHex("82 86 84 41 8c f1 e3 c2 e5 f2 3a 6b a0 ab 90 f4 ff")
		moved = fromHex("48 82 64 02 58 85 ae c3 77 1a 4b")
		post  = fromHex("83 86 84")
		good  = frameOf(frameHeaders, 4, 1, "\x88\x58\x85")
		data  = frameOf(frameData, 1, 1, "body")
	)
	hint := func(method, status string) tcprt.Hint { return tcprt.Hint{Method: method, Status: status} }
	check(t, nil, HTTP2, []one{
		{"preface and request", preface + settings + frameOf(frameHeaders, 5, 1, get), settings + ack + good, hint("GET", "200"), 0, 1},
		{"preface alone", preface, settings, hint("PRI", ""), 0, 0},
		{"preface that is cut", preface[:18], "", hint("PRI", ""), 0, 0},
		{"preface and settings", preface + settings, settings, hint("SETTINGS", ""), 0, 0},
		{"post", frameOf(frameHeaders, 4, 3, post) + frameOf(frameData, 1, 3, "body"), good + data, hint("POST", "200"), 0, 1},
		{"padded, with a priority", frameOf(frameHeaders, 0x2d, 3, "\x02\x00\x00\x00\x00\x10"+get+"\x00\x00") + frameOf(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), good + data, hint("GET", "200"), 0, 1},
		{"the table's size changes (RFC 7541 §6.3)", frameOf(frameHeaders, 5, 3, "\x3f\xe1\x1f\x20"+get) + settings, good + data, hint("GET", "200"), 0, 1},
		{"a status that is not in the table", frameOf(frameHeaders, 5, 3, get) + settings, frameOf(frameHeaders, 4, 3, moved) + ack, hint("GET", "302"), 0, 1},
		{"a status that is none", frameOf(frameHeaders, 5, 3, get) + settings, frameOf(frameHeaders, 4, 3, "\x48\x03999") + ack, hint("GET", Other), 0, 1},
		{"a status that is no number", frameOf(frameHeaders, 5, 3, get) + settings, frameOf(frameHeaders, 4, 3, "\x08\x83\xff\xff\xff") + ack, hint("GET", Other), 0, 1},
		{"both in the connection's table", frameOf(frameHeaders, 5, 3, "\xbf\x84") + settings, frameOf(frameHeaders, 4, 3, "\xc0") + ack, hint("", ""), 0, 1},
		{"the authority comes first", frameOf(frameHeaders, 5, 3, "\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x82") + settings, good + data, hint("GET", "200"), 0, 1},
		{"a literal name comes first", frameOf(frameHeaders, 5, 3, "\x10\x01a\x01b\x83") + settings, good + data, hint("POST", "200"), 0, 1},
		{"a method in Huffman's code", frameOf(frameHeaders, 5, 3, "\x42\x86\xbf\x83\x3e\x0d\xf8\x3f") + settings, good + data, hint("DELETE", "200"), 0, 1},
		{"a method that is none", frameOf(frameHeaders, 5, 3, "\x42\x84\xbf\x83\x3e\x0d") + settings, good + data, hint(Other, "200"), 0, 1},
		{"the block is cut", frameOf(frameHeaders, 5, 3, "\x41\x8c\xf1") + settings, good + data, hint("", "200"), 0, 1},
		{"a method that is not in the table", frameOf(frameHeaders, 5, 3, "\x42\x03PUT") + settings, good + data, hint("PUT", "200"), 0, 1},
		{"three streams", frameOf(frameHeaders, 5, 3, get) + frameOf(frameHeaders, 5, 5, get) + frameOf(frameHeaders, 5, 7, get), good + data, hint("GET", "200"), 0, 3},
		{"trailers open none", frameOf(frameHeaders, 4, 3, post) + frameOf(frameData, 0, 3, "b") + frameOf(frameHeaders, 5, 3, post), good + data, hint("POST", "200"), 0, 1},
		{"ping", frameOf(framePing, 0, 0, "12345678") + frameOf(frameWindowUpdate, 0, 1, "\x00\x00\x00\x01"), frameOf(framePing, 1, 0, "12345678"), hint("PING", ""), 0, 0},
		{"the next header is cut", frameOf(frameHeaders, 5, 3, get) + "\x00\x00", good, hint("GET", "200"), 0, 1},
	})
	for _, b := range []string{
		frameOf(frameHeaders, 5, 2, get), frameOf(frameHeaders, 5, 0, get), frameOf(frameSettings, 0, 1, ""), frameOf(frameSettings, 0, 0, "1"),
		frameOf(framePing, 0, 0, "1"), frameOf(framePushPromise, 0, 1, "1234"), frameOf(11, 0, 1, ""), frameOf(frameData, 0, 1<<31+1, ""),
		frameOf(framePriority, 0, 1, "1"), frameOf(frameRSTStream, 0, 1, "1"), frameOf(frameGoAway, 0, 0, "1"), frameOf(frameWindowUpdate, 0, 0, "1"),
	} {
		if p := Detect([]byte(b), nil); p != Unknown {
			t.Errorf("%x is %v", b, p)
		}
		if p := Detect([]byte(b+settings), nil); p != Unknown {
			t.Errorf("%x and settings is %v", b, p)
		}
	}
}
