package rng

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	peer "github.com/emmansun/gmsm/drbg"
)

func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed, 'r', 'n', 'g'}) }

func some(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// What gmsm makes of the same seeds and additional input is made of them here.
func TestDRBG(t *testing.T) {
	if got := hex.EncodeToString(knownBlock()); got != katBlock {
		t.Errorf("known answer: %s, want %s", got, katBlock)
	}
	r := seeded(1)
	n := rand.New(r)
	for range 200 {
		entropy, nonce := some(r, 32+n.IntN(257)), some(r, 16+n.IntN(129))
		other, err := peer.NewGMHashDrbg(peer.SECURITY_LEVEL_ONE, entropy, nonce, nil)
		if err != nil {
			t.Fatal(err)
		}
		var d drbg
		d.instantiate(entropy, nonce)
		for step := range 30 {
			if n.IntN(6) == 0 {
				entropy, more := some(r, 32+n.IntN(257)), some(r, n.IntN(100))
				d.reseed(entropy, more)
				if err := other.Reseed(entropy, more); err != nil {
					t.Fatal(err)
				}
			}
			got, want, more := make([]byte, 1+n.IntN(Block)), make([]byte, Block), some(r, n.IntN(3)*n.IntN(100))
			want = want[:len(got)]
			d.generate(got, more)
			if _, err := other.Generate(want, more); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("step %d: %x, want %x", step, got, want)
			}
		}
	}
}

// V counts modulo 2^440, whatever is added.
func TestAddCarries(t *testing.T) {
	for _, n := range []int{1, 8, 32, 55} {
		var d drbg
		for i := range d.v {
			d.v[i] = 0xff
		}
		x := make([]byte, n)
		x[n-1] = 1
		if d.add(x); !bytes.Equal(d.v[1:], make([]byte, seedLen)) || d.v[0] != 0xff {
			t.Errorf("%d bytes: %x", n, d.v)
		}
	}
}
