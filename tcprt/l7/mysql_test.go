package l7

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// mysqlPacket puts a header before a body.
func mysqlPacket(number byte, body string) string {
	n := len(body)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), number}) + body
}

func mysqlQuery(text string) []byte { return []byte(mysqlPacket(0, "\x03"+text)) }

// fromHex reads a dump, spaces between the bytes or not.
func fromHex(s string) string {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return string(b)
}

// The answers of MySQL's "Generic Response Packets".
var (
	mysqlOK      = fromHex("07 00 00 01 00 00 00 02 00 00 00")
	mysqlEOF     = fromHex("05 00 00 01 fe 00 00 02 00")
	mysqlNoTable = fromHex("17 00 00 01 ff 48 04 23 48 59 30 30 30 4e 6f 20 74 61 62 6c 65 73 20 75 73 65 64") // 1096, HY000, No tables used
)

// "Protocol::HandshakeResponse41" and "Protocol::SSLRequest".
var (
	mysqlLogin = fromHex(`54 00 00 01 8d a6 0f 00 00 00 00 01 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 00 70 61 6d 00 14 ab 09 ee f6 bc b1 32 3e 61 14 38 65 c0 99 1d 95 7d 75 d4 47 74 65 73
		74 00 6d 79 73 71 6c 5f 6e 61 74 69 76 65 5f 70 61 73 73 77 6f 72 64 00`)
	mysqlSSL = fromHex(`20 00 00 01 05 ae 03 00 00 00 00 01 08 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		00 00 00 00`)
)

func TestMySQL(t *testing.T) {
	hint := func(method, status string) tcprt.Hint { return tcprt.Hint{Method: method, Status: status} }
	query := func(text string) string { return string(mysqlQuery(text)) }
	execute := mysqlPacket(0, "\x17\x01\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01\x0f\x00\x03foo") // "COM_STMT_EXECUTE"
	check(t, nil, MySQL, []one{
		{"ping", fromHex("01 00 00 00 0e"), mysqlOK, hint("COM_PING", "OK"), 0, 1},
		{"quit", fromHex("01 00 00 00 01"), "", hint("COM_QUIT", ""), 0, 1},
		{"init db", fromHex("05 00 00 00 02 74 65 73 74"), mysqlOK, hint("COM_INIT_DB", "OK"), 0, 1},
		{"statistics", fromHex("01 00 00 00 09"), mysqlPacket(1, "Uptime: 1070  Threads: 1  Questions: 1"), hint("COM_STATISTICS", "OK"), 0, 1},
		// "COM_QUERY": select @@version_comment limit 1
		{"select", fromHex("21 00 00 00 03 73 65 6c 65 63 74 20 40 40 76 65 72 73 69 6f 6e 5f 63 6f 6d 6d 65 6e 74 20 6c 69 6d 69 74 20 31"),
			fromHex("01 00 00 01 01 27 00 00 02 03 64 65 66"), hint("SELECT", "OK"), 0, 1},
		{"error", query("SELECT *"), mysqlNoTable, hint("SELECT", "1096/HY000"), 0, 1},
		{"error without a state", query("SELECT 1"), mysqlPacket(1, "\xff\x10\x04Too many connections"), hint("SELECT", "1040"), 0, 1},
		{"error that is cut", query("SELECT 1"), mysqlPacket(1, "\xff\x10\x04#08004Too many")[:11], hint("SELECT", "1040"), 0, 1},
		{"a state that is none", query("SELECT 1"), mysqlPacket(1, "\xff\x10\x04#pass word"), hint("SELECT", "1040"), 0, 1},
		{"a comment before it", query("/* app */ -- x\n# y\n (insert into t values (1))"), mysqlOK, hint("INSERT", "OK"), 0, 1},
		{"what some versions run", query("/*!40101 SET NAMES utf8 */"), mysqlOK, hint("SET", "OK"), 0, 1},
		{"no verb", query("hunter2"), mysqlOK, hint(Other, "OK"), 0, 1},
		{"no attributes (8.0.23)", query("\x00\x01SELECT 1"), mysqlOK, hint("SELECT", "OK"), 0, 1},
		{"attributes", query("\x01\x01\x00\x01\xfe\x00\x01n\x06SELECTDELETE"), mysqlOK, hint("COM_QUERY", "OK"), 0, 1},
		{"prepare", mysqlPacket(0, "\x16SELECT CONCAT(?, ?) AS col1"), fromHex("0c 00 00 01 00 01 00 00 00 01 00 02 00 00 00 00"), hint("COM_STMT_PREPARE", "OK"), 0, 1},
		{"execute", execute, fromHex("01 00 00 01 01"), hint("COM_STMT_EXECUTE", "OK"), 0, 1},
		{"close has no answer", mysqlPacket(0, "\x19\x01\x00\x00\x00") + query("COMMIT"), mysqlOK, hint("COMMIT", "OK"), 0, 1},
		{"close alone", mysqlPacket(0, "\x19\x01\x00\x00\x00"), "", hint("COM_STMT_CLOSE", ""), 0, 0},
		{"two at once", query("BEGIN") + query("SELECT 1"), mysqlOK, hint("BEGIN", "OK"), 0, 2},
		{"reset", fromHex("01 00 00 00 1f"), mysqlOK, hint("COM_RESET_CONNECTION", "OK"), 0, 1},
		{"end of file", fromHex("03 00 00 00 1b 00 00"), mysqlEOF, hint("COM_SET_OPTION", "OK"), 0, 1},
		{"login", mysqlLogin, fromHex("07 00 00 02 00 00 00 02 00 00 00"), hint("HandshakeResponse", "OK"), 0, 0},
		{"login over TLS", mysqlSSL, "", hint("SSLRequest", ""), tcprt.Handshake, 0},
		{"a long statement", string(mysqlQuery("UPDATE t SET a = '" + strings.Repeat("x", 5000) + "'"))[:256], mysqlOK, hint("UPDATE", "OK"), 0, 1},
		// "Protocol::HandshakeV10": it comes before anything is asked.
		{"greeting", "", fromHex("36 00 00 00 0a 35 2e 35 2e 32 2d 6d 32 00 0b 00 00 00 64 76 48 40 49 2d 43 4a 00 ff f7"), hint("", ""), 0, 0},
	})
	// By the bytes alone.
	for request, answer := range map[string]string{fromHex("01 00 00 00 0e"): "", mysqlLogin: "", mysqlSSL: "", query("select 1"): "", execute: fromHex("01 00 00 01 01"), fromHex("01 00 00 00 09"): mysqlOK} {
		if p := Detect([]byte(request), []byte(answer)); p != MySQL {
			t.Errorf("%x is %v", request, p)
		}
	}
}

func TestMySQLStatements(t *testing.T) {
	check(t, &Options{Level: Statements}, MySQL, []one{
		{"select", string(mysqlQuery("SELECT  c FROM sbtest1 WHERE id=5034 AND k IN (1, 2,3)")), mysqlOK,
			tcprt.Hint{Method: "SELECT", Route: "SELECT c FROM sbtest1 WHERE id=? AND k IN (?)", Status: "OK"}, 0, 1},
		{"prepare", mysqlPacket(0, "\x16SELECT CONCAT(?, ?) AS col1"), "", tcprt.Hint{Method: "COM_STMT_PREPARE", Route: "SELECT CONCAT(?) AS col1"}, 0, 1},
		{"attributes", string(mysqlQuery("\x0a\x01\x00\x01\xfe\x00\x01n\x06SELECTDELETE")), mysqlOK, tcprt.Hint{Method: "COM_QUERY", Status: "OK"}, 0, 1},
	})
}
