package ima

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"github.com/anole-os/anole/gm/sm2"
)

func newSM2(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(t testing.TB, key crypto.Signer, a Algo) (*Signer, *Keyring) {
	t.Helper()
	s, err := NewSigner(key, a)
	if err != nil {
		t.Fatal(err)
	}
	ring := &Keyring{}
	if err := ring.Add(key.Public(), nil); err != nil {
		t.Fatal(err)
	}
	return s, ring
}

func TestSignVerify(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  crypto.Signer
		algo Algo
	}{{"SM2", newSM2(t), SM3}, {"RSA", r, SHA256}, {"RSA with SM3", r, SM3}, {"RSA with SHA-512", r, SHA512}, {"ECDSA", e, SHA256}} {
		t.Run(c.name, func(t *testing.T) {
			s, ring := newSigner(t, c.key, c.algo)
			h := c.algo.New()
			h.Write([]byte("text"))
			digest := h.Sum(nil)
			l, err := s.Sign(TypeSignature, digest)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(l.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if err := ring.Verify(back, digest); err != nil {
				t.Error(err)
			}
			digest[3] ^= 1
			if err := ring.Verify(back, digest); !errors.Is(err, ErrMismatch) {
				t.Errorf("changed content: %v", err)
			}
			digest[3] ^= 1
			back.Signature[len(back.Signature)-1] ^= 1
			if err := ring.Verify(back, digest); !errors.Is(err, ErrMismatch) {
				t.Errorf("changed signature: %v", err)
			}
			_, other := newSigner(t, newSM2(t), SM3)
			if err := other.Verify(l, digest); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("key that is not there: %v", err)
			}
			if err := (*Keyring)(nil).Verify(l, digest); !errors.Is(err, ErrUnknownKey) {
				t.Errorf("no keys: %v", err)
			}
			l.KeyID = 7
			other.keys[7] = other.keys[firstID(other)]
			if err := other.Verify(l, digest); !errors.Is(err, ErrMismatch) {
				t.Errorf("another key of the same id: %v", err)
			}
		})
	}
}

func firstID(k *Keyring) uint32 {
	for id := range k.keys {
		return id
	}
	return 0
}

// TestBadScalars has r and s that no signature can have.
func TestBadScalars(t *testing.T) {
	key := newSM2(t)
	s, ring := newSigner(t, key, SM3)
	l, err := s.Sign(TypeSignature, digest32)
	if err != nil {
		t.Fatal(err)
	}
	var good struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(l.Signature, &good); err != nil {
		t.Fatal(err)
	}
	n := sm2.Curve().Params().N
	zero, beyond := new(big.Int), new(big.Int).Add(n, big.NewInt(1))
	for name, v := range map[string][2]*big.Int{
		"r is 0": {zero, good.S}, "s is 0": {good.R, zero}, "r is n": {n, good.S}, "s is n": {good.R, n},
		"r beyond n": {beyond, good.S}, "r negative": {new(big.Int).Neg(good.R), good.S},
		"r + n": {new(big.Int).Add(good.R, n), good.S}, "s + n": {good.R, new(big.Int).Add(good.S, n)}, "r + s is n": {good.R, new(big.Int).Sub(n, good.R)},
	} {
		der, err := asn1.Marshal(struct{ R, S *big.Int }{v[0], v[1]})
		if err != nil {
			t.Fatal(err)
		}
		bad := l
		bad.Signature = der
		if err := ring.Verify(bad, digest32); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, der := range map[string][]byte{"nothing": nil, "no DER": []byte("abc"), "more after it": append(l.Signature[:len(l.Signature):len(l.Signature)], 0)} {
		bad := l
		bad.Signature = der
		if err := ring.Verify(bad, digest32); !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A signature over SM3 that says SHA-256 is not one of SM2.
	bad := l
	bad.Algo = SHA256
	if err := ring.Verify(bad, digest32); !errors.Is(err, ErrMismatch) {
		t.Errorf("another hash: %v", err)
	}
}

func TestNewSigner(t *testing.T) {
	if _, err := NewSigner(newSM2(t), SHA256); err == nil {
		t.Error("SM2 with SHA-256 is taken")
	}
	if _, err := NewSigner(newSM2(t), 2); !errors.Is(err, ErrAlgo) {
		t.Errorf("SHA-1: %v", err)
	}
	s, _ := newSigner(t, newSM2(t), SM3)
	if _, err := s.Sign(TypeSignature, digest32[:20]); err == nil {
		t.Error("a digest that is short is signed")
	}
	if _, err := KeyIDOf([]byte{1, 2, 3}); err == nil {
		t.Error("a key identifier of three bytes is taken")
	}
	if id, err := KeyIDOf([]byte{9, 1, 2, 3, 4}); err != nil || id != 0x01020304 {
		t.Errorf("key id %08x, %v", id, err)
	}
	if s := s.WithKeyID(5); s.KeyID() != 5 || s.Algo() != SM3 {
		t.Errorf("key id %d, hash %v", s.KeyID(), s.Algo())
	}
}
