package sm2

import (
	"crypto"
	"crypto/rand"
	"fmt"
	"sync"
	"testing"

	peer "github.com/emmansun/gmsm/sm2"
)

func BenchmarkSM2(b *testing.B) {
	key := newKey(b)
	s := NewSigner(key)
	e := make([]byte, 32)
	sig, err := s.Sign(rand.Reader, e, nil)
	if err != nil {
		b.Fatal(err)
	}
	v, err := NewVerifier(&key.PublicKey)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			_, _ = s.Sign(rand.Reader, e, nil)
		}
	})
	b.Run("signPeer", func(b *testing.B) {
		for b.Loop() {
			_, _ = key.Sign(rand.Reader, e, nil)
		}
	})
	b.Run("signMany", func(b *testing.B) {
		es := [][]byte{e, e, e, e, e, e, e, e, e, e, e, e, e, e, e, e}
		for b.Loop() {
			_, _ = s.SignMany(rand.Reader, es)
		}
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			_ = Verify(&key.PublicKey, e, sig)
		}
	})
	b.Run("verifyPeer", func(b *testing.B) {
		for b.Loop() {
			peer.VerifyASN1(&key.PublicKey, e, sig)
		}
	})
	b.Run("verifier", func(b *testing.B) {
		for b.Loop() {
			_ = v.Verify(e, sig)
		}
	})
	b.Run("newVerifier", func(b *testing.B) {
		for b.Loop() {
			_, _ = NewVerifier(&key.PublicKey)
		}
	})
	b.Run("verifyMany", func(b *testing.B) {
		p := &key.PublicKey
		ps, es, ss := []*PublicKey{p, p, p, p, p, p, p, p}, [][]byte{e, e, e, e, e, e, e, e}, [][]byte{sig, sig, sig, sig, sig, sig, sig, sig}
		for b.Loop() {
			VerifyMany(ps, es, ss)
		}
	})
	for _, n := range []int{1, 2, 4, 8, 16} {
		for name, signer := range map[string]crypto.Signer{"batch": NewBatchSigner(s), "each": s} {
			b.Run(fmt.Sprint(name, n), func(b *testing.B) {
				var wg sync.WaitGroup
				for range n {
					wg.Go(func() {
						for range b.N/n + 1 {
							_, _ = signer.Sign(rand.Reader, e, nil)
						}
					})
				}
				wg.Wait()
			})
		}
		bv := NewBatchVerifier()
		b.Run(fmt.Sprint("check", n), func(b *testing.B) {
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					for range b.N/n + 1 {
						_ = bv.Verify(&key.PublicKey, e, sig)
					}
				})
			}
			wg.Wait()
		})
	}
}
