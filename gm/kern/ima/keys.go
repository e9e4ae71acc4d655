package ima

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the kernel tells keys apart by it; nothing rests on it
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
)

// KeyID is how a label tells of a public key: the last four bytes of the SHA-1 of its
// bits, which is the point of one on a curve and RFC 8017's RSAPublicKey. A key in a
// certificate is told by KeyIDOf instead.
func KeyID(pub crypto.PublicKey) (uint32, error) {
	var bits []byte
	switch k := pub.(type) {
	case *rsa.PublicKey:
		bits = x509.MarshalPKCS1PublicKey(k)
	case *ecdsa.PublicKey:
		size := (k.Curve.Params().BitSize + 7) / 8
		bits = append([]byte{4}, make([]byte, 2*size)...)
		k.X.FillBytes(bits[1 : 1+size]) //nolint:staticcheck // SM2's curve is not one of those that Bytes knows
		k.Y.FillBytes(bits[1+size:])    //nolint:staticcheck // as above
	default:
		return 0, fmt.Errorf("a key of type %T is not for labels; SM2, RSA and ECDSA are", pub)
	}
	sum := sha1.Sum(bits) //nolint:gosec // as above
	return binary.BigEndian.Uint32(sum[16:]), nil
}

// KeyIDOf is how a label tells of a certificate: the last four bytes of the subject key
// identifier, of which it must have as many.
func KeyIDOf(subjectKeyID []byte) (uint32, error) {
	if len(subjectKeyID) < 4 {
		return 0, errors.New("the certificate has no subject key identifier")
	}
	return binary.BigEndian.Uint32(subjectKeyID[len(subjectKeyID)-4:]), nil
}

// ErrForeign is of a content that a Signer refuses: see Signer.Check.
var ErrForeign = rawsign.ErrForeign

// Signer makes labels. Any number of goroutines may use it. Its key should sign nothing
// else: see Check.
type Signer struct {
	key   crypto.Signer
	id    uint32
	algo  Algo
	own   trusted // the public half
	guard rawsign.Guard
}

// NewSigner makes one of a key for SM2, RSA or ECDSA, which is told by KeyID. SM2 goes
// with SM3 alone.
func NewSigner(key crypto.Signer, a Algo) (*Signer, error) {
	id, err := KeyID(key.Public())
	if err != nil {
		return nil, err
	}
	if !a.Known() {
		return nil, fmt.Errorf("%w: %v", ErrAlgo, a)
	}
	if sm2.IsPublicKey(key.Public()) && a != SM3 {
		return nil, fmt.Errorf("SM2 signs SM3 and not %v", a)
	}
	if err := policy.CheckKey(policy.Sign, key, ""); err != nil {
		return nil, err
	}
	if err := hashAllowed(a); err != nil {
		return nil, err
	}
	own, err := trust(key.Public())
	if err != nil {
		return nil, err
	}
	if k, ok := key.(*sm2.PrivateKey); ok {
		key = sm2.NewSigner(k)
	}
	guard, err := rawsign.New(key.Public())
	if err != nil {
		return nil, err
	}
	return &Signer{key, id, a, own, guard}, nil
}

// WithKeyID is the same Signer whose key is told otherwise, as by KeyIDOf.
func (s *Signer) WithKeyID(id uint32) *Signer {
	return &Signer{s.key, id, s.algo, s.own, s.guard}
}

// KeyID is how its labels tell of the key.
func (s *Signer) KeyID() uint32 { return s.id }

// Algo is the hash of its labels.
func (s *Signer) Algo() Algo { return s.algo }

// Check says with ErrForeign that a content must not be signed; 32 bytes of its beginning
// will do. A label by SM2 is over SM3 of the content alone, while messages, certificates
// and TLS have SM3 of Z, which anybody can reckon for a key and an identity, and what they
// say. A file that begins with Z of the Signer's own key would thus have it sign a message
// of whoever placed the file. Check knows Z of the standard identity and of TLS 1.3's
// (RFC 8998); a key that signs under another must not be one for labels.
func (s *Signer) Check(content []byte) error { return s.guard.Check(content) }

