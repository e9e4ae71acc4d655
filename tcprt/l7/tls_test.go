package l7

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// tlsRecordOf puts a header before a fragment (RFC 8446 §5.1).
func tlsRecordOf(kind byte, fragment string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind, 3, 3}, uint16(len(fragment)))) + fragment
}

// tlsHello is a ServerHello (RFC 8446 §4.1.3) with a session of 32 bytes.
func tlsHello(minor byte, extensions string) string {
	body := string([]byte{3, minor}) + strings.Repeat("r", 32) + "\x20" + strings.Repeat("s", 32) + "\x13\x01\x00"
	if extensions != "" {
		body += string(binary.BigEndian.AppendUint16(nil, uint16(len(extensions)))) + extensions
	}
	return tlsRecordOf(handshake, string([]byte{serverHello, 0, 0, byte(len(body))})+body)
}

func TestTLS(t *testing.T) {
	var (
		hello    = fromHex("16 03 01 00 f8 01 00 00 f4 03 03 00 01 02 03 04 05 06 07 08 09")
		ccs      = fromHex("14 03 03 00 01 01")
		keyShare = fromHex("00 33 00 24 00 1d 00 20") + strings.Repeat("k", 32)
		version3 = fromHex("00 2b 00 02 03 04")
		finished = tlsRecordOf(applicationData, strings.Repeat("f", 53)) // 1.3, SHA-256
		data     = tlsRecordOf(applicationData, strings.Repeat("d", 60))
	)
	both := tcprt.TLS | tcprt.Handshake
	hint := func(method, status string) tcprt.Hint { return tcprt.Hint{Method: method, Status: status} }
	check(t, nil, TLS, []one{
		{"1.3", hello, tlsHello(3, version3+keyShare), hint("ClientHello", "TLSv1.3"), both, 0},
		{"1.3, the extensions the other way", hello, tlsHello(3, keyShare+version3), hint("ClientHello", "TLSv1.3"), both, 0},
		{"1.2", hello, tlsHello(3, fromHex("ff 01 00 01 00")), hint("ClientHello", "TLSv1.2"), both, 0},
		{"1.0 without extensions", hello, tlsHello(1, ""), hint("ClientHello", "TLSv1.0"), both, 0},
		{"the answer is cut", hello, tlsHello(3, version3)[:70], hint("ClientHello", ""), both, 0},
		{"the extensions are cut", hello, tlsHello(3, keyShare+version3)[:90], hint("ClientHello", ""), both, 0},
		{"no version in common", hello, fromHex("15 03 03 00 02 02 46"), hint("ClientHello", "protocol_version"), both, 0},
		{"an alert without a name", hello, fromHex("15 03 03 00 02 02 c8"), hint("ClientHello", Other), both, 0},
		{"an alert that is encrypted", data, tlsRecordOf(alert, strings.Repeat("a", 26)), hint("ApplicationData", ""), tcprt.TLS, 0},
		{"1.2, the client's keys", tlsRecordOf(handshake, "\x10\x00\x00\x21"+strings.Repeat("k", 33)) + ccs + tlsRecordOf(handshake, strings.Repeat("e", 40)), ccs, hint("Handshake", ""), both, 0},
		{"1.2, resumed, with a request", ccs + tlsRecordOf(handshake, strings.Repeat("e", 40)) + data, data, hint("ApplicationData", ""), tcprt.TLS, 0},
		{"1.3, the client's end", ccs + finished, data, hint("Handshake", ""), both, 0},
		{"1.3, with a request", ccs + finished + data, data, hint("ApplicationData", ""), tcprt.TLS, 0},
		{"1.3, a certificate of the client", ccs + data + finished, data, hint("Handshake", ""), both, 0},
		{"data", data, data, hint("ApplicationData", ""), tcprt.TLS, 0},
		{"empty data (RFC 8446 §5.4)", fromHex("17 03 03 00 00") + data, data, hint("ApplicationData", ""), tcprt.TLS, 0},
		{"close", fromHex("15 03 03 00 02 01 00"), "", hint("Alert", ""), both, 0},
		{"heartbeat", tlsRecordOf(heartbeat, "\x01\x00\x10"), "", hint(Other, ""), both, 0},
	})
	if p := Detect([]byte(hello), []byte("HTTP/1.1 400 Bad Request\r\n")); p != HTTP && p != TLS {
		t.Error(p)
	}
	for _, b := range []string{"\x16\x02\x00\x00\x10\x01", "\x17\x03\x03\xff\xff\x01", "\x16\x03\x01\x00\x00", "\x19\x03\x01\x00\x01\x00"} {
		if p := Detect([]byte(b), nil); p != Unknown {
			t.Errorf("%x is %v", b, p)
		}
	}
}
