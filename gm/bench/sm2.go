package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	peer "github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/internal/benchfmt"
)

var sm2Cases = []benchCase{
	{Name: "sm2-sign-single", Doc: "SM2 signatures, one after the other", Run: (*bencher).sign},
	{Name: "sm2-sign-many", Doc: "SM2 signatures, 16 at once by one call", Run: (*bencher).signMany},
	{Name: "sm2-sign-batch", Doc: "SM2 signatures, asked for by 16 goroutines", Run: (*bencher).signBatch},
	{Name: "sm2-verify-single", Doc: "checks of SM2 signatures of any key", Run: (*bencher).verify},
	{Name: "sm2-verifier", Doc: "checks of SM2 signatures of a key that is known", Run: (*bencher).verifier},
	{Name: "sm2-verify-many", Doc: "checks of SM2 signatures, 16 at once by one call", Run: (*bencher).verifyMany},
}

// atOnce is how many signatures are made or checked side by side.
const atOnce = 16

// signed is what is signed and checked: digests of so many keys.
type signed struct {
	key                 *sm2.PrivateKey // the first
	pubs                []*sm2.PublicKey
	digests, signatures [][]byte
}

func newSigned(n int) (*signed, error) {
	s := new(signed)
	for i := range n {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		digest, err := sm2.Digest(&key.PublicKey, []byte(sm2.DefaultID), text(32+i))
		if err != nil {
			return nil, err
		}
		signature, err := peer.SignASN1(rand.Reader, key, digest, nil)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			s.key = key
		}
		s.pubs, s.digests, s.signatures = append(s.pubs, &key.PublicKey), append(s.digests, digest), append(s.signatures, signature)
	}
	return s, nil
}

// each does something with one after the other of n.
func each(n int, f func(i int) error) func() (func() error, error) {
	return func() (func() error, error) {
		i := 0
		return func() error {
			i = (i + 1) % n
			return f(i)
		}, nil
	}
}

// signer is gmsm that signs digests with one key.
func (s *signed) signer() *subject {
	return inProcess(gmsmName, 1, nil, each(len(s.digests), func(i int) error {
		_, err := s.key.Sign(rand.Reader, s.digests[i], nil)
		return err
	}))
}

var errNotAccepted = errors.New("check a good signature: it was refused")

// verifier is gmsm that checks signatures.
func (s *signed) verifier() *subject {
	return inProcess(gmsmName, 1, nil, each(len(s.pubs), func(i int) error {
		if !peer.VerifyASN1(s.pubs[i], s.digests[i], s.signatures[i]) {
			return errNotAccepted
		}
		return nil
	}))
}

func (b *bencher) sign(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(atOnce)
	if err != nil {
		return nil, err
	}
	signer := sm2.NewSigner(s.key)
	return b.play(ctx, match{
		what: "SM2 signatures, one at a time", unit: "k/s", peers: []versus{{"sm2-sign-single", ">=2.2", s.signer()}},
		ours: inProcess("", 1, nil, each(atOnce, func(i int) error {
			_, err := signer.Sign(rand.Reader, s.digests[i], nil)
			return err
		})),
	})
}

func (b *bencher) signMany(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(atOnce)
	if err != nil {
		return nil, err
	}
	signer := sm2.NewSigner(s.key)
	return b.play(ctx, match{
		what: "SM2 signatures, 16 by one call", unit: "k/s", peers: []versus{{"sm2-sign-many-gmsm", "", s.signer()}},
		ours: inProcess("", atOnce, nil, each(1, func(int) error {
			_, err := signer.SignMany(rand.Reader, s.digests)
			return err
		})),
		rateID: "sm2-sign-many", rateTarget: ">=500",
	})
}

// signBatch is of goroutines that know nothing of each other.
func (b *bencher) signBatch(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(atOnce)
	if err != nil {
		return nil, err
	}
	signer := sm2.NewBatchSigner(sm2.NewSigner(s.key))
	crowd := func(n int) func() error {
		return func() error {
			errs := make([]error, atOnce)
			var wg sync.WaitGroup
			for i := range atOnce {
				wg.Go(func() {
					for range n {
						if _, err := signer.Sign(rand.Reader, s.digests[i], nil); err != nil {
							errs[i] = err
							return
						}
					}
				})
			}
			wg.Wait()
			return errors.Join(errs...)
		}
	}
	mine := &subject{work: atOnce, run: func(n int) (took, string, error) {
		if err := crowd(practice(n))(); err != nil {
			return took{}, "", err
		}
		t, err := timed(crowd(n))
		return t, "", err
	}}
	return b.play(ctx, match{
		what: "SM2 signatures, BatchSigner asked by 16 goroutines", unit: "k/s", ours: mine, peers: []versus{{"sm2-sign-batch-gmsm", "", s.signer()}},
		rateID: "sm2-sign-batch", rateTarget: ">=500",
	})
}

func (b *bencher) verify(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(atOnce)
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: "SM2 signatures checked, one at a time, of 16 keys", unit: "k/s", peers: []versus{{"sm2-verify-single", ">=1.5", s.verifier()}},
		ours: inProcess("", 1, nil, each(atOnce, func(i int) error { return sm2.Verify(s.pubs[i], s.digests[i], s.signatures[i]) })),
	})
}

func (b *bencher) verifier(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(1)
	if err != nil {
		return nil, err
	}
	v, err := sm2.NewVerifier(s.pubs[0])
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: "SM2 signatures checked by a Verifier, of one key", unit: "k/s", peers: []versus{{"sm2-verifier", ">=3.2", s.verifier()}},
		ours: inProcess("", 1, nil, each(1, func(int) error { return v.Verify(s.digests[0], s.signatures[0]) })),
	})
}

func (b *bencher) verifyMany(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := newSigned(atOnce)
	if err != nil {
		return nil, err
	}
	return b.play(ctx, match{
		what: "SM2 signatures checked, 16 by one call, of 16 keys", unit: "k/s", peers: []versus{{"sm2-verify-many", ">=4.7", s.verifier()}},
		ours: inProcess("", atOnce, nil, each(1, func(int) error {
			return errors.Join(sm2.VerifyMany(s.pubs, s.digests, s.signatures)...)
		})),
	})
}
