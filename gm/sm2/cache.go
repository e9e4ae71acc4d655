package sm2

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// Verifiers checks signatures of many keys, some of which come again, as those of issuers
// do. A key by which a second signature is good has a Verifier from then on; the keys that
// were not used for the longest time go. Keys that came once, and those whose signatures
// are refused, take no Verifier's place. It may be used by any number of goroutines.
type Verifiers struct {
	hits, misses atomic.Uint64

	mu    sync.Mutex // guards both
	kept  latest[*Verifier]
	known latest[struct{}] // keys that came once
}

// place is a key's coordinates.
type place [2]words

// latest is a map of so many keys, of which the one that was used last is first.
type latest[V any] struct {
	limit int
	keys  map[place]*list.Element
	order *list.List
}

type entry[V any] struct {
	at place
	v  V
}

func newLatest[V any](limit int) latest[V] {
	return latest[V]{limit, map[place]*list.Element{}, list.New()}
}

func (l *latest[V]) get(at place) (v V, ok bool) {
	e, ok := l.keys[at]
	if !ok {
		return v, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*entry[V]).v, true
}

func (l *latest[V]) put(at place, v V) {
	if e, ok := l.keys[at]; ok {
		e.Value.(*entry[V]).v = v
		l.order.MoveToFront(e)
		return
	}
	l.keys[at] = l.order.PushFront(&entry[V]{at, v})
	if l.order.Len() > l.limit {
		delete(l.keys, l.order.Remove(l.order.Back()).(*entry[V]).at)
	}
}

func (l *latest[V]) remove(at place) {
	if e, ok := l.keys[at]; ok {
		l.order.Remove(e)
		delete(l.keys, at)
	}
}

// DefaultVerifiers is how many keys NewVerifiers keeps where it is not told: about 10 MB.
const DefaultVerifiers = 256

// once is how many times as many keys are remembered that came once, of 100 bytes each.
const once = 8

// NewVerifiers makes a Verifiers of so many keys, DefaultVerifiers for 0, of 41 KB each.
func NewVerifiers(keys int) *Verifiers {
	if keys <= 0 {
		keys = DefaultVerifiers
	}
	return &Verifiers{kept: newLatest[*Verifier](keys), known: newLatest[struct{}](once * keys)}
}

// Verify checks a signature over a digest.
func (v *Verifiers) Verify(pub *PublicKey, digest, signature []byte) error {
	if engine == nil {
		return plainVerify(pub, digest, signature)
	}
	x, y, ok := coordinates(pub)
	if !ok {
		return ErrRefused
	}
	at := place{x, y}
	v.mu.Lock()
	own, ok := v.kept.get(at)
	v.mu.Unlock()
	if ok {
		v.hits.Add(1)
		return own.Verify(digest, signature)
	}
	v.misses.Add(1)
	if err := verifyAt(&x, &y, pub, digest, signature); err != nil {
		return err
	}
	v.note(at, pub)
	return nil
}

// note takes a key in, by which a signature is good.
func (v *Verifiers) note(at place, pub *PublicKey) {
	v.mu.Lock()
	_, again := v.known.get(at)
	if !again {
		v.known.put(at, struct{}{})
	}
	v.mu.Unlock()
	if !again {
		return
	}
	own, err := NewVerifier(pub)
	if err != nil {
		return // it has just been one
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known.remove(at)
	v.kept.put(at, own)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func (v *Verifiers) VerifyMessage(pub *PublicKey, id, msg, signature []byte) error {
	return verifyMessage(v.Verify, pub, id, msg, signature)
}

// Stats tells how many signatures were checked by a key's Verifier, and how many were not.
func (v *Verifiers) Stats() (hits, misses uint64) { return v.hits.Load(), v.misses.Load() }
