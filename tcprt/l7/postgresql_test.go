package l7

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// pgMessage puts a type and a length before a body.
func pgMessage(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

func pgQuery(text string) string { return pgMessage('Q', text+"\x00") }

var (
	pgReady = pgMessage('Z', "I")
	pgOne   = pgMessage('T', "\x00\x01?column?\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00") +
		pgMessage('D', "\x00\x01\x00\x00\x00\x011") + pgMessage('C', "SELECT 1\x00") + pgReady
	pgSyntax = pgMessage('E', "SERROR\x00VERROR\x00C42601\x00Msyntax error at or near \"foo\"\x00P1\x00Fscan.l\x00L1145\x00Rscanner_yyerror\x00\x00")
	pgStart  = "\x00\x00\x00\x26\x00\x03\x00\x00user\x00postgres\x00database\x00test\x00\x00"
)

func TestPostgreSQL(t *testing.T) {
	hint := func(method, status string) tcprt.Hint { return tcprt.Hint{Method: method, Status: status} }
	bind := pgMessage('B', "\x00s1\x00\x00\x00\x00\x01\x00\x00\x00\x06secret\x00\x00")
	execute := pgMessage('D', "P\x00") + pgMessage('E', "\x00\x00\x00\x00\x00") + pgMessage('S', "")
	bound := pgMessage('2', "") + pgMessage('n', "") + pgMessage('C', "INSERT 0 1\x00") + pgReady
	check(t, nil, PostgreSQL, []one{
		{"query", fromHex("51 00 00 00 0d 53 45 4c 45 43 54 20 31 00"), pgOne, hint("SELECT", "OK"), 0, 1},
		{"comments and brackets", pgQuery("/* a /* b */ c */ -- d\n((select 1) union (select 2))"), pgOne, hint("SELECT", "OK"), 0, 1},
		{"error", pgQuery("foo"), pgSyntax + pgReady, hint(Other, "42601"), 0, 1},
		{"error after a notice", pgQuery("DROP TABLE x"), pgMessage('N', "SNOTICE\x00C00000\x00Mx\x00\x00") + pgSyntax, hint("DROP", "42601"), 0, 1},
		{"error without a code", pgQuery("ABORT"), pgMessage('E', "SERROR\x00Cpass1\x00\x00"), hint("ABORT", Other), 0, 1},
		{"no statement", pgQuery(""), pgMessage('I', "") + pgReady, hint("Query", "OK"), 0, 1},
		{"extended", pgMessage('P', "s1\x00INSERT INTO t VALUES ($1)\x00\x00\x00") + bind + execute, pgMessage('1', "") + bound, hint("INSERT", "OK"), 0, 1},
		{"prepared", bind + execute, bound, hint("Bind", "OK"), 0, 1},
		{"a pipeline", bind + pgMessage('E', "\x00\x00\x00\x00\x00") + bind + execute, bound, hint("Bind", "OK"), 0, 2},
		{"closed and executed", pgMessage('C', "Ss1\x00") + pgMessage('P', "s2\x00COMMIT\x00\x00\x00") + bind + execute, "", hint("COMMIT", ""), 0, 1},
		{"terminate", fromHex("58 00 00 00 04"), "", hint("Terminate", ""), 0, 0},
		{"startup", pgStart, fromHex("52 00 00 00 08 00 00 00 00"), hint("StartupMessage", "OK"), 0, 1},
		{"startup of 3.2", strings.Replace(pgStart, "\x03\x00\x00", "\x03\x00\x02", 1), "", hint("StartupMessage", ""), 0, 1},
		{"no such user", pgStart, pgMessage('E', "SFATAL\x00VFATAL\x00C28P01\x00Mpassword authentication failed\x00\x00"), hint("StartupMessage", "28P01"), 0, 1},
		{"TLS is asked for", fromHex("00 00 00 08 04 d2 16 2f"), "S", hint("SSLRequest", "OK"), tcprt.Handshake, 1},
		{"TLS is refused", fromHex("00 00 00 08 04 d2 16 2f"), "N", hint("SSLRequest", "refused"), tcprt.Handshake, 1},
		{"GSSAPI is refused", fromHex("00 00 00 08 04 d2 16 30"), "N", hint("GSSENCRequest", "refused"), tcprt.Handshake, 1},
		{"cancel", fromHex("00 00 00 10 04 d2 16 2e 00 00 10 00 01 02 03 04"), "", hint("CancelRequest", ""), 0, 1},
		{"password", pgMessage('p', "hunter2\x00"), pgMessage('R', "\x00\x00\x00\x00") + pgMessage('S', "a\x00b\x00"), hint("PasswordMessage", "OK"), 0, 0},
		{"copy", pgMessage('d', "a,b,c\n") + pgMessage('c', ""), pgMessage('C', "COPY 1\x00") + pgReady, hint("CopyData", "OK"), 0, 0},
		{"a long statement", pgQuery("INSERT INTO t VALUES ('" + strings.Repeat("x", 5000))[:256], "", hint("INSERT", ""), 0, 1},
	})
	for _, request := range []string{fromHex("51 00 00 00 0d 53 45 4c 45 43 54 20 31 00"), pgStart, bind + execute, pgQuery("SELECT '" + strings.Repeat("x", 500))[:256]} {
		if p := Detect([]byte(request), nil); p != PostgreSQL {
			t.Errorf("%q is %v", request, p)
		}
	}
}

func TestPostgreSQLStatements(t *testing.T) {
	check(t, &Options{Level: Statements}, PostgreSQL, []one{
		{"pgbench", pgQuery("SELECT abalance FROM pgbench_accounts WHERE aid = 77;"), pgOne,
			tcprt.Hint{Method: "SELECT", Route: "SELECT abalance FROM pgbench_accounts WHERE aid = ?", Status: "OK"}, 0, 1},
		{"extended", pgMessage('P', "s1\x00UPDATE \"T\" SET a = $1\x00\x00\x00"), "", tcprt.Hint{Method: "UPDATE", Route: "UPDATE \"T\" SET a = ?"}, 0, 0},
	})
}
