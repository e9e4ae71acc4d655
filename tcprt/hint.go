package tcprt

import "strings"

// Hint is what the first bytes of a request and of its answer told, by package l7:
// names of a closed set and templates, never a value that a program sent. What is
// not known is empty. All is valid UTF-8.
//
// Protocol is the name of one; Method is a method, command or verb; Route is a
// template of a path, or a statement without its values; Status is what was
// answered, in the protocol's own words; Traceparent is the header of that name of
// W3C's Trace Context.
type Hint struct {
	Protocol, Method, Route, Status, Traceparent string
	// Requests is how many requests begin in those bytes, where it is more than one: a
	// pipeline, or streams of HTTP/2. The other fields are of the first.
	Requests uint16
}

// Name is a method and a route, as far as they are known.
func (h *Hint) Name() string { return strings.TrimSpace(h.Method + " " + h.Route) }
