package l7

import (
	"fmt"
	"strings"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// resp is an array of bulk strings, as clients send ("Sending commands to a Redis
// server").
func resp(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b.String()
}

func TestRedis(t *testing.T) {
	hint := func(method, status string) tcprt.Hint { return tcprt.Hint{Method: method, Status: status} }
	check(t, nil, Redis, []one{
		{"the specification's example", "*2\r\n$4\r\nLLEN\r\n$6\r\nmylist\r\n", ":48293\r\n", hint("LLEN", "OK"), 0, 1},
		{"simple string", resp("set", "k", "v"), "+OK\r\n", hint("SET", "OK"), 0, 1},
		{"bulk string", resp("GET", "k"), "$5\r\nhello\r\n", hint("GET", "OK"), 0, 1},
		{"null bulk string", resp("GET", "k"), "$-1\r\n", hint("GET", "OK"), 0, 1},
		{"null of RESP3", resp("GET", "k"), "_\r\n", hint("GET", "OK"), 0, 1},
		{"array", resp("MGET", "a", "b"), "*2\r\n$1\r\n1\r\n$-1\r\n", hint("MGET", "OK"), 0, 1},
		{"map", resp("HELLO", "3"), "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n", hint("HELLO", "OK"), 0, 1},
		{"double", resp("ZSCORE", "k", "m"), ",1.23\r\n", hint("ZSCORE", "OK"), 0, 1},
		{"boolean", resp("SISMEMBER", "k", "m"), "#t\r\n", hint("SISMEMBER", "OK"), 0, 1},
		{"big number", resp("INCR", "k"), "(3492890328409238509324850943850943825024385\r\n", hint("INCR", "OK"), 0, 1},
		{"error", resp("GET", "k"), "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", hint("GET", "WRONGTYPE"), 0, 1},
		{"unknown command", resp("asdf"), "-ERR unknown command 'asdf'\r\n", hint(Other, "ERR"), 0, 1},
		{"moved", resp("GET", "k"), "-MOVED 3999 127.0.0.1:6381\r\n", hint("GET", "MOVED"), 0, 1},
		{"a script's own error", resp("EVALSHA", "abc", "0"), "-SECRETS are told\r\n", hint("EVALSHA", Other), 0, 1},
		{"bulk error", resp("GET", "k"), "!21\r\nSYNTAX invalid syntax\r\n", hint("GET", "SYNTAX"), 0, 1},
		{"attributes before the reply", resp("GET", "k"), "|1\r\n+key-popularity\r\n*2\r\n$1\r\na\r\n,0.19\r\n-ERR no\r\n", hint("GET", "ERR"), 0, 1},
		{"a push before the reply", resp("GET", "k"), ">3\r\n+message\r\n+somechannel\r\n+this is the message\r\n$9\r\nGet-Reply\r\n", hint("GET", "OK"), 0, 1},
		{"attributes that are cut", resp("GET", "k"), "|1\r\n+key-popularity\r\n*2\r\n", hint("GET", ""), 0, 1},
		{"subcommand", resp("config", "get", "maxmemory"), "*2\r\n", hint("CONFIG GET", "OK"), 0, 1},
		{"subcommand with dashes", resp("CLIENT", "no-evict", "on"), "+OK\r\n", hint("CLIENT NO-EVICT", "OK"), 0, 1},
		{"no such subcommand", resp("CLIENT", "hunter2"), "-ERR unknown subcommand\r\n", hint("CLIENT", "ERR"), 0, 1},
		{"an argument is no subcommand", resp("GET", "GET"), "$-1\r\n", hint("GET", "OK"), 0, 1},
		{"a module's", resp("FT.SEARCH", "idx", "*"), "*1\r\n:0\r\n", hint(Other, "OK"), 0, 1},
		{"inline", "PING\r\n", "+PONG\r\n", hint("PING", "OK"), 0, 1},
		{"inline with arguments", "EXISTS somekey\r\n", ":0\r\n", hint("EXISTS", "OK"), 0, 1},
		{"inline subcommand", "config resetstat\n", "+OK\r\n", hint("CONFIG RESETSTAT", "OK"), 0, 1},
		{"pipeline", strings.Repeat(resp("PING"), 3), "+PONG\r\n+PONG\r\n+PONG\r\n", hint("PING", "OK"), 0, 3},
		{"pipeline that is cut", strings.Repeat(resp("INCR", "a"), 30), ":1\r\n", hint("INCR", "OK"), 0, 13},
		{"inline pipeline", "PING\r\nPING\r\nPI", "+PONG\r\n", hint("PING", "OK"), 0, 2},
		{"the value is cut", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$9999\r\nvalue", "+OK\r\n", hint("SET", "OK"), 0, 1},
		{"the command is cut", "*3\r\n$3\r\nSE", "", hint(Other, ""), 0, 1},
		{"no answer", resp("SUBSCRIBE", "c"), "", hint("SUBSCRIBE", ""), 0, 1},
	})
	for _, request := range []string{"*0\r\n", "*1\r\n:1\r\n", "*x\r\n", "*99999999999999999999\r\n$1\r\n", "PINGS\r\n", "get key\r\n"} {
		answer := []byte("END\r\n") // memcached's
		if p := Detect([]byte(request), answer); p != Unknown {
			t.Errorf("%q is %v", request, p)
		}
	}
}

func TestRedisNames(t *testing.T) {
	for key, n := range redisCommands {
		if key != n.name || len(key) > MaxMethod || strings.ToUpper(key) != key {
			t.Errorf("%q: %+v", key, n)
		}
		command, sub, _ := strings.Cut(strings.ToLower(key), " ")
		if got := redisCommand([]byte(command), []byte(sub)); got != key {
			t.Errorf("%q: %q", key, got)
		}
	}
	for name := range redisErrors {
		if got := redisStatus([]byte("-" + name + " x\r\n")); got != name || len(name) > MaxStatus {
			t.Errorf("%q: %q", name, got)
		}
	}
}
