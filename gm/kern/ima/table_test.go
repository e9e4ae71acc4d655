package ima

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/sm2"
)

// A key of SM2 verifies by its table, under both of its names, as sm2.Verify would.
func TestKeyringTable(t *testing.T) {
	k := newSM2(t)
	s, _ := newSigner(t, k, SM3)
	ring := &Keyring{}
	if err := ring.Add(k.Public(), []byte{0, 1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	if len(ring.keys) != 2 || ring.keys[s.id][0].table == nil || ring.keys[s.id][0].table != ring.keys[0x01020304][0].table {
		t.Fatalf("not one table for both names: %v", ring.keys)
	}
	if s.own.table == nil {
		t.Error("the signer has no table")
	}
	digest := make([]byte, SM3.Size())
	_, _ = rand.Read(digest)
	l, err := s.Sign(TypeSignature, digest)
	if err != nil {
		t.Fatal(err)
	}
	good := bytes.Clone(l.Signature)
	for at := range len(good) {
		for _, bit := range []byte{0, 1, 0x80} {
			l.Signature = bytes.Clone(good)
			l.Signature[at] ^= bit
			want := sm2.Verify(&k.PublicKey, digest, l.Signature) == nil
			if got := ring.Verify(l, digest); (got == nil) != want || got != nil && !errors.Is(got, ErrMismatch) {
				t.Errorf("byte %d, bit %#x: %v, want %v", at, bit, got, want)
			}
		}
	}
	l.Signature = good
	digest[0] ^= 1
	if err := ring.Verify(l, digest); !errors.Is(err, ErrMismatch) {
		t.Errorf("another digest: %v", err)
	}
	off := k.PublicKey
	off.X = off.Y //nolint:staticcheck // not a point of the curve
	if err := new(Keyring).Add(&off, nil); err == nil {
		t.Error("takes a point that is not on the curve")
	}
}

func BenchmarkVerify(b *testing.B) {
	k := newSM2(b)
	s, ring := newSigner(b, k, SM3)
	digest := make([]byte, SM3.Size())
	l, err := s.Sign(TypeSignature, digest)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			if err := ring.Verify(l, digest); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("none", func(b *testing.B) {
		for b.Loop() {
			if err := sm2.Verify(&k.PublicKey, digest, l.Signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}
