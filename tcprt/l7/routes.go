package l7

import (
	"maps"
	"sync"
	"sync/atomic"
)

// DefaultRoutes is how many a Routes keeps when it is not told.
const DefaultRoutes = 128

// Routes bounds how many routes a service has: the first Max that come are kept,
// all that come later are Other. The zero value is ready; it must not be copied.
// Safe for concurrent use.
type Routes struct {
	Max int // DefaultRoutes when 0; not to be changed once in use

	mu    sync.Mutex // guards changes of known
	known atomic.Pointer[map[string]string]
}

// Len is how many there are.
func (r *Routes) Len() int {
	if known := r.known.Load(); known != nil {
		return len(*known)
	}
	return 0
}

// name gives the one string that is kept for b. A new one takes a place only when
// it is good.
func (r *Routes) name(b []byte, good bool) string {
	if known := r.known.Load(); known != nil {
		if s, there := (*known)[string(b)]; there {
			return s
		}
	}
	if !good || r.Len() >= r.limit() {
		return Other
	}
	return r.learn(string(b))
}

func (r *Routes) limit() int {
	if r.Max > 0 {
		return r.Max
	}
	return DefaultRoutes
}

// learn copies the map, so that readers need no lock: there are few routes, and
// each is new once.
func (r *Routes) learn(s string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[string]string{}
	if known := r.known.Load(); known != nil {
		if old, there := (*known)[s]; there {
			return old
		}
		if len(*known) >= r.limit() {
			return Other
		}
		next = maps.Clone(*known)
	}
	next[s] = s
	r.known.Store(&next)
	return s
}
