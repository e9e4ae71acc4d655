package l7

import (
	"sync"

	"github.com/anole-os/anole/tcprt"
)

// maxServices bounds how many services a Teller knows; then it begins anew.
const maxServices = 1024

// Teller gives records their hints, see tcprt.Options.Hints. It keeps what each
// service speaks, for turns that do not tell by themselves, and a bound on its
// routes. The zero value is ready; it must not be copied. Safe for concurrent use.
type Teller struct {
	Level     Level
	MaxRoutes int // of a service, DefaultRoutes when 0

	mu       sync.Mutex
	services map[tcprt.Service]*spoken
}

// spoken is what is known of a service.
type spoken struct {
	protocol Protocol
	options  Options
}

func (t *Teller) of(s tcprt.Service) *spoken {
	if k := t.services[s]; k != nil {
		return k
	}
	if t.services == nil || len(t.services) >= maxServices {
		t.services = map[tcprt.Service]*spoken{} // they tell again what they speak
	}
	k := &spoken{options: Options{Level: t.Level, Routes: &Routes{Max: t.MaxRoutes}}}
	t.services[s] = k
	return k
}

// Hints sets the record's Hint, and adds TLS, Handshake and Continued to its flags.
func (t *Teller) Hints(r *tcprt.Record, request, answer []byte) {
	if len(request) == 0 && len(answer) == 0 {
		return
	}
	request, answer = window(request), window(answer)
	s := r.Service()
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.of(s)
	p := detect(s.Port, request, answer)
	switch {
	case p == Unknown:
		p = k.protocol
	case k.protocol == Unknown || p == TLS || k.protocol == TLS:
		k.protocol = p
	case p != k.protocol && fit(k.protocol, request, true) > unseen:
		p = k.protocol // the same bytes would do for both
	default:
		k.protocol = p
	}
	if p == Unknown {
		return
	}
	h, flags := parse(&k.options, p, request, answer)
	r.Hint, r.Flags = h, r.Flags|flags
	if n := Count(p, request); n > 1 {
		r.Hint.Requests = uint16(n)
	}
}
