package cms_test

import (
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/rng"
)

// Without random bytes there is no message.
func TestNoRandom(t *testing.T) {
	p := makePeople(t)
	to := cms.EnvelopOptions{Recipients: []*cms.Certificate{p.sm2.Certificate}}
	norandom.Break(t)
	if der, err := cms.Envelop([]byte("content"), to); !errors.Is(err, rng.ErrState) || der != nil {
		t.Errorf("envelop: %x, %v", der, err)
	}
	by := cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}}
	if der, err := cms.SignAndEnvelop([]byte("content"), by, to); !errors.Is(err, rng.ErrState) || der != nil {
		t.Errorf("sign and envelop: %x, %v", der, err)
	}
}
