package sm2

import (
	"crypto"
	"errors"
	"io"
	"reflect"

	"github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/sm3"
)

// Errors of signing.
var (
	errKey    = errors.New("sm2: the private key is none: its scalar is not in [1, n-2], its public half is another's, or it is of another curve")
	errDigest = errors.New("sm2: a digest has 32 bytes; Sign takes messages with an ID as its opts")
	errHash   = errors.New("sm2: a digest of another hash than SM3 is not signed")
	errNonces = errors.New("sm2: no nonce was found; the source of random bytes or the processor is broken")
)

// ID is who signs: as opts of Sign it says that what is signed is a message, and not a
// digest.
type ID string

// HashFunc implements crypto.SignerOpts: the message is not hashed before.
func (ID) HashFunc() crypto.Hash { return 0 }

// Signer signs with one key, fast. It implements crypto.Signer and crypto.MessageSigner
// and may be used by any number of goroutines. Its time does not depend on the key.
type Signer struct {
	pub     *PublicKey
	inverse words // 1/(1+d), as inverseOrder has it
	nonces  *nonces
	z       prefix
	err     error
}

// NewSigner makes a Signer. Of a key that is none, each signature fails.
func NewSigner(key *PrivateKey) *Signer {
	s := &Signer{err: errKey}
	if !isPrivateKey(key) {
		return s
	}
	var b [32]byte
	d := wordsOf(key.D.FillBytes(b[:]))
	d = addOrder(&d, &words{1})
	// A signature by the one half is none by the other.
	if x, y := Curve().ScalarBaseMult(b[:]); x.Cmp(key.X) != 0 || y.Cmp(key.Y) != 0 { //nolint:staticcheck // in constant time, by gmsm's assembly
		return s
	}
	s.pub, s.err = clone(&key.PublicKey), nil
	s.inverse, s.nonces = inverseOrder(&d), newNonces(&b)
	s.z = prefixOf(s.pub)
	clear(b[:])
	d = words{}
	return s
}

// Public implements crypto.Signer: a *PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.pub }

// Sign implements crypto.Signer. What is signed is a digest of 32 bytes, as Digest makes
// it; or, with opts that are an ID, or gmsm's for messages, a message. Without random the
// signature is deterministic. It is the DER of SEQUENCE { r, s }.
func (s *Signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.signAny(s.signDigest, random, digest, opts)
}

// SignMessage implements crypto.MessageSigner: DefaultID signs where opts name no other.
func (s *Signer) SignMessage(random io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.signMessage(s.signDigest, random, msg, opts)
}

// SignWithID signs a message under the signer's identity.
func (s *Signer) SignWithID(random io.Reader, id, msg []byte) ([]byte, error) {
	return s.signWithID(s.signDigest, random, id, msg)
}

// digestSigner signs a digest.
type digestSigner func(random io.Reader, digest []byte) ([]byte, error)

// signAny is Sign by whatever signs digests, a Signer alone or among others; signMessage
// and signWithID are SignMessage and SignWithID so.
func (s *Signer) signAny(sign digestSigner, random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if id, ok := signerID(opts); ok {
		return s.signWithID(sign, random, id, digest)
	}
	if err := noOther(opts); err != nil {
		return nil, err
	}
	return sign(random, digest)
}

func (s *Signer) signMessage(sign digestSigner, random io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	id, ok := signerID(opts)
	if !ok {
		id = []byte(DefaultID)
	}
	return s.signWithID(sign, random, id, msg)
}

func (s *Signer) signWithID(sign digestSigner, random io.Reader, id, msg []byte) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	e, err := s.z.digest(s.pub, id, msg)
	if err != nil {
		return nil, err
	}
	return sign(random, e[:])
}

// noOther refuses the digests of other hashes, which have names where SM3 has none.
func noOther(opts crypto.SignerOpts) error {
	if opts != nil && opts.HashFunc() != 0 {
		return errHash
	}
	return nil
}

// signerID gives the identity that opts ask for, if they say that a message is signed.
func signerID(opts crypto.SignerOpts) (id []byte, ok bool) {
	switch o := opts.(type) {
	case ID:
		return []byte(o), true
	case *sm2.SM2SignerOption:
		// gmsm's packages give these, and do not let others ask them.
		if o == nil {
			return nil, false
		}
		v := reflect.ValueOf(o).Elem()
		message, uid := v.FieldByName("forceGMSign"), v.FieldByName("uid")
		if message.IsValid() && uid.IsValid() && message.Bool() {
			return uid.Bytes(), true
		}
	}
	return nil, false
}

// tries are more than any key needs: one in 2^32 fails.
const tries = 16

func (s *Signer) signDigest(random io.Reader, digest []byte) ([]byte, error) {
	if err := s.takes(digest); err != nil {
		return nil, err
	}
	z, err := drawn(random)
	if err != nil {
		return nil, err
	}
	r, t, ok := s.make(&z, digest)
	if !ok {
		return nil, errNonces
	}
	return appendSignature(make([]byte, 0, maxSignature), &r, &t), nil
}

// takes says why a digest cannot be signed.
func (s *Signer) takes(digest []byte) error {
	if s.err == nil && len(digest) != sm3.Size {
		return errDigest
	}
	return s.err
}

// make signs a digest of 32 bytes.
func (s *Signer) make(z *noise, digest []byte) (r, t words, ok bool) {
	e := wordsOf(digest)
	for try := range byte(tries) {
		k, good := s.nonces.nonce(z, digest, try)
		if !good {
			continue
		}
		x := baseMult(&k)
		r, t, ok = s.finish(&e, &k, &x)
		k = words{}
		if ok {
			return r, t, true
		}
	}
	return r, t, false
}

// finish makes r and s of a nonce and its multiple of G, GB/T 32918.2-2016, 6.1:
// s = (k - r d)/(1+d) is (k + r)/(1+d) - r.
func (s *Signer) finish(e, k, x *words) (r, t words, ok bool) {
	er, xr := reduced(e, 0), reduced(x, 0)
	r = addOrder(&er, &xr)
	sum := addOrder(&r, k)
	t = mulOrder(&s.inverse, &sum)
	t = subOrder(&t, &r)
	return r, t, !isZero(&r) && !isZero(&sum) && !isZero(&t)
}
