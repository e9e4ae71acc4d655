package l7

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/anole-os/anole/tcprt"
)

// packet is a packet of MySQL's protocol ("MySQL Packets"): a length of 3 bytes,
// the lowest first, a number within the command, and the body.
type packet struct {
	length int
	number byte
	body   []byte // what is there of it
	rest   []byte // what comes after it
}

func (p *packet) whole() bool { return len(p.body) == p.length }

// readPacket wants the header and the first byte of the body.
func readPacket(b []byte) (p packet, good bool) {
	if len(b) < 5 {
		return p, false
	}
	p.length = int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	p.number = b[3]
	n := min(p.length, len(b)-4)
	p.body, p.rest = b[4:4+n], b[4+n:]
	return p, p.length > 0
}

// What a client sends ("Command Phase"; MariaDB's have numbers from 0xfa).
const (
	comQuery        = 0x03
	comStmtPrepare  = 0x16
	comStmtSendLong = 0x18
	comStmtClose    = 0x19
)

// command is one of those, with the lengths that its packet may have.
type command struct {
	name        string
	least, most int // bytes of the body, with the command's own
}

const anyLength = 1<<24 - 1

var mysqlCommands = [256]command{
	0x00: {"COM_SLEEP", 1, 1}, 0x01: {"COM_QUIT", 1, 1}, 0x02: {"COM_INIT_DB", 2, 1 + 4*maxName}, comQuery: {"COM_QUERY", 2, anyLength},
	0x04: {"COM_FIELD_LIST", 3, anyLength}, 0x05: {"COM_CREATE_DB", 2, 1 + 4*maxName}, 0x06: {"COM_DROP_DB", 2, 1 + 4*maxName},
	0x07: {"COM_REFRESH", 2, 2}, 0x08: {"COM_SHUTDOWN", 1, 2}, 0x09: {"COM_STATISTICS", 1, 1}, 0x0a: {"COM_PROCESS_INFO", 1, 1},
	0x0b: {"COM_CONNECT", 1, 1}, 0x0c: {"COM_PROCESS_KILL", 5, 5}, 0x0d: {"COM_DEBUG", 1, 1}, 0x0e: {"COM_PING", 1, 1},
	0x0f: {"COM_TIME", 1, 1}, 0x10: {"COM_DELAYED_INSERT", 1, 1}, 0x11: {"COM_CHANGE_USER", 4, anyLength},
	0x12: {"COM_BINLOG_DUMP", 11, 4096}, 0x13: {"COM_TABLE_DUMP", 3, 4096}, 0x14: {"COM_CONNECT_OUT", 1, 1},
	0x15: {"COM_REGISTER_SLAVE", 18, 1024}, comStmtPrepare: {"COM_STMT_PREPARE", 2, anyLength}, 0x17: {"COM_STMT_EXECUTE", 10, anyLength},
	comStmtSendLong: {"COM_STMT_SEND_LONG_DATA", 7, anyLength}, comStmtClose: {"COM_STMT_CLOSE", 5, 5}, 0x1a: {"COM_STMT_RESET", 5, 5},
	0x1b: {"COM_SET_OPTION", 3, 3}, 0x1c: {"COM_STMT_FETCH", 9, 9}, 0x1d: {"COM_DAEMON", 1, 1}, 0x1e: {"COM_BINLOG_DUMP_GTID", 21, anyLength},
	0x1f: {"COM_RESET_CONNECTION", 1, 1}, 0xfa: {"COM_STMT_BULK_EXECUTE", 7, anyLength},
}

// readCommand gives what begins a command, or nil.
func readCommand(p *packet) *command {
	if p.number != 0 {
		return nil
	}
	c := &mysqlCommands[p.body[0]]
	if c.name == "" || p.length < c.least || p.length > c.most {
		return nil
	}
	return c
}

// query gives the text of a COM_QUERY or COM_STMT_PREPARE; none when attributes of
// the query are before it, which have values. Since 8.0.23 their number comes first,
// then that of their sets, which is always 1.
func query(p *packet) (text []byte, good bool) {
	text = p.body[1:]
	if p.body[0] == comQuery && len(text) > 1 && text[1] == 1 {
		return text[2:], text[0] == 0
	}
	return text, true
}

func fitMySQLRequest(b []byte) score {
	p, good := readPacket(b)
	if !good {
		return unseen
	}
	if p.number != 0 {
		if _, good := handshakeResponse(&p); good {
			return certain
		}
		return unseen
	}
	c := readCommand(&p)
	switch {
	case c == nil:
		return unfit
	case p.body[0] == comQuery, p.body[0] == comStmtPrepare:
		text, good := query(&p)
		if v := verb(text, mysql); good && v != Other && v != "" {
			return certain
		}
		return likely
	case !p.whole():
		return likely
	case len(p.rest) > 0:
		if next, good := readPacket(p.rest); good && readCommand(&next) == nil {
			return unfit
		}
	}
	if p.length == 1 && p.body[0] != 0x0e {
		return likely // too short to be sure of
	}
	return sure
}

