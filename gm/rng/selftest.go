package rng

import "github.com/anole-os/anole/gm/internal/kat"

// The known answer is the second block after a new seed: the example that gmsm's drbg,
// whose code is not related, is tested with too.
const (
	katEntropy = "63363377e41e86468deb0ab4a8ed683f6a134e47e014c700454e81e95358a569"
	katNonce   = "808aa38f2a72a62359915a9f8a04ca68"
	katReseed  = "e62b8a8ee8f141b6980566e3bfe3c04903dad4ac2cdf9f2280010a6739bc83d3"
	katBlock   = "00d98d35a2fab8df23e9e1fb9aad143d62c0759eb79e15c37e8f2bc5064e68da"
)

// Checks are the self-tests: the generator's known answer, and that the health tests see
// what they are there for.
func Checks() []kat.Check {
	const answer, stuck, biased, sound = "DRBG known answer", "repetition count test", "adaptive proportion test", "health of sound samples"
	return []kat.Check{
		{Name: answer, Implementation: "SM3", Run: func() error { return kat.Equal(answer, "SM3", knownBlock(), katBlock) }},
		{Name: stuck, Implementation: "health", Run: func() error {
			h := newHealth(1)
			return kat.True(stuck, "health", h.test(make([]byte, h.repetition-1)) == nil && h.test(make([]byte, 1)) != nil)
		}},
		{Name: biased, Implementation: "health", Run: func() error {
			h, b := newHealth(1), make([]byte, window)
			for i := range b { // two zeroes of three
				b[i] = byte(i % 3 / 2)
			}
			return kat.True(biased, "health", h.test(b) != nil)
		}},
		{Name: sound, Implementation: "health", Run: func() error {
			h, b := newHealth(1), make([]byte, startup)
			for i := range b {
				b[i] = byte(i * 167)
			}
			return kat.True(sound, "health", h.test(b) == nil)
		}},
	}
}

// SelfTest runs Checks; a Generator does so when it starts.
func SelfTest() error { return kat.Join(Checks()) }

func knownBlock() []byte {
	var d drbg
	d.instantiate(kat.Hex(katEntropy), kat.Hex(katNonce))
	d.reseed(kat.Hex(katReseed), nil)
	out := make([]byte, Block)
	d.generate(out, nil)
	d.generate(out, nil)
	return out
}
