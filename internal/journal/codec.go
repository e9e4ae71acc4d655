package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strconv"
	"unicode/utf8"
)

// parse reads journal lines and passes over those that are torn or false; clean
// says that there were none.
func parse(b []byte) (entries []*Entry, clean bool) {
	clean = true
	for line := range bytes.Lines(b) {
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		e, ok := parseLine(line)
		if !whole || !ok {
			clean = false
			continue
		}
		entries = append(entries, e)
	}
	return entries, clean
}

// entryLine is an entry as the file holds it. JSON would spoil a path that is
// not UTF-8; a cgroup may have any name.
type entryLine struct {
	Entry
	RawPath []byte `json:"raw_path,omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func parseLine(line []byte) (*Entry, bool) {
	if len(line) < 10 || line[8] != ' ' {
		return nil, false
	}
	sum, err := strconv.ParseUint(string(line[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(line[9:], castagnoli) {
		return nil, false
	}
	var l entryLine
	if json.Unmarshal(line[9:], &l) != nil {
		return nil, false
	}
	if l.RawPath != nil {
		l.Path = string(l.RawPath)
	}
	return &l.Entry, true
}

func appendLine(b []byte, e *Entry) ([]byte, error) {
	l := entryLine{Entry: *e}
	if !utf8.ValidString(e.Path) {
		l.Path, l.RawPath = "", []byte(e.Path)
	}
	body, err := json.Marshal(l)
	if err != nil {
		return b, fmt.Errorf("encode journal entry: %w", err)
	}
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(body, castagnoli))
	b = append(b, body...)
	return append(b, '\n'), nil
}
