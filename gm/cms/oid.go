package cms

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // SHA256
	_ "crypto/sha512" // SHA384 and SHA512
	"encoding/asn1"
	"hash"
	"strings"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
)

type oid = asn1.ObjectIdentifier

// Attributes: RFC 5652, clause 11.
var (
	oidContentType   = oid{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = oid{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = oid{1, 2, 840, 113549, 1, 9, 5}
)

// Algorithms: GM/T 0006, RFC 3370, RFC 5754.
var (
	oidSM2Sign    = oid{1, 2, 156, 10197, 1, 301, 1}
	oidSM2Encrypt = oid{1, 2, 156, 10197, 1, 301, 3}
	oidSM2        = oid{1, 2, 156, 10197, 1, 301}
	oidSM2WithSM3 = oid{1, 2, 156, 10197, 1, 501}
	oidSM4        = oid{1, 2, 156, 10197, 1, 104}
	oidSM4CBC     = oid{1, 2, 156, 10197, 1, 104, 2}
	oidRSA        = oid{1, 2, 840, 113549, 1, 1, 1}
)

// family is the identifiers of one standard's kinds of messages.
type family struct{ data, signed, enveloped, both oid }

var (
	rfc = family{
		data: oid{1, 2, 840, 113549, 1, 7, 1}, signed: oid{1, 2, 840, 113549, 1, 7, 2},
		enveloped: oid{1, 2, 840, 113549, 1, 7, 3}, both: oid{1, 2, 840, 113549, 1, 7, 4},
	}
	gmt = family{
		data: oid{1, 2, 156, 10197, 6, 1, 4, 2, 1}, signed: oid{1, 2, 156, 10197, 6, 1, 4, 2, 2},
		enveloped: oid{1, 2, 156, 10197, 6, 1, 4, 2, 3}, both: oid{1, 2, 156, 10197, 6, 1, 4, 2, 4},
	}
)

func familyOf(isGMT bool) family {
	if isGMT {
		return gmt
	}
	return rfc
}

// Hash is a hash function that signatures are made of.
type Hash uint8

// The zero Hash is the one that goes with a key: SM3 with SM2, SHA-256 with RSA and P-256,
// SHA-384 and SHA-512 with larger curves.
const (
	SM3 Hash = iota + 1
	SHA256
	SHA384
	SHA512
)

var hashes = [...]struct {
	name string
	oid  oid
	std  crypto.Hash
}{
	SM3:    {"SM3", oid{1, 2, 156, 10197, 1, 401}, 0},
	SHA256: {"SHA-256", oid{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	SHA384: {"SHA-384", oid{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	SHA512: {"SHA-512", oid{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// String names the function, as "SM3".
func (h Hash) String() string {
	if h < SM3 || h > SHA512 {
		return "unknown"
	}
	return hashes[h].name
}

// New begins a hash. It panics for a Hash that is none of the constants.
func (h Hash) New() hash.Hash {
	if h == SM3 {
		return sm3.New()
	}
	return hashes[h].std.New()
}

// policyName is the function's name in package policy.
func (h Hash) policyName() policy.Alg { return policy.Alg(strings.ToLower(h.String())) }

// permitted asks policy.Default about signing or verifying.
func permitted(op policy.Op, pub crypto.PublicKey, h Hash, id string) error {
	if err := policy.CheckKey(op, pub, id); err != nil {
		return err
	}
	return policy.Check(policy.Hash, h.policyName(), policy.Params{})
}

// OID is the function's identifier. It panics for a Hash that is none of the constants.
func (h Hash) OID() asn1.ObjectIdentifier { return hashes[h].oid }

// HashOf finds a function by its identifier; the zero Hash is of all others.
func HashOf(id asn1.ObjectIdentifier) Hash {
	for h := SM3; h <= SHA512; h++ {
		if hashes[h].oid.Equal(id) {
			return h
		}
	}
	return 0
}

// keyKind is an algorithm of public keys.
type keyKind uint8

const (
	kindSM2 keyKind = iota + 1
	kindRSA
	kindECDSA
)

var kindNames = [...]string{kindSM2: "SM2", kindRSA: "RSA", kindECDSA: "ECDSA"}

// kindOf tells the kind of a public key, 0 for those that are not supported.
func kindOf(pub crypto.PublicKey) keyKind {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return kindRSA
	case *ecdsa.PublicKey:
		if sm2.IsPublicKey(k) {
			return kindSM2
		}
		return kindECDSA
	}
	return 0
}

// DefaultHash is the hash that goes with a key.
func DefaultHash(pub crypto.PublicKey) Hash {
	switch kindOf(pub) {
	case kindSM2:
		return SM3
	case kindECDSA:
		switch n := pub.(*ecdsa.PublicKey).Curve.Params().BitSize; {
		case n > 384:
			return SHA512
		case n > 256:
			return SHA384
		}
	}
	return SHA256
}

// schemes are the identifiers of signature algorithms; the hash is 0 where the
// digestAlgorithm alone tells it.
var schemes = []struct {
	oid  oid
	kind keyKind
	hash Hash
}{
	{oidSM2Sign, kindSM2, SM3},
	{oidSM2WithSM3, kindSM2, SM3},
	{oidSM2, kindSM2, SM3},
	{oidRSA, kindRSA, 0},
	{oid{1, 2, 840, 113549, 1, 1, 11}, kindRSA, SHA256},
	{oid{1, 2, 840, 113549, 1, 1, 12}, kindRSA, SHA384},
	{oid{1, 2, 840, 113549, 1, 1, 13}, kindRSA, SHA512},
	{oid{1, 2, 840, 10045, 4, 3, 2}, kindECDSA, SHA256},
	{oid{1, 2, 840, 10045, 4, 3, 3}, kindECDSA, SHA384},
	{oid{1, 2, 840, 10045, 4, 3, 4}, kindECDSA, SHA512},
}

// schemeOf finds the kind of key that an algorithm takes: 0 for an algorithm that is not
// supported or goes with another hash.
func schemeOf(id oid, h Hash) keyKind {
	for _, s := range schemes {
		if s.oid.Equal(id) && (s.hash == 0 && h != SM3 || s.hash == h) {
			return s.kind
		}
	}
	return 0
}
