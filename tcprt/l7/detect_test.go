package l7

import (
	"strings"
	"testing"
)

// The port decides nothing against the bytes.
func TestDetectOnAnyPort(t *testing.T) {
	for _, c := range []struct {
		want            Protocol
		request, answer string
	}{
		{HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n"},
		{HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{HTTP, "GET /" + strings.Repeat("long/", 50), "HTTP/1.1 200 OK\r\n"},
		{HTTP, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the middle of the answer before"},
		{HTTP, "", "HTTP/1.1 200 OK\r\n"},
		{Redis, resp("GET", "k"), "$-1\r\n"},
		{Redis, resp("GET", "k"), ""},
		{Redis, "GET /k\r\n", "$-1\r\n"},
		{MySQL, string(mysqlQuery("SELECT 1")), mysqlOK},
		{MySQL, mysqlPacket(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00"), mysqlOK},
		{MySQL, mysqlLogin, ""},
		{PostgreSQL, pgQuery("SELECT 1"), pgOne},
		{PostgreSQL, pgStart, ""},
		{PostgreSQL, pgMessage('B', "\x00s1\x00\x00\x00\x00\x00\x00\x00") + pgMessage('E', "\x00\x00\x00\x00\x00") + pgMessage('S', ""), pgReady},
		{TLS, tlsRecordOf(applicationData, "0123456789"), tlsRecordOf(applicationData, "0123456789")},
		{TLS, fromHex("16 03 01 00 f8 01 00 00 f4 03 03"), ""},
		{HTTP2, preface, ""},
		{HTTP2, frameOf(frameHeaders, 5, 1, "\x82") + frameOf(frameWindowUpdate, 0, 0, "\x00\x00\x00\x01"), ""},
	} {
		for _, port := range []uint16{0, 80, 443, 3306, 5432, 6379, 9999} {
			if p := detect(port, []byte(c.request), []byte(c.answer)); p != c.want {
				t.Errorf("%q on %d is %v, want %v", c.request, port, p, c.want)
			}
		}
	}
}

// What is of no protocol here is taken for none.
func TestDetectNothingElse(t *testing.T) {
	for name, c := range map[string][2]string{
		"nothing":      {"", ""},
		"SSH":          {"SSH-2.0-OpenSSH_9.7\r\n", "SSH-2.0-OpenSSH_9.2p1\r\n"},                                                                                      // RFC 4253 §4.2
		"SMTP":         {"EHLO bar.com\r\n", "250-foo.com greets bar.com\r\n250 HELP\r\n"},                                                                            // RFC 5321 appendix D
		"SMTP auth":    {"AUTH PLAIN dGVzdAB0ZXN0ADEyMzQ=\r\n", "235 2.7.0 Authentication successful\r\n"},                                                            // RFC 4954 §4.3
		"FTP":          {"QUIT\r\n", "221 Goodbye.\r\n"},                                                                                                              // RFC 959 §5.4
		"IMAP":         {"a001 login mrc secret\r\n", "a001 OK LOGIN completed\r\n"},                                                                                  // RFC 3501 §8
		"memcached":    {"get foo\r\n", "VALUE foo 0 3\r\nbar\r\nEND\r\n"},                                                                                            // protocol.txt, "Retrieval command"
		"memcached 2":  {fromHex("80 00 00 05 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00 00 00 00 00 00") + "Hello", ""},                                            // "Binary protocol", get
		"Kafka":        {fromHex("00 00 00 1a 00 12 00 03 00 00 00 01 00 0a") + "consumer-1" + "\x00\x01\x00\x00", fromHex("00 00 00 14 00 00 00 01 00 00 01 00 12")}, // ApiVersions
		"DNS":          {fromHex("00 1d ab cd 01 00 00 01 00 00 00 00 00 00 07 65 78 61 6d 70 6c 65 03 63 6f 6d 00 00 01 00 01"), ""},                                 // RFC 7766 §8
		"AMQP":         {"AMQP\x00\x00\x09\x01", fromHex("01 00 00 00 00 01 f0 00 0a 00 0a 00 09")},                                                                   // AMQP 0-9-1 §4.2.2
		"ZooKeeper":    {fromHex("00 00 00 2d 00 00 00 00 00 00 00 00 00 00 00 00 00 00 75 30 00 00 00 00 00 00 00 00 00 00 00 10"), fromHex("00 00 00 25 00 00 00 00 00 00 75 30")},
		"ZooKeeper 2":  {fromHex("00 00 00 08 ff ff ff fe 00 00 00 0b"), fromHex("00 00 00 10 ff ff ff fe 00 00 00 00 00 00 00 05 00 00 00 00")}, // ping
		"MongoDB":      {fromHex("3a 00 00 00 01 00 00 00 00 00 00 00 d4 07 00 00 00 00 00 00") + "admin.$cmd\x00", ""},                          // OP_QUERY
		"MongoDB 6":    {fromHex("5d 00 00 00 00 00 00 00 00 00 00 00 dd 07 00 00 00 00 00 00 00 48 00 00 00 02"), ""},                           // OP_MSG
		"BitTorrent":   {"\x13BitTorrent protocol" + string(make([]byte, 8)), ""},
		"zeros":        {string(make([]byte, 256)), string(make([]byte, 256))},
		"ones":         {strings.Repeat("\xff", 256), strings.Repeat("\xff", 256)},
		"text":         {"hello, world\n", "hello, world\n"},
		"JSON":         {`{"jsonrpc": "2.0", "method": "m", "id": 1}` + "\n", `{"jsonrpc": "2.0", "result": 1}` + "\n"},
		"a lone line":  {"\r\n", "\r\n"},
		"no known SQL": {pgMessage('Q', "x")[:5], ""},
	} {
		if p := Detect([]byte(c[0]), []byte(c[1])); p != Unknown {
			t.Errorf("%s is %v", name, p)
		}
		for cut := range len(c[0]) {
			if p := Detect([]byte(c[0][:cut]), []byte(c[1])); p != Unknown {
				t.Errorf("%d bytes of %s are %v", cut, name, p)
			}
		}
	}
}

func TestLevels(t *testing.T) {
	for l := Verbs; l <= Statements; l++ {
		if got, err := ParseLevel(l.String()); got != l || err != nil {
			t.Error(got, err)
		}
	}
	if _, err := ParseLevel("headers"); err == nil {
		t.Error("there is no such level")
	}
	if protocols.String() != "" || HTTP2.String() != "http2" || Protocol(200).String() != "" {
		t.Error(protocols, HTTP2)
	}
}
