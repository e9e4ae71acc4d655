package sm2

import (
	"fmt"
	"io"

	"github.com/anole-os/anole/gm/sm3"
)

// nonces are a key's, hedged: each is the hash of a secret that only the key gives, of the
// digest that is signed, and of 32 random bytes (as draft-irtf-cfrg-det-sigs-with-noise
// does it). Where the random bytes are bad, repeated after a fork or a snapshot of the
// machine among it, two nonces are the same only for the same digest, and so the same
// signature.
type nonces struct{ secret [sm3.Size]byte }

func newNonces(d *[32]byte) *nonces {
	const label = "anole sm2 nonce\x00"
	var m [len(label) + len(d)]byte
	copy(m[copy(m[:], label):], d[:])
	n := &nonces{sm3.Sum(m[:])}
	clear(m[:])
	return n
}

// noise are a nonce's random bytes.
type noise [32]byte

// drawn reads them; without a source they are 0, and signatures deterministic.
func drawn(random io.Reader) (n noise, err error) {
	if random != nil {
		err = fill(random, n[:])
	}
	return n, err
}

func fill(random io.Reader, b []byte) error {
	if _, err := io.ReadFull(random, b); err != nil {
		return fmt.Errorf("read random bytes: %w", err)
	}
	return nil
}

// message is what a try's nonce is the hash of.
type message [sm3.Size + len(noise{}) + 32 + 1]byte

func (n *nonces) message(m *message, z *noise, digest []byte, try byte) {
	at := copy(m[:], n.secret[:])
	at += copy(m[at:], z[:])
	copy(m[at:], digest)
	m[len(m)-1] = try
}

// nonce is that of a try. One in 2^32 is none, and there is another try.
func (n *nonces) nonce(z *noise, digest []byte, try byte) (k words, ok bool) {
	var m message
	n.message(&m, z, digest, try)
	h := sm3.Sum(m[:])
	k = wordsOf(h[:])
	clear(m[:])
	clear(h[:])
	return k, inRange(&k)
}
