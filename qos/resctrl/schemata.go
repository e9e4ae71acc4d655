package resctrl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Schemata is what a group may use of each resource, as in its file of that
// name.
type Schemata []Line

// Line is one resource: a cache ("L3", or "L3CODE" and "L3DATA" with code/data
// prioritization), whose values are masks, or a bandwidth ("MB", "SMBA"), whose
// values are numbers.
type Line struct {
	Resource string
	Values   []Value
}

// Value is the part of one domain: a cache, or a memory controller with the
// CPUs that it serves. Domains are numbered with gaps.
type Value struct {
	Domain int
	N      uint64
}

// IsCache says whether the values of a resource are masks.
func IsCache(resource string) bool {
	return len(resource) > 1 && resource[0] == 'L' && resource[1] >= '0' && resource[1] <= '9'
}

// ParseSchemata reads a schemata file. A group that is being pseudo-locked has
// no values and is an error.
func ParseSchemata(b []byte) (Schemata, error) {
	var out Schemata
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		l, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("parse schemata: line %q: %w", clip(line), err)
		}
		if out.Line(l.Resource) != nil {
			return nil, fmt.Errorf("parse schemata: two lines for %s", l.Resource)
		}
		out = append(out, l)
	}
	return out, nil
}

func parseLine(line string) (Line, error) {
	name, rest, ok := strings.Cut(line, ":")
	l := Line{Resource: strings.TrimSpace(name)}
	if !ok || l.Resource == "" {
		return l, fmt.Errorf("want RESOURCE:DOMAIN=VALUE;…")
	}
	base := 10
	if IsCache(l.Resource) {
		base = 16
	}
	for part := range strings.SplitSeq(rest, ";") {
		id, value, ok := strings.Cut(part, "=")
		domain, err := strconv.ParseUint(strings.TrimSpace(id), 10, 31)
		if !ok || err != nil {
			return l, fmt.Errorf("%q is not DOMAIN=VALUE", clip(part))
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), base, 32)
		if err != nil {
			return l, fmt.Errorf("%q is no value of %s", clip(value), l.Resource)
		}
		if slices.ContainsFunc(l.Values, func(v Value) bool { return v.Domain == int(domain) }) {
			return l, fmt.Errorf("domain %d is there twice", domain)
		}
		l.Values = append(l.Values, Value{int(domain), n})
	}
	return l, nil
}

// Line gives the line of a resource, nil if there is none.
func (s Schemata) Line(resource string) *Line {
	for i := range s {
		if s[i].Resource == resource {
			return &s[i]
		}
	}
	return nil
}

// String gives the form that the file takes, each line ended.
func (s Schemata) String() string {
	var b strings.Builder
	for _, l := range s {
		b.WriteString(l.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String gives the line without its end.
func (l Line) String() string {
	base := 10
	if IsCache(l.Resource) {
		base = 16
	}
	parts := make([]string, len(l.Values))
	for i, v := range l.Values {
		parts[i] = strconv.Itoa(v.Domain) + "=" + strconv.FormatUint(v.N, base)
	}
	return l.Resource + ":" + strings.Join(parts, ";")
}

// Diff gives the lines of s that differ from now, which is what is to be
// written.
func (s Schemata) Diff(now Schemata) Schemata {
	var out Schemata
	for _, l := range s {
		if old := now.Line(l.Resource); old == nil || !slices.Equal(old.Values, l.Values) {
			out = append(out, l)
		}
	}
	return out
}
