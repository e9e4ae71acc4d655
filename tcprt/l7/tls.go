package l7

import (
	"encoding/binary"

	"github.com/anole-os/anole/tcprt"
)

// Content types of records and types of handshake messages (RFC 8446 §5.1, §4).
const (
	changeCipherSpec = 20
	alert            = 21
	handshake        = 22
	applicationData  = 23
	heartbeat        = 24 // RFC 6520

	clientHello = 1
	serverHello = 2
)

// tlsRecord is a TLSPlaintext or TLSCiphertext (RFC 8446 §5.1, §5.2).
type tlsRecord struct {
	kind   byte
	length int
	body   []byte // what is there of it
	rest   []byte
}

func readTLS(b []byte) (r tlsRecord, good bool) {
	const most = 1<<14 + 2048 // RFC 5246 §6.2.3
	if len(b) < 5 || b[0] < changeCipherSpec || b[0] > heartbeat || b[1] != 3 || b[2] > 4 {
		return r, false
	}
	r.kind, r.length = b[0], int(binary.BigEndian.Uint16(b[3:]))
	if r.length == 0 && r.kind != applicationData || r.length > most {
		return r, false
	}
	n := min(r.length, len(b)-5)
	r.body, r.rest = b[5:5+n], b[5+n:]
	return r, true
}

func fitTLS(b []byte) score {
	r, good := readTLS(b)
	switch {
	case !good && len(b) < 5 && b[0] >= changeCipherSpec && b[0] <= applicationData && (len(b) < 2 || b[1] == 3):
		return unseen
	case !good:
		return unfit
	case r.kind == handshake && len(r.body) > 0 && (r.body[0] == clientHello || r.body[0] == serverHello):
		return certain
	}
	return sure
}

// parseTLS tells handshakes from requests. The status of a handshake is the version
// that the server chose, where it is seen, or the alert that it sent.
func parseTLS(h *tcprt.Hint, request, answer []byte) (f tcprt.Flags) {
	if r, good := readTLS(answer); good {
		switch r.kind {
		case alert:
			h.Status = alertName(r.body, r.length)
		case handshake:
			h.Status = chosenVersion(r.body)
		}
	}
	r, good := readTLS(request)
	if !good {
		return 0
	}
	f = tcprt.TLS
	if carries(request) {
		h.Method = "ApplicationData"
		return f
	}
	switch r.kind {
	case alert:
		h.Method = "Alert"
	case handshake, changeCipherSpec:
		h.Method = "Handshake"
		if r.kind == handshake && len(r.body) > 0 && r.body[0] == clientHello {
			h.Method = "ClientHello"
		}
	default:
		h.Method = Other
	}
	return f | tcprt.Handshake
}

// carries says whether any of the records has a program's data. From TLS 1.3 on a
// client's last messages of the handshake look so as well: they come after a
// ChangeCipherSpec (RFC 8446 appendix D.4) and end with a Finished, which has one of
// two lengths: 4, a digest of 32 or 48, 1 for the type and 16 for the tag.
func carries(b []byte) bool {
	hidden := false // the handshake goes on as application data
	for {
		r, good := readTLS(b)
		if !good {
			return false
		}
		switch {
		case r.kind == changeCipherSpec:
			hidden = true
		case r.kind == handshake:
			hidden = false // TLS 1.2: the Finished
		case r.kind == applicationData && !hidden:
			return true
		case r.kind == applicationData && (r.length == 53 || r.length == 69):
			hidden = false
		}
		b = r.rest
	}
}

// chosenVersion reads a ServerHello (RFC 8446 §4.1.3): its supported_versions, or
// its legacy_version when that is not there.
func chosenVersion(b []byte) string {
	const session = 4 + 2 + 32 // type and length, version, random
	if len(b) <= session || b[0] != serverHello {
		return ""
	}
	at := session + 1 + int(b[session]) + 3 // session id, cipher suite, compression
	if len(b) < at {
		return ""
	}
	for ext := b[min(len(b), at+2):]; len(ext) >= 4; {
		kind, n := binary.BigEndian.Uint16(ext), int(binary.BigEndian.Uint16(ext[2:]))
		if len(ext) < 4+n {
			return ""
		}
		if kind == 43 && n == 2 { // §4.2.1
			return versionName(ext[4], ext[5])
		}
		ext = ext[4+n:]
	}
	return versionName(b[4], b[5])
}

func versionName(major, minor byte) string {
	if major != 3 || minor > 4 {
		return Other
	}
	return [...]string{"SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"}[minor]
}

// alerts are those of RFC 8446 §6 and, of older versions, RFC 5246 §7.2.
var alerts = map[byte]string{
	0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 21: "decryption_failed", 22: "record_overflow",
	30: "decompression_failure", 40: "handshake_failure", 41: "no_certificate", 42: "bad_certificate", 43: "unsupported_certificate",
	44: "certificate_revoked", 45: "certificate_expired", 46: "certificate_unknown", 47: "illegal_parameter", 48: "unknown_ca",
	49: "access_denied", 50: "decode_error", 51: "decrypt_error", 60: "export_restriction", 70: "protocol_version",
	71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 90: "user_canceled", 100: "no_renegotiation",
	109: "missing_extension", 110: "unsupported_extension", 111: "certificate_unobtainable", 112: "unrecognized_name",
	113: "bad_certificate_status_response", 114: "bad_certificate_hash_value", 115: "unknown_psk_identity",
	116: "certificate_required", 120: "no_application_protocol",
}

// alertName names one that is not encrypted, which has two bytes.
func alertName(b []byte, length int) string {
	if length != 2 || len(b) < 2 {
		return ""
	}
	if s, known := alerts[b[1]]; known {
		return s
	}
	return Other
}
