package observer

import (
	"cmp"
	"slices"

	"github.com/anole-os/anole/tcprt"
)

// maxKinds bounds how many kinds of requests are told apart, of all services
// together.
const maxKinds = 512

// kind is what hints told of requests that are alike: their Hint without the
// traceparent.
type kind struct {
	service tcprt.Service
	hint    tcprt.Hint
}

// Kind is requests of a service that are alike by their hints, and how long those
// of them took that have a record: all with records: all, else the slow, the failed
// and a sample.
type Kind struct {
	Service  string  `json:"service"`
	Name     string  `json:"name"`
	Role     string  `json:"role"`
	Port     uint16  `json:"port"` // 0 of those that had no room
	Protocol string  `json:"protocol"`
	Method   string  `json:"method,omitempty"`
	Route    string  `json:"route,omitempty"`
	Status   string  `json:"status,omitempty"`
	Requests uint64  `json:"requests"`
	Failed   uint64  `json:"failed"` // never answered whole
	P50      float64 `json:"p50_seconds"`
	P99      float64 `json:"p99_seconds"`
	Longest  float64 `json:"longest_seconds"`

	Key   tcprt.Service   `json:"-"`
	Names tcprt.Names     `json:"-"`
	Times tcprt.Histogram `json:"-"`
}

type kinds struct {
	known map[kind]*counts
}

type counts struct {
	requests, failed uint64
	times            tcprt.Histogram
	longest          float64
}

// add counts a record with a hint. Of a new kind that has no room, only the protocol
// is told, as other.
func (k *kinds) add(r *tcprt.Record) {
	if r.Hint.Protocol == "" {
		return
	}
	key := kind{r.Service(), r.Hint}
	key.hint.Traceparent, key.hint.Requests = "", 0
	c := k.known[key]
	if c == nil {
		if k.known == nil {
			k.known = map[kind]*counts{}
		}
		if len(k.known) >= maxKinds {
			key = kind{hint: tcprt.Hint{Protocol: "other"}}
		}
		if c = k.known[key]; c == nil {
			c = &counts{}
			k.known[key] = c
		}
	}
	c.requests += uint64(max(1, r.Hint.Requests))
	if !r.Complete() {
		if r.Failed() {
			c.failed++
		}
		return
	}
	c.times.Add(r.Total())
	c.longest = max(c.longest, r.Total().Seconds())
}

// forget drops those of services that are gone.
func (k *kinds) forget(there func(tcprt.Service) bool) {
	for key := range k.known {
		if key.service != (tcprt.Service{}) && !there(key.service) {
			delete(k.known, key)
		}
	}
}

// Kinds gives the requests that hints told apart, the most time together first.
func (o *Observer) Kinds() []Kind {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Kind, 0, len(o.kinds.known))
	for key, c := range o.kinds.known {
		v := Kind{
			Service: key.service.String(), Role: key.service.Role.String(), Port: key.service.Port, Protocol: key.hint.Protocol, Method: key.hint.Method, Route: key.hint.Route, Status: key.hint.Status,
			Requests: c.requests, Failed: c.failed, P50: c.times.Quantile(0.5).Seconds(), P99: min(c.longest, c.times.Quantile(0.99).Seconds()), Longest: c.longest,
			Key: key.service, Times: c.times,
		}
		if s := o.services[key.service]; s != nil {
			v.Names = s.names
		}
		v.Name = v.Names.String()
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Kind) int {
		return cmp.Or(cmp.Compare(b.Times.Sum, a.Times.Sum), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Route+a.Method+a.Status+a.Service, b.Route+b.Method+b.Status+b.Service))
	})
	return out
}