// Sign makes a label, of TypeSignature or TypePortable, over a digest. Of what the digest
// is it cannot see: the caller has had Check look at a content that others may write.
func (s *Signer) Sign(t Type, digest []byte) (Label, error) {
	if len(digest) != s.algo.Size() {
		return Label{}, fmt.Errorf("sign: a digest of %d bytes, %v has %d", len(digest), s.algo, s.algo.Size())
	}
	if _, ok := s.key.Public().(*rsa.PublicKey); ok {
		digest = append([]byte(algos[s.algo].prefix), digest...)
	}
	signature, err := s.key.Sign(rng.Reader, digest, crypto.Hash(0))
	if err != nil {
		return Label{}, fmt.Errorf("sign: %w", err)
	}
	l := Label{Type: t, Algo: s.algo, KeyID: s.id, Signature: signature}
	if n := len(l.Bytes()); n > MaxLabel {
		return Label{}, fmt.Errorf("sign: a label of %d bytes, at most %d may be", n, MaxLabel)
	}
	return l, nil
}

// made says whether a label is as this Signer would make it over a digest.
func (s *Signer) made(t Type, l Label, digest []byte) bool {
	return l.Type == t && l.Algo == s.algo && l.KeyID == s.id && s.own.verify(l, digest) == nil
}

// hashAllowed asks policy.Default about a hash. One that is not known here is none of a file.
func hashAllowed(a Algo) error {
	if !a.Known() {
		return fmt.Errorf("%w: %v", ErrAlgo, a)
	}
	return policy.Check(policy.Hash, a.Alg(), policy.Params{})
}

// Keyring is public keys by how labels tell of them. The zero value has none. It must not
// change while it is in use.
type Keyring struct{ keys map[uint32][]trusted }

// trusted is a key that verifies.
type trusted struct {
	pub   crypto.PublicKey
	table *sm2.Verifier // of a key of SM2, and nil of others
}

// trust makes a key's table: that pays where it verifies more than two labels.
func trust(pub crypto.PublicKey) (t trusted, err error) {
	t.pub = pub
	if k, ok := pub.(*ecdsa.PublicKey); ok && sm2.IsPublicKey(k) {
		t.table, err = sm2.NewVerifier(k)
	}
	return t, err
}

// Add takes a key, if policy.Default lets it verify. It is one which is told by KeyID, and where subjectKeyID is of its certificate
// by KeyIDOf too.
func (k *Keyring) Add(pub crypto.PublicKey, subjectKeyID []byte) error {
	id, err := KeyID(pub)
	if err != nil {
		return err
	}
	if err := policy.CheckKey(policy.Verify, pub, ""); err != nil {
		return err
	}
	key, err := trust(pub)
	if err != nil {
		return err
	}
	ids := []uint32{id}
	if other, err := KeyIDOf(subjectKeyID); err == nil && other != id {
		ids = append(ids, other)
	}
	if k.keys == nil {
		k.keys = map[uint32][]trusted{}
	}
	for _, id := range ids {
		k.keys[id] = append(k.keys[id], key)
	}
	return nil
}

// Len is how many keys there are to be told, some of which may be one.
func (k *Keyring) Len() int { return len(k.keys) }

// Verify checks a label against the digest of a file, or of EVMDigest: ErrMismatch,
// ErrUnknownKey; or a *policy.DeniedError where policy.Default does not let the label's hash be
// used, whatever key signed it. A label that is a digest and no signature must be the same; whether that
// will do is up to who asks.
func (k *Keyring) Verify(l Label, digest []byte) error {
	if err := hashAllowed(l.Algo); err != nil {
		return err
	}
	if l.Type == TypeDigest {
		if !bytes.Equal(l.Digest, digest) {
			return ErrMismatch
		}
		return nil
	}
	var keys []trusted
	if k != nil {
		keys = k.keys[l.KeyID]
	}
	if len(keys) == 0 {
		return fmt.Errorf("%w: %08x", ErrUnknownKey, l.KeyID)
	}
	for _, key := range keys { // several may have the same four bytes
		if key.verify(l, digest) == nil {
			return nil
		}
	}
	return ErrMismatch
}

func (t *trusted) verify(l Label, digest []byte) error {
	if !l.Algo.Known() || len(digest) != l.Algo.Size() {
		return ErrMismatch
	}
	ok := false
	switch k := t.pub.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.Hash(0), append([]byte(algos[l.Algo].prefix), digest...), l.Signature) == nil
	case *ecdsa.PublicKey:
		if t.table != nil {
			ok = l.Algo == SM3 && t.table.Verify(digest, l.Signature) == nil
		} else {
			ok = ecdsa.VerifyASN1(k, digest, l.Signature)
		}
	}
	if !ok {
		return ErrMismatch
	}
	return nil
}
