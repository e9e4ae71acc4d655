package l7

import (
	"bytes"
	"encoding/binary"

	"github.com/anole-os/anole/tcprt"
)

// message is one of PostgreSQL's ("Message Formats"): a type of one byte, and a
// length of four that counts itself and the body.
type message struct {
	kind   byte
	length int    // of the body
	body   []byte // what is there of it
	rest   []byte
}

func (m *message) whole() bool { return len(m.body) == m.length }

// longest is the most that a first message is believed to have: the server takes no
// longer one.
const longest = 1 << 30

func readMessage(b []byte) (m message, good bool) {
	if len(b) < 5 {
		return m, false
	}
	n := binary.BigEndian.Uint32(b[1:])
	if n < 4 || n > longest {
		return m, false
	}
	m.kind, m.length = b[0], int(n)-4
	have := min(m.length, len(b)-5)
	m.body, m.rest = b[5:5+have], b[5+have:]
	return m, true
}

// form is a message's name, and how long its body may be.
type form struct {
	name        string
	least, most int
}

// frontend are the messages of the side that asks.
var frontend = [256]form{
	'B': {"Bind", 8, longest}, 'C': {"Close", 2, longest}, 'D': {"Describe", 2, longest}, 'E': {"Execute", 5, longest},
	'F': {"FunctionCall", 10, longest}, 'H': {"Flush", 0, 0}, 'P': {"Parse", 4, longest}, 'Q': {"Query", 1, longest},
	'S': {"Sync", 0, 0}, 'X': {"Terminate", 0, 0}, 'c': {"CopyDone", 0, 0}, 'd': {"CopyData", 0, longest},
	'f': {"CopyFail", 1, longest}, 'p': {"PasswordMessage", 1, 1 << 16},
}

// backend are those of the side that answers.
var backend = [256]form{
	'1': {"ParseComplete", 0, 0}, '2': {"BindComplete", 0, 0}, '3': {"CloseComplete", 0, 0}, 'A': {"NotificationResponse", 6, longest},
	'C': {"CommandComplete", 1, 256}, 'D': {"DataRow", 2, longest}, 'E': {"ErrorResponse", 1, 1 << 20}, 'G': {"CopyInResponse", 3, 1 << 16},
	'H': {"CopyOutResponse", 3, 1 << 16}, 'I': {"EmptyQueryResponse", 0, 0}, 'K': {"BackendKeyData", 8, 260}, 'N': {"NoticeResponse", 1, 1 << 20},
	'R': {"Authentication", 4, 1 << 16}, 'S': {"ParameterStatus", 2, 1 << 16}, 'T': {"RowDescription", 2, 1 << 20}, 'V': {"FunctionCallResponse", 4, longest},
	'W': {"CopyBothResponse", 3, 1 << 16}, 'Z': {"ReadyForQuery", 1, 1}, 'c': {"CopyDone", 0, 0}, 'd': {"CopyData", 0, longest},
	'n': {"NoData", 0, 0}, 's': {"PortalSuspended", 0, 0}, 't': {"ParameterDescription", 2, 1 << 20}, 'v': {"NegotiateProtocolVersion", 8, 1 << 16},
}

// chain counts the whole messages; good is false when something else is among them.
func chain(b []byte, forms *[256]form) (n int, good bool) {
	for len(b) > 0 {
		f := &forms[b[0]]
		if f.name == "" {
			return n, false
		}
		if len(b) < 5 {
			return n, true
		}
		m, good := readMessage(b)
		if !good || m.length < f.least || m.length > f.most {
			return n, false
		}
		if m.whole() {
			n++
		}
		b = m.rest
	}
	return n, true
}

// startup names the messages without a type, by the code after their length
// ("Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest).
func startup(b []byte) string {
	if len(b) < 8 {
		return ""
	}
	length, code := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	switch {
	case code == 80877103 && length == 8:
		return "SSLRequest"
	case code == 80877104 && length == 8:
		return "GSSENCRequest"
	case code == 80877102 && length >= 16 && length <= 268:
		return "CancelRequest"
	case code>>16 == 3 && code&0xffff <= 9 && length >= 9 && length <= 10000: // MAX_STARTUP_PACKET_LENGTH
		return "StartupMessage"
	}
	return ""
}

