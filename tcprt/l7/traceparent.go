package l7

import "bytes"

// findTraceparent gives the value of the one traceparent among the header's lines,
// or nil. One that is cut is none, and so is each of several, as W3C's Trace Context
// asks for.
func findTraceparent(lines []byte) (found []byte) {
	const name = "traceparent:"
	seen := false
	for {
		end := bytes.IndexByte(lines, '\n')
		if end <= 0 || end == 1 && lines[0] == '\r' {
			return found
		}
		line := lines[:end]
		lines = lines[end+1:]
		if len(line) < len(name) || line[len(name)-1] != ':' || line[0]|0x20 != 't' || !bytes.EqualFold(line[:len(name)], []byte(name)) {
			continue
		}
		if seen {
			return nil
		}
		seen = true
		found = traceparent(bytes.Trim(line[len(name):], " \t\r"))
	}
}

// traceparent checks a value by Trace Context §3.2.2 and gives the fields that all
// versions have, or nil: version, trace-id, parent-id and trace-flags.
func traceparent(b []byte) []byte {
	const length = 55
	if len(b) < length || b[2] != '-' || b[35] != '-' || b[52] != '-' {
		return nil
	}
	version, trace, parent, flags := b[:2], b[3:35], b[36:52], b[53:length]
	if !lowerHex(version) || !lowerHex(trace) || !lowerHex(parent) || !lowerHex(flags) {
		return nil
	}
	switch {
	case string(version) == "ff", zeros(trace), zeros(parent):
		return nil
	case len(b) > length && (string(version) == "00" || b[length] != '-'):
		return nil // §3.2.4: a later version may go on after a dash
	}
	return b[:length]
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if !digit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}
