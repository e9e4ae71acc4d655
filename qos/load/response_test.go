package load

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func parse(pieces ...string) (r *response, surplus int, done bool, err error) {
	r = &response{}
	r.reset()
	for i, p := range pieces {
		var n int
		n, done, err = r.feed([]byte(p))
		if err != nil || done {
			surplus = len(p) - n
			for _, rest := range pieces[i+1:] {
				surplus += len(rest)
			}
			return r, surplus, done, err
		}
	}
	return r, 0, done, err
}

func TestResponseAccepts(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct {
		text   string
		status int
		close  bool
	}{
		"length":        {ok + "Content-Length: 5\r\n\r\nhello", 200, false},
		"empty":         {ok + "content-length:0\r\n\r\n", 200, false},
		"same length":   {ok + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, false},
		"chunked":       {ok + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n", 200, false},
		"no content":    {"HTTP/1.1 204 No Content\r\n\r\n", 204, false},
		"no reason":     {"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, false},
		"bare newline":  {"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, false},
		"interim":       {"HTTP/1.1 100 Continue\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", 200, false},
		"close":         {ok + "Connection: Close\r\nContent-Length: 0\r\n\r\n", 200, true},
		"http 1.0":      {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, true},
		"long but fine": {ok + "X: " + strings.Repeat("x", maxLine-10) + "\r\nContent-Length: 0\r\n\r\n", 200, false},
	} {
		pieces := [][]string{{c.text}, strings.Split(c.text, "")}
		for _, p := range pieces {
			r, surplus, done, err := parse(p...)
			if err != nil || !done || surplus != 0 || r.status != c.status || r.close != c.close {
				t.Errorf("%s in %d pieces: done %v, status %d, close %v, surplus %d, %v", name, len(p), done, r.status, r.close, surplus, err)
			}
		}
	}
}

func TestResponseRefuses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	chunked := ok + "Transfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"garbage":          {"SSH-2.0-OpenSSH\r\n", errStatusLine},
		"http2":            {"HTTP/2.0 200 OK\r\n", errStatusLine},
		"status letters":   {"HTTP/1.1 2x0 OK\r\n", errStatusLine},
		"status long":      {"HTTP/1.1 2000 OK\r\n", errStatusLine},
		"upgrade":          {"HTTP/1.1 101 Switching\r\n", errStatusLine},
		"no colon":         {ok + "Content-Length 5\r\n", errHeader},
		"space in name":    {ok + "Content-Length : 5\r\n", errHeader},
		"negative length":  {ok + "Content-Length: -1\r\n", errLength},
		"plus length":      {ok + "Content-Length: +1\r\n", errLength},
		"two lengths":      {ok + "Content-Length: 1\r\nContent-Length: 2\r\n", errLength},
		"length overflow":  {ok + "Content-Length: 99999999999999999999\r\n", errLength},
		"huge length":      {ok + "Content-Length: 99999999999\r\n\r\n", errTooLarge},
		"both":             {ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", errLength},
		"gzip":             {ok + "Transfer-Encoding: gzip, chunked\r\n", errEncoding},
		"chunk not hex":    {chunked + "zz\r\n", errChunk},
		"chunk empty":      {chunked + "\r\n", errChunk},
		"chunk negative":   {chunked + "-5\r\n", errChunk},
		"chunk overflow":   {chunked + "fffffffffffffffff\r\n", errChunk},
		"chunk huge":       {chunked + "ffffffff\r\n", errTooLarge},
		"chunk end absent": {chunked + "1\r\nxyz\r\n", errChunk},
		"endless line":     {ok + "X: " + strings.Repeat("x", maxLine), errTooLarge},
		"endless header":   {ok + strings.Repeat("X: yyyyyyyyyyyyyyyy\r\n", maxHeader/20+1), errTooLarge},
		"endless interim":  {strings.Repeat("HTTP/1.1 100 C\r\nX: yyyyyyyyyyyyyyyy\r\n\r\n", maxHeader/20+1), errTooLarge},
	} {
		for _, p := range [][]string{{c.text}, strings.Split(c.text, "")} {
			if _, _, done, err := parse(p...); done || !errors.Is(err, c.want) {
				t.Errorf("%s in %d pieces: done %v, error %v, want %v", name, len(p), done, err, c.want)
			}
		}
	}
}

func TestResponseBodyWithoutLengthEndsWithConnection(t *testing.T) {
	r, _, done, err := parse("HTTP/1.1 200 OK\r\n\r\nsome", "thing")
	if err != nil || done {
		t.Fatalf("done %v before the close, %v", done, err)
	}
	if err := r.eof(); err != nil || !r.close {
		t.Fatalf("eof: %v, close %v", err, r.close)
	}
	r, _, _, _ = parse("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")
	if err := r.eof(); !errors.Is(err, errEarlyClose) {
		t.Fatalf("eof within a body: %v", err)
	}
}

func TestResponseLeavesPipelinedBytes(t *testing.T) {
	const one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
	_, surplus, done, err := parse(one + one)
	if err != nil || !done || surplus != len(one) {
		t.Fatalf("done %v, surplus %d, %v", done, surplus, err)
	}
}

// FuzzResponse holds that no bytes make the parser panic or read beyond its
// input, and that cutting the input into pieces changes nothing.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
		"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil close",
		"HTTP/1.1 204 N\r\n\r\nHTTP/1.1 204 N\r\n\r\n", "\r\n\r\n", "",
	} {
		f.Add([]byte(s), uint16(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		whole, rest, done, err := parse(string(b))
		at := min(int(cut), len(b))
		parts, rest2, done2, err2 := parse(string(b[:at]), string(b[at:]))
		if rest < 0 || rest > len(b) || rest2 < 0 {
			t.Fatalf("surplus %d of %d bytes", rest, len(b))
		}
		if done != done2 || !errors.Is(err2, err) || whole.status != parts.status || (done && rest != rest2) {
			t.Fatalf("whole: %v %v %d; cut at %d: %v %v %d", done, err, rest, at, done2, err2, rest2)
		}
		if done && err == nil && whole.body > int64(len(b)) {
			t.Fatalf("body of %d from %d bytes", whole.body, len(b))
		}
	})
}

func TestRequestStamp(t *testing.T) {
	r := newRequest(target{host: "h:1", path: "/work"})
	for _, v := range []int64{0, 12345, 1e18 - 1, 42} {
		want := fmt.Sprintf("GET /work HTTP/1.1\r\nHost: h:1\r\nAnole-Sent: %018d\r\n\r\n", v)
		if got := r.stamped(v); !bytes.Equal(got, []byte(want)) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}
