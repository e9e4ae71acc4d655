package sm2

import (
	"errors"

	"github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/sm3"
)

// ErrRefused is of a signature that does not fit: it says no more.
var ErrRefused = errors.New("sm2: signature refused")

// errPublic is of a point that is no public key.
var errPublic = errors.New("sm2: the public key is none: it is not a point of the curve, or infinity")

// Verify checks a signature over a digest. A key that checks many is better asked
// through a Verifier or Verifiers.
func Verify(pub *PublicKey, digest, signature []byte) error {
	if engine == nil {
		return plainVerify(pub, digest, signature)
	}
	x, y, ok := coordinates(pub)
	if !ok {
		return ErrRefused
	}
	return verifyAt(&x, &y, pub, digest, signature)
}

// verifyAt is Verify by a key whose coordinates these are.
func verifyAt(x, y *words, pub *PublicKey, digest, signature []byte) error {
	var c claim
	if !c.read(digest, signature) {
		return ErrRefused
	}
	return c.outcome(engine.once(x, y, &c), pub, digest, signature)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func VerifyMessage(pub *PublicKey, id, msg, signature []byte) error {
	return verifyMessage(Verify, pub, id, msg, signature)
}

// verifyMessage is VerifyMessage by whatever checks signatures over digests, and sees
// whether the key is on the curve.
func verifyMessage(verify func(pub *PublicKey, digest, signature []byte) error, pub *PublicKey, id, msg, signature []byte) error {
	if !isBounded(pub) {
		return ErrRefused
	}
	e, err := messageDigest(pub, id, msg)
	if err != nil {
		return ErrRefused
	}
	return verify(pub, e[:], signature)
}

// plainVerify is gmsm's.
func plainVerify(pub *PublicKey, digest, signature []byte) error {
	if _, _, ok := coordinates(pub); !ok || len(digest) != sm3.Size {
		return ErrRefused
	}
	if _, _, ok := parseSignature(signature); !ok || !sm2.VerifyASN1(pub, digest, signature) {
		return ErrRefused
	}
	return nil
}

// claim is that the x coordinate of s G + t P is v modulo n.
type claim struct{ s, t, v words }

// read makes a claim of a signature, if it can be one: GB/T 32918.2-2016, 7.1.
func (c *claim) read(digest, signature []byte) bool {
	r, s, ok := parseSignature(signature)
	if !ok || len(digest) != sm3.Size || !inRange(&r) || !inRange(&s) {
		return false
	}
	e := wordsOf(digest)
	e = reduced(&e, 0)
	c.s, c.t, c.v = s, addOrder(&r, &s), subOrder(&r, &e)
	return !isZero(&c.t)
}

// answer is an engine's to a claim. It is unsure of sums that its additions cannot
// make, which only who made up key and signature together can have it meet.
type answer struct{ ok, sure bool }

func (c *claim) outcome(a answer, pub *PublicKey, digest, signature []byte) error {
	switch {
	case !a.sure:
		return plainVerify(pub, digest, signature)
	case !a.ok:
		return ErrRefused
	}
	return nil
}

// isBounded says whether a key's coordinates are numbers of 256 bits.
func isBounded(pub *PublicKey) bool {
	return IsPublicKey(pub) && pub.X != nil && pub.Y != nil && pub.X.Sign() >= 0 && pub.Y.Sign() >= 0 && pub.X.BitLen() <= 256 && pub.Y.BitLen() <= 256
}

// coordinates gives a public key's, if it is one.
func coordinates(pub *PublicKey) (x, y words, ok bool) {
	if !isBounded(pub) {
		return x, y, false
	}
	if engine == nil {
		return x, y, pub.Curve.IsOnCurve(pub.X, pub.Y) //nolint:staticcheck // the point may be anyone's
	}
	var b [32]byte
	x = wordsOf(pub.X.FillBytes(b[:]))
	y = wordsOf(pub.Y.FillBytes(b[:]))
	return x, y, engine.onCurve(&x, &y)
}

// Verifier checks signatures of one key, from a table of it: a small part of the time that
// Verify takes (anole gm bench), for 41 KB. It may be used by any number of goroutines.
type Verifier struct {
	pub   *PublicKey
	table table // nil where there is no engine
	z     prefix
}

// NewVerifier makes a Verifier, in about twice the time of Verify. The error is of a key
// that is none.
func NewVerifier(pub *PublicKey) (*Verifier, error) {
	x, y, ok := coordinates(pub)
	if !ok {
		return nil, errPublic
	}
	v := &Verifier{pub: clone(pub)}
	if engine != nil {
		v.table = engine.table(&x, &y)
	}
	v.z = prefixOf(pub)
	return v, nil
}

// Public is the key.
func (v *Verifier) Public() *PublicKey { return v.pub }

// Verify checks a signature over a digest.
func (v *Verifier) Verify(digest, signature []byte) error {
	if v.table == nil {
		return plainVerify(v.pub, digest, signature)
	}
	var c claim
	if !c.read(digest, signature) {
		return ErrRefused
	}
	return c.outcome(v.table.check(&c), v.pub, digest, signature)
}

// VerifyMessage checks a signature over a message under the signer's identity.
func (v *Verifier) VerifyMessage(id, msg, signature []byte) error {
	e, err := v.z.digest(v.pub, id, msg)
	if err != nil {
		return ErrRefused
	}
	return v.Verify(e[:], signature)
}
