package sm2

import (
	"crypto/rand"
	"math/big"
	"testing"

	"github.com/anole-os/anole/gm/internal/dudect"
)

// small is the fixed class's secret: with hardly a bit, so that what goes by bits shows.
var small = big.NewInt(3)

// secrets are the private keys of a class, each in memory of its own.
func secrets(t *testing.T, class int) (all [dudect.Inputs]*PrivateKey) {
	for i := range all {
		d := small
		if class == dudect.Random {
			d = newKey(t).D
		}
		key, err := NewPrivateKey(d.FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = key
	}
	return all
}

// numbers are less than the order.
func numbers(class int) (all [dudect.Inputs]words) {
	for i := range all {
		if all[i] = (words{2}); class == dudect.Random {
			w := wordsOf(some(32))
			all[i] = reduced(&w, 0)
		}
	}
	return all
}

// again reads the same bytes each time.
type again struct{ b []byte }

func (a *again) Read(b []byte) (int, error) { return copy(b, a.b), nil }

// Signatures take as long for one key as for others, and for one nonce as for others; so
// does decryption. The noise of a machine with two busy loops beside this is no trouble.
func TestTime(t *testing.T) {
	each(t, func(t *testing.T) {
		signers := [2][dudect.Inputs]*Signer{}
		noises := [2][dudect.Inputs][]byte{}
		for class := range signers {
			for i, key := range secrets(t, class) {
				signers[class][i] = NewSigner(key)
				if noises[class][i] = make([]byte, 32); class == dudect.Random {
					_, _ = rand.Read(noises[class][i])
				}
			}
		}
		digest, source := some(32), &again{}
		var s *Signer
		sign := func() { _, _ = s.Sign(source, digest, nil) }
		dudect.Constant(t, dudect.Case{Name: "Sign, keys", Run: sign, Load: func(class, i int) {
			s, source.b = signers[class][i], noises[dudect.Random][i]
		}})
		dudect.Constant(t, dudect.Case{Name: "Sign, nonces", Run: sign, Load: func(class, i int) {
			s, source.b = signers[dudect.Random][0], noises[class][i]
		}})
		var k words
		ks := [2][dudect.Inputs]words{numbers(dudect.Fixed), numbers(dudect.Random)}
		dudect.Constant(t, dudect.Case{Name: "a multiple of G", Run: func() { product = baseMult(&k) }, Load: func(class, i int) {
			k = ks[class][i]
		}})
		if engine != nil {
			var many, out [lanes]words
			dudect.Constant(t, dudect.Case{Name: "multiples of G", Run: func() { engine.baseMany(out[:], many[:]) }, Load: func(class, i int) {
				for l := range many {
					many[l] = ks[class][(i+l)%dudect.Inputs]
				}
			}})
		}
	})
	var key *PrivateKey
	var sealed []byte
	keys := [2][dudect.Inputs]*PrivateKey{secrets(t, dudect.Fixed), secrets(t, dudect.Random)}
	ciphertexts := [2][dudect.Inputs][]byte{}
	for class := range keys {
		for i, key := range keys[class] {
			var err error
			if ciphertexts[class][i], err = Encrypt(nil, &key.PublicKey, make([]byte, 64), ASN1); err != nil {
				t.Fatal(err)
			}
		}
	}
	load := func(class, i int) { key, sealed = keys[class][i], ciphertexts[class][i] }
	dudect.Constant(t, dudect.Case{Name: "Decrypt, keys", Load: load, Run: func() { _, _ = Decrypt(key, sealed, ASN1) }})
}

// Arithmetic modulo the order takes as long for a number of two bits as for others.
func TestTimeOrder(t *testing.T) {
	as := [2][dudect.Inputs]words{numbers(dudect.Fixed), numbers(dudect.Random)}
	bs := [2][dudect.Inputs]words{numbers(dudect.Fixed), numbers(dudect.Random)}
	var a, b words
	load := func(class, i int) { a, b = as[class][i], bs[class][(i+7)%dudect.Inputs] }
	for name, run := range map[string]func(){
		"mulOrder":     func() { product = mulOrder(&a, &b) },
		"addOrder":     func() { product = addOrder(&a, &b) },
		"subOrder":     func() { product = subOrder(&a, &b) },
		"reduced":      func() { product = reduced(&a, b[0]&1) },
		"inRange":      func() { kept = inRange(&a) },
		"inverseOrder": func() { product = inverseOrder(&a) },
	} {
		dudect.Constant(t, dudect.Case{Name: name, Load: load, Run: run})
	}
}

// What is timed is kept, so that the compiler has it done.
var (
	product words
	kept    bool
)

// The test can fail: a comparison that ends at the first difference, and a multiplication
// that goes by the bits of a secret, are found.
func TestTimeOfLeaks(t *testing.T) {
	var a, b [64]byte
	inputs := [2][dudect.Inputs][64]byte{}
	for i := range dudect.Inputs {
		inputs[dudect.Random][i] = [64]byte(some(64))
	}
	dudect.Leaky(t, dudect.Case{Name: "a comparison that ends early", Load: func(class, i int) { b = inputs[class][i] }, Run: func() {
		kept = true
		for i := range a {
			if a[i] != b[i] {
				kept = false
				break
			}
		}
	}})
	ks := [2][dudect.Inputs]words{numbers(dudect.Fixed), numbers(dudect.Random)}
	var k words
	base := numbers(dudect.Random)[0]
	dudect.Leaky(t, dudect.Case{Name: "square and multiply", Load: func(class, i int) { k = ks[class][i] }, Run: func() {
		product = words{1}
		for i := 255; i >= 0; i-- {
			product = mulOrder(&product, &product)
			if k[i/64]>>(i%64)&1 == 1 {
				product = mulOrder(&product, &base)
			}
		}
	}})
	// One that is 4 steps of 200: what the test is fine enough for.
	dudect.Leaky(t, dudect.Case{Name: "a branch of 2 %", Load: func(class, i int) { k = ks[class][i] }, Run: func() {
		product = base
		for range 200 {
			product = mulOrder(&product, &base)
		}
		if k[3] != 0 {
			for range 4 {
				product = mulOrder(&product, &base)
			}
		}
	}})
}
