// Package issuers checks SM2 signatures under keys that come again and again, as those of
// the issuers of certificates and of those who sign messages do. It keeps a table for each
// of the last of them, for the whole process (sm2.Verifiers).
package issuers

import "github.com/anole-os/anole/gm/sm2"

var known = sm2.NewVerifiers(0)

// Verify checks a signature over a digest of 32 bytes.
func Verify(pub *sm2.PublicKey, digest, signature []byte) error {
	return known.Verify(pub, digest, signature)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func VerifyMessage(pub *sm2.PublicKey, id, msg, signature []byte) error {
	return known.VerifyMessage(pub, id, msg, signature)
}

// Stats tells how many signatures were checked by a key's table, and how many were not.
func Stats() (hits, misses uint64) { return known.Stats() }