func fitMySQLAnswer(b []byte) score {
	const most = 1 << 16 // of a first packet: an answer, or the number of columns
	p, good := readPacket(b)
	switch {
	case !good:
		return unseen
	case p.length > most, p.number > 8:
		return unfit
	case p.number == 0:
		if p.body[0] == 0x0a && len(p.body) > 2 && digit(p.body[1]) { // HandshakeV10
			return sure
		}
		return unfit
	case p.body[0] == 0xff && len(p.body) > 3 && p.body[3] == '#':
		return sure
	}
	return likely
}

// The bits of capabilities that matter here ("Capability Flags").
const (
	clientProtocol41 = 0x0200
	clientSSL        = 0x0800
)

// handshakeResponse says whether a packet is a HandshakeResponse41 or an SSLRequest:
// capabilities 4, the longest packet 4, a character set 1, then 23 zeros, of which
// MariaDB uses the last four.
func handshakeResponse(p *packet) (ssl, good bool) {
	const fixed = 32
	if p.length < fixed || len(p.body) < fixed {
		return false, false
	}
	capabilities := binary.LittleEndian.Uint32(p.body)
	if capabilities&clientProtocol41 == 0 || len(bytes.Trim(p.body[9:fixed-4], "\x00")) > 0 {
		return false, false
	}
	return p.length == fixed && capabilities&clientSSL != 0, true
}

func parseMySQL(h *tcprt.Hint, o *Options, request, answer []byte) (f tcprt.Flags) {
	h.Status = mysqlStatus(answer)
	p, good := firstAnswered(request)
	if !good {
		return 0
	}
	if p.number != 0 {
		switch ssl, good := handshakeResponse(&p); {
		case ssl:
			h.Method = "SSLRequest"
			return tcprt.Handshake
		case good:
			h.Method = "HandshakeResponse"
		default:
			h.Method = Other
		}
		return 0
	}
	c := readCommand(&p)
	if c == nil {
		h.Method = Other
		return 0
	}
	h.Method = c.name
	if p.body[0] != comQuery && p.body[0] != comStmtPrepare {
		return 0
	}
	text, good := query(&p)
	if !good {
		return 0
	}
	if v := verb(text, mysql); p.body[0] == comQuery && v != "" {
		h.Method = v
	}
	if o.Level == Statements {
		var room [MaxRoute]byte
		h.Route = o.route(statement(room[:0], text, mysql), h.Status == ok || h.Status == "")
	}
	return 0
}

// firstAnswered skips commands that are sent along without an answer.
func firstAnswered(b []byte) (p packet, good bool) {
	p, good = readPacket(b)
	for good && p.number == 0 && (p.body[0] == comStmtClose || p.body[0] == comStmtSendLong) {
		next, more := readPacket(p.rest)
		if !more || readCommand(&next) == nil {
			break
		}
		p = next
	}
	return p, good
}

// mysqlStatus gives the code of an ERR_Packet, as 1064/42000, or OK.
func mysqlStatus(b []byte) string {
	p, good := readPacket(b)
	if !good || p.number == 0 { // the server's greeting is no answer
		return ""
	}
	if p.body[0] != 0xff {
		return ok
	}
	if len(p.body) < 3 {
		return Other
	}
	var room [MaxStatus]byte
	s := strconv.AppendUint(room[:0], uint64(binary.LittleEndian.Uint16(p.body[1:])), 10)
	if len(p.body) >= 9 && p.body[3] == '#' && sqlState(p.body[4:9]) {
		s = append(append(s, '/'), p.body[4:9]...)
	}
	return string(s)
}

// sqlState is 5 digits and capital letters (ISO 9075-2 §24.1). A server's program
// may make up its own; all of MySQL's and PostgreSQL's (appendix A) have two digits
// at least, which words have not.
func sqlState(b []byte) bool {
	digits := 0
	for _, c := range b {
		switch {
		case digit(c):
			digits++
		case c < 'A' || c > 'Z':
			return false
		}
	}
	return len(b) == 5 && digits >= 2
}

func countMySQL(b []byte) (n int) {
	for {
		p, good := readPacket(b)
		if !good || readCommand(&p) == nil {
			return n
		}
		if p.body[0] != comStmtClose && p.body[0] != comStmtSendLong {
			n++
		}
		b = p.rest
	}
}