func fitPostgreSQLRequest(b []byte) score {
	if startup(b) != "" {
		return certain
	}
	n, good := chain(b, &frontend)
	switch {
	case !good:
		return unfit
	case n >= 2:
		return certain
	case n == 1:
		return sure
	case len(b) < 5:
		return unseen
	}
	if v := verb(sqlOf(b), postgresql); v != "" && v != Other {
		return sure
	}
	return likely
}

func fitPostgreSQLAnswer(b []byte) score {
	if len(b) == 1 && (b[0] == 'S' || b[0] == 'N' || b[0] == 'G') {
		return likely // to an SSLRequest or GSSENCRequest
	}
	n, good := chain(b, &backend)
	switch {
	case !good:
		return unfit
	case n >= 2:
		return sure
	case len(b) < 5:
		return unseen
	}
	return likely
}

// sqlOf gives the statement of the first Query or Parse, which ends with a zero
// byte where it is not cut.
func sqlOf(b []byte) []byte {
	for {
		m, good := readMessage(b)
		if !good {
			return nil
		}
		text := m.body
		switch m.kind {
		case 'P': // the prepared statement's name is before it
			_, text, _ = bytes.Cut(text, []byte{0})
		case 'Q':
		default:
			b = m.rest
			continue
		}
		text, _, _ = bytes.Cut(text, []byte{0})
		return text
	}
}

func parsePostgreSQL(h *tcprt.Hint, o *Options, request, answer []byte) (f tcprt.Flags) {
	if h.Method = startup(request); h.Method != "" {
		if h.Method == "SSLRequest" || h.Method == "GSSENCRequest" {
			f = tcprt.Handshake
			if len(answer) == 1 {
				h.Status = encryption(answer[0])
				return f
			}
		}
		h.Status = sqlStatus(answer)
		return f
	}
	h.Status = sqlStatus(answer)
	if len(request) == 0 {
		return 0
	}
	if h.Method = frontend[request[0]].name; h.Method == "" {
		h.Method = Other
		return 0
	}
	text := sqlOf(request)
	if v := verb(text, postgresql); v != "" {
		h.Method = v
	}
	if o.Level == Statements {
		var room [MaxRoute]byte
		h.Route = o.route(statement(room[:0], text, postgresql), h.Status == ok || h.Status == "")
	}
	return 0
}

// encryption is the answer to an SSLRequest or GSSENCRequest ("SSL Session
// Encryption").
func encryption(b byte) string {
	switch b {
	case 'S', 'G':
		return ok
	case 'N':
		return "refused"
	}
	return Other
}

// sqlStatus gives the SQLSTATE of the first ErrorResponse, or OK.
func sqlStatus(b []byte) string {
	status := ""
	for {
		m, good := readMessage(b)
		if !good || backend[m.kind].name == "" {
			return status
		}
		if m.kind == 'E' {
			return errorCode(m.body)
		}
		status = ok
		b = m.rest
	}
}

// errorCode looks for the field C ("Error and Notice Message Fields").
func errorCode(fields []byte) string {
	for len(fields) > 1 {
		var text []byte
		kind := fields[0]
		text, fields, _ = bytes.Cut(fields[1:], []byte{0})
		if kind == 'C' && sqlState(text) {
			return string(text)
		}
	}
	return Other
}

// countPostgreSQL counts what is answered on its own: each Query, and of the
// extended protocol each Execute.
func countPostgreSQL(b []byte) (n int) {
	if startup(b) != "" {
		return 1
	}
	for {
		m, good := readMessage(b)
		if !good || frontend[m.kind].name == "" {
			return n
		}
		if m.kind == 'Q' || m.kind == 'E' || m.kind == 'F' {
			n++
		}
		b = m.rest
	}
}
