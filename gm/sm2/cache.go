package sm2

import (
	"container/list"
	"sync"
	"sync/atomic"
)

// Verifiers checks signatures of many keys, some of which come again, as those of issuers
// do. A key that comes the second time has a Verifier from then on; the keys that were not
// used for the longest time go. It may be used by any number of goroutines.
type Verifiers struct {
	limit        int
	hits, misses atomic.Uint64

	mu   sync.Mutex // guards all below
	keys map[[2]words]*list.Element
	last *list.List // the one that was used last is first
}

// seen is a key that came.
type seen struct {
	at [2]words
	v  *Verifier // nil as long as it came once
}

// DefaultVerifiers is how many keys NewVerifiers keeps where it is not told: about 10 MB.
const DefaultVerifiers = 256

// NewVerifiers makes a Verifiers of so many keys, DefaultVerifiers for 0, of 41 KB each.
func NewVerifiers(keys int) *Verifiers {
	if keys <= 0 {
		keys = DefaultVerifiers
	}
	return &Verifiers{limit: keys, keys: map[[2]words]*list.Element{}, last: list.New()}
}

// Verify checks a signature over a digest.
func (v *Verifiers) Verify(pub *PublicKey, digest, signature []byte) error {
	if engine == nil {
		return plainVerify(pub, digest, signature)
	}
	own, known := v.find(pub)
	switch {
	case own != nil:
		v.hits.Add(1)
		return own.Verify(digest, signature)
	case !known:
		v.misses.Add(1)
		return Verify(pub, digest, signature)
	}
	v.misses.Add(1)
	own, err := NewVerifier(clone(pub))
	if err != nil {
		return ErrRefused
	}
	v.keep(own)
	return own.Verify(digest, signature)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func (v *Verifiers) VerifyMessage(pub *PublicKey, id, msg, signature []byte) error {
	e, err := Digest(pub, id, msg)
	if err != nil {
		return ErrRefused
	}
	return v.Verify(pub, e, signature)
}

// Stats tells how many signatures were checked by a key's Verifier, and how many were not.
func (v *Verifiers) Stats() (hits, misses uint64) { return v.hits.Load(), v.misses.Load() }

func place(pub *PublicKey) (at [2]words, ok bool) {
	at[0], at[1], ok = coordinates(pub)
	return at, ok
}

// find gives a key's Verifier, if it has one, and whether it came before.
func (v *Verifiers) find(pub *PublicKey) (own *Verifier, known bool) {
	at, ok := place(pub)
	if !ok {
		return nil, false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.keys[at]; ok {
		v.last.MoveToFront(e)
		return e.Value.(*seen).v, true
	}
	v.keys[at] = v.last.PushFront(&seen{at: at})
	if v.last.Len() > v.limit {
		delete(v.keys, v.last.Remove(v.last.Back()).(*seen).at)
	}
	return nil, false
}

// keep gives a key its Verifier, if the key is still there.
func (v *Verifiers) keep(own *Verifier) {
	at, _ := place(own.pub)
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.keys[at]; ok {
		e.Value.(*seen).v = own
	}
}
