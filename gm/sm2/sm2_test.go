//nolint:staticcheck // keys and points that are none are made by their numbers
package sm2

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"sync"
	"testing"

	peer "github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/internal/impl"
)

// each runs a test with each implementation that the processor has.
func each(t *testing.T, test func(t *testing.T)) {
	was := engine
	defer func() { engine = was }()
	for _, l := range impl.Available() {
		e, ok := engines[l]
		if !ok {
			continue
		}
		engine = e
		t.Run(l.String(), test)
	}
}

func newKey(t testing.TB) *PrivateKey {
	t.Helper()
	key, err := GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// GB/T 32918.5-2017, A.2.
func TestStandard(t *testing.T) {
	key, err := NewPrivateKey(unhex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := Digest(&key.PublicKey, []byte(DefaultID), []byte("message digest"))
	if err != nil || hex.EncodeToString(e) != "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640" {
		t.Fatalf("the digest is %x, %v", e, err)
	}
	each(t, func(t *testing.T) {
		s := NewSigner(key)
		k, ew := wordsOf(unhex("59276e27d506861a16680f3ad9c02dccef3cc1fa3cdbe4ce6d54b80deac1bc21")), wordsOf(e)
		x := baseMult(&k)
		r, v, ok := s.finish(&ew, &k, &x)
		const wantR, wantS = "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3", "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa"
		if !ok || number(r).Text(16) != wantR || number(v).Text(16) != wantS {
			t.Errorf("r %x, s %x", number(r), number(v))
		}
		if err := Verify(&key.PublicKey, e, appendSignature(nil, &r, &v)); err != nil {
			t.Error(err)
		}
	})
}

// What is signed here is taken there, and the other way round, by every way to sign and
// to verify.
func TestPeer(t *testing.T) {
	each(t, func(t *testing.T) {
		all, checker := NewVerifiers(3), NewBatchVerifier()
		for i := range 150 {
			key := newKey(t)
			s := NewSigner(key)
			v, err := NewVerifier(&key.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			id, msg := []byte(DefaultID), make([]byte, 1+37*i) // the other signs none of 0 bytes
			if i%3 == 0 {
				id = []byte(fmt.Sprintf("signer %d", i))
			}
			_, _ = rand.Read(msg)
			e, err := Digest(&key.PublicKey, id, msg)
			if err != nil {
				t.Fatal(err)
			}
			if theirs, err := peer.CalculateSM2Hash(&key.PublicKey, msg, id); err != nil || !bytes.Equal(e, theirs) {
				t.Fatalf("the digest is %x, want %x", e, theirs)
			}
			sigs := map[string][]byte{}
			add := func(name string, sig []byte, err error) {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				sigs[name] = sig
			}
			sig, err := s.Sign(rand.Reader, e, nil)
			add("Sign", sig, err)
			sig, err = s.Sign(rand.Reader, msg, ID(id))
			add("Sign with an ID", sig, err)
			sig, err = s.Sign(rand.Reader, msg, peer.NewSM2SignerOption(true, id))
			add("Sign with gmsm's option", sig, err)
			sig, err = crypto.SignMessage(s, rand.Reader, msg, ID(id))
			add("SignMessage", sig, err)
			sig, err = s.Sign(nil, e, nil)
			add("without random", sig, err)
			sig, err = NewBatchSigner(s).Sign(rand.Reader, e, nil)
			add("batch", sig, err)
			sig, err = NewBatchSigner(s).SignMessage(rand.Reader, msg, ID(id))
			add("batch of messages", sig, err)
			sig, err = key.SignWithSM2(rand.Reader, id, msg)
			add("peer", sig, err)
			wrong := bytes.Clone(e)
			wrong[i%32] ^= 1 << (i % 8)
			for name, sig := range sigs {
				if !peer.VerifyASN1(&key.PublicKey, e, sig) {
					t.Fatalf("%s: the other refuses it", name)
				}
				for how, verify := range map[string]func(e []byte) error{
					"Verify":    func(e []byte) error { return Verify(&key.PublicKey, e, sig) },
					"Verifier":  func(e []byte) error { return v.Verify(e, sig) },
					"Verifiers": func(e []byte) error { return all.Verify(&key.PublicKey, e, sig) },
					"batch":     func(e []byte) error { return checker.Verify(&key.PublicKey, e, sig) },
				} {
					if err := verify(e); err != nil {
						t.Fatalf("%s of %s: %v", how, name, err)
					}
					if err := verify(wrong); !errors.Is(err, ErrRefused) {
						t.Fatalf("%s of %s takes another digest: %v", how, name, err)
					}
				}
				if err := errors.Join(VerifyMessage(&key.PublicKey, id, msg, sig), v.VerifyMessage(id, msg, sig), all.VerifyMessage(&key.PublicKey, id, msg, sig), checker.VerifyMessage(&key.PublicKey, id, msg, sig)); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if VerifyMessage(&key.PublicKey, []byte("someone else"), msg, sig) == nil {
					t.Fatalf("%s: taken under another identity", name)
				}
			}
		}
	})
}

// A nonce is of key, digest and noise; the same noise for another digest is another nonce.
func TestHedged(t *testing.T) {
	each(t, func(t *testing.T) {
		s := NewSigner(newKey(t))
		one, other := make([]byte, 32), bytes.Repeat([]byte{1}, 32)
		noise := bytes.Repeat([]byte{7}, 32)
		sign := func(random io.Reader, e []byte) []byte {
			sig, err := s.Sign(random, e, nil)
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}
		if !bytes.Equal(sign(bytes.NewReader(noise), one), sign(bytes.NewReader(noise), one)) || !bytes.Equal(sign(nil, one), sign(nil, one)) {
			t.Error("the same is signed otherwise")
		}
		if bytes.Equal(sign(nil, one), sign(bytes.NewReader(noise), one)) {
			t.Error("noise changes nothing")
		}
		a, b := sign(bytes.NewReader(noise), one), sign(bytes.NewReader(noise), other)
		// s - s' of one nonce would give the key: x of the two must differ.
		ra, _, _ := parseSignature(a)
		rb, _, _ := parseSignature(b)
		ea, eb := wordsOf(one), wordsOf(other)
		if subOrder(&ra, &ea) == subOrder(&rb, &eb) {
			t.Error("two digests have one nonce")
		}
		many, err := s.SignMany(bytes.NewReader(bytes.Repeat(noise, 20)), [][]byte{one, other, one, other, one, other, one, other, one})
		if err != nil {
			t.Fatal(err)
		}
		for i, sig := range many {
			if want := [][]byte{a, b}[i%2]; !bytes.Equal(sig, want) {
				t.Errorf("signature %d of many is %x, want %x", i, sig, want)
			}
		}
		for _, random := range []io.Reader{bytes.NewReader(noise[:31]), iotestReader{}} {
			if sig, err := s.Sign(random, one, nil); err == nil || sig != nil {
				t.Error("signed without random bytes")
			}
			if sig, err := s.SignMany(random, [][]byte{one, one, one}); err == nil || sig != nil {
				t.Error("signed many without random bytes")
			}
			if sig, err := NewBatchSigner(s).Sign(random, one, nil); err == nil || sig != nil {
				t.Error("signed in a batch without random bytes")
			}
		}
	})
}

type iotestReader struct{}

func (iotestReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

// Many goroutines at once get what each would get alone.
func TestBatch(t *testing.T) {
	each(t, func(t *testing.T) {
		first, second := NewSigner(newKey(t)), NewSigner(newKey(t))
		signers := []*BatchSigner{NewBatchSigner(first), nil}
		signers[1] = signers[0].With(second)
		verifier := NewBatchVerifier()
		var wg sync.WaitGroup
		for g := range 24 {
			wg.Go(func() {
				r := mrand.New(mrand.NewPCG(uint64(g), 1))
				for i := range 60 {
					e := make([]byte, 32)
					for j := range e {
						e[j] = byte(r.Uint32())
					}
					of := r.IntN(2)
					sig, err := signers[of].Sign(rand.Reader, e, nil)
					if err != nil {
						t.Error(err)
						return
					}
					pub := signers[of].Public().(*PublicKey)
					if !peer.VerifyASN1(pub, e, sig) {
						t.Errorf("goroutine %d, signature %d: the other refuses it", g, i)
						return
					}
					wrong := r.IntN(3) == 0
					if wrong {
						e[0] ^= 1
					}
					if err := verifier.Verify(pub, e, sig); (err != nil) != wrong {
						t.Errorf("goroutine %d, signature %d, wrong: %v: %v", g, i, wrong, err)
						return
					}
				}
			})
		}
		wg.Wait()
	})
}

func TestVerifyMany(t *testing.T) {
	each(t, func(t *testing.T) {
		keys := []*Signer{NewSigner(newKey(t)), NewSigner(newKey(t)), NewSigner(newKey(t))}
		for n := range 40 {
			var pubs []*PublicKey
			var digests, sigs [][]byte
			var want []bool
			for i := range n {
				s := keys[i%3]
				e := make([]byte, 32)
				_, _ = rand.Read(e)
				sig, err := s.Sign(rand.Reader, e, nil)
				if err != nil {
					t.Fatal(err)
				}
				good := true
				switch (n + i) % 7 {
				case 0:
					e[3]++
					good = false
				case 1:
					sig = sig[:len(sig)-1]
					good = false
				}
				pubs, digests, sigs, want = append(pubs, s.pub), append(digests, e), append(sigs, sig), append(want, good)
			}
			for i, err := range VerifyMany(pubs, digests, sigs) {
				if (err == nil) != want[i] {
					t.Fatalf("%d of %d: %v, want %v", i, n, err, want[i])
				}
			}
		}
	})
}

// chosenSignature is one whose s and t someone chose: it fits the digest that it gives.
func chosenSignature(d, s, t *big.Int) (e, sig []byte, ok bool) {
	n := Curve().Params().N
	sum := new(big.Int).Mul(t, d)
	sum.Mod(sum.Add(sum, s), n)
	r := new(big.Int).Sub(t, s)
	if r.Mod(r, n); r.Sign() == 0 || sum.Sign() == 0 {
		return nil, nil, false
	}
	x, _ := Curve().ScalarBaseMult(sum.Bytes())
	ev := new(big.Int).Sub(r, x)
	rw, sw := wordsOfInt(r), wordsOfInt(s)
	return ev.Mod(ev, n).FillBytes(make([]byte, 32)), appendSignature(nil, &rw, &sw), true
}

// Who chooses key and signature together has the sums meet what additions of different
// points cannot add. They are told rightly all the same.
func TestChosenSums(t *testing.T) {
	each(t, func(t *testing.T) {
		n := Curve().Params().N
		tried := 0
		for _, d := range []int64{1, 2, 3, 4, 16, 31, -2, -3, -17, 1 << 32} {
			key := new(big.Int).Mod(big.NewInt(d), n)
			px, py := Curve().ScalarBaseMult(key.Bytes())
			pub := &PublicKey{Curve: Curve(), X: px, Y: py}
			v, err := NewVerifier(pub)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range []int64{1, 2, 3, 5, 16, 63, 64, 1 << 40, -1, -2, -5} {
				for _, u := range []int64{1, 2, 3, 7, 15, 32, -1, -3, 1 << 33} {
					sw, tw := new(big.Int).Mod(big.NewInt(s), n), new(big.Int).Mod(big.NewInt(u), n)
					e, sig, ok := chosenSignature(key, sw, tw)
					if !ok {
						continue
					}
					tried++
					many := VerifyMany([]*PublicKey{pub, pub, pub}, [][]byte{e, e, e}, [][]byte{sig, sig, sig})
					for how, err := range map[string]error{"Verify": Verify(pub, e, sig), "Verifier": v.Verify(e, sig), "VerifyMany": errors.Join(many...)} {
						if err != nil {
							t.Fatalf("%s: d %d, s %d, t %d: %v", how, d, s, u, err)
						}
					}
					e[0] ^= 1
					if Verify(pub, e, sig) == nil || v.Verify(e, sig) == nil {
						t.Fatalf("d %d, s %d, t %d: another digest is taken", d, s, u)
					}
				}
			}
		}
		if tried < 500 {
			t.Errorf("%d sums", tried)
		}
	})
}

// What is no key or no signature is refused, and nothing panics.
func TestBad(t *testing.T) {
	each(t, func(t *testing.T) {
		key := newKey(t)
		s, e := NewSigner(key), make([]byte, 32)
		sig, err := s.Sign(rand.Reader, e, nil)
		if err != nil {
			t.Fatal(err)
		}
		good, err := NewVerifier(&key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		p, n := Curve().Params().P, Curve().Params().N
		other := newKey(t).PublicKey
		p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for name, pub := range map[string]*PublicKey{
			"nil":           nil,
			"empty":         {},
			"no numbers":    {Curve: Curve()},
			"infinity":      {Curve: Curve(), X: new(big.Int), Y: new(big.Int)},
			"off the curve": {Curve: Curve(), X: key.X, Y: other.Y},
			"x of p":        {Curve: Curve(), X: new(big.Int).Add(key.X, p), Y: key.Y},
			"negative":      {Curve: Curve(), X: new(big.Int).Neg(key.X), Y: key.Y},
			"huge":          {Curve: Curve(), X: new(big.Int).Lsh(key.X, 2000), Y: key.Y},
			"P-256":         &p256.PublicKey,
			"another":       &other,
		} {
			if err := Verify(pub, e, sig); !errors.Is(err, ErrRefused) {
				t.Errorf("Verify, key %s: %v", name, err)
			}
			if err := NewVerifiers(1).Verify(pub, e, sig); !errors.Is(err, ErrRefused) {
				t.Errorf("Verifiers, key %s: %v", name, err)
			}
			if err := NewBatchVerifier().Verify(pub, e, sig); !errors.Is(err, ErrRefused) {
				t.Errorf("BatchVerifier, key %s: %v", name, err)
			}
			if name == "another" {
				continue
			}
			if _, err := NewVerifier(pub); err == nil {
				t.Errorf("NewVerifier takes a key that is %s", name)
			}
			if _, err := Digest(pub, nil, nil); err == nil {
				t.Errorf("Digest takes a key that is %s", name)
			}
		}
		zero, one, of := words{}, words{1}, order
		over := words{order[0] + 1, order[1], order[2], order[3]}
		r, v, _ := parseSignature(sig)
		for name, sig := range map[string][]byte{
			"none":      nil,
			"r 0":       appendSignature(nil, &zero, &v),
			"s 0":       appendSignature(nil, &r, &zero),
			"r n":       appendSignature(nil, &of, &v),
			"s n":       appendSignature(nil, &r, &of),
			"r over n":  appendSignature(nil, &over, &v),
			"s over n":  appendSignature(nil, &r, &over),
			"t 0":       appendSignature(nil, &one, wordsPointer(subOrder(&zero, &one))),
			"truncated": sig[:len(sig)-1],
			"trailing":  append(bytes.Clone(sig), 0),
			"long form": append([]byte{0x30, 0x81, sig[1]}, sig[2:]...),
			"set":       append([]byte{0x31}, sig[1:]...),
			"padded":    padded(sig),
			"negative":  unhex("3006020180020101"),
			"empty r":   unhex("30050200020101"),
			"huge":      unhex("30847fffffff02010102010102"),
			"no s":      unhex("3003020101"),
		} {
			for how, err := range map[string]error{"Verify": Verify(&key.PublicKey, e, sig), "Verifier": good.Verify(e, sig),
				"batch": NewBatchVerifier().Verify(&key.PublicKey, e, sig), "many": VerifyMany([]*PublicKey{&key.PublicKey}, [][]byte{e}, [][]byte{sig})[0]} {
				if !errors.Is(err, ErrRefused) {
					t.Errorf("%s: signature %s: %v", how, name, err)
				}
			}
		}
		for _, e := range [][]byte{nil, e[:31], make([]byte, 33)} {
			if Verify(&key.PublicKey, e, sig) == nil {
				t.Errorf("a digest of %d bytes is taken", len(e))
			}
			if _, err := s.Sign(rand.Reader, e, nil); err == nil {
				t.Errorf("a digest of %d bytes is signed", len(e))
			}
			if _, err := s.SignMany(rand.Reader, [][]byte{e}); err == nil {
				t.Errorf("a digest of %d bytes is signed among many", len(e))
			}
		}
		for name, bad := range map[string]*PrivateKey{
			"empty":       {},
			"0":           {PrivateKey: ecdsa.PrivateKey{PublicKey: key.PublicKey, D: new(big.Int)}},
			"n-1":         {PrivateKey: ecdsa.PrivateKey{PublicKey: key.PublicKey, D: new(big.Int).Sub(n, big.NewInt(1))}},
			"n":           {PrivateKey: ecdsa.PrivateKey{PublicKey: key.PublicKey, D: n}},
			"huge":        {PrivateKey: ecdsa.PrivateKey{PublicKey: key.PublicKey, D: new(big.Int).Lsh(n, 9)}},
			"P-256's":     {PrivateKey: *p256},
			"nil":         nil,
			"no point":    {PrivateKey: ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: Curve()}, D: key.D}},
			"huge point":  {PrivateKey: ecdsa.PrivateKey{PublicKey: ecdsa.PublicKey{Curve: Curve(), X: new(big.Int).Lsh(key.X, 60), Y: key.Y}, D: key.D}},
			"of two keys": {PrivateKey: ecdsa.PrivateKey{PublicKey: other, D: key.D}},
		} {
			if sig, err := NewSigner(bad).Sign(rand.Reader, e, nil); err == nil || sig != nil {
				t.Errorf("a key that is %s signs", name)
			}
		}
		for _, sign := range []func(io.Reader, []byte, crypto.SignerOpts) ([]byte, error){s.Sign, NewBatchSigner(s).Sign} {
			if _, err := sign(rand.Reader, e, crypto.SHA256); err == nil {
				t.Error("a digest of SHA-256 is signed")
			}
		}
		if _, err := s.SignWithID(rand.Reader, make([]byte, 8192), nil); err == nil {
			t.Error("an identity of 8192 bytes signs")
		}
	})
}

// A point is read in both of its forms, and nothing else is.
func TestNewPublicKey(t *testing.T) {
	for range 50 {
		key := newKey(t)
		whole := append([]byte{4}, append(key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))...)...)
		short := append([]byte{byte(2 + key.Y.Bit(0))}, whole[1:33]...)
		for _, b := range [][]byte{whole, short} {
			if pub, err := NewPublicKey(b); err != nil || !pub.Equal(&key.PublicKey) {
				t.Fatalf("%x: %v, %v", b, pub, err)
			}
			for _, bad := range [][]byte{b[:len(b)-1], append(bytes.Clone(b), 0), append([]byte{5}, b[1:]...)} {
				if _, err := NewPublicKey(bad); err == nil {
					t.Fatalf("%x is taken", bad)
				}
			}
		}
		whole[64] ^= 1
		if _, err := NewPublicKey(whole); err == nil {
			t.Fatal("a point off the curve is taken")
		}
	}
	p := Curve().Params().P.Bytes()
	for _, b := range [][]byte{nil, {0}, make([]byte, 33), make([]byte, 65), append([]byte{2}, p...)} {
		if _, err := NewPublicKey(b); err == nil {
			t.Errorf("%x is taken", b)
		}
	}
}

func wordsPointer(w words) *words { return &w }

// padded is a signature whose r has a byte more than need be.
func padded(sig []byte) []byte {
	out := append([]byte{0x30, sig[1] + 1, 0x02, sig[3] + 1, 0}, sig[4:]...)
	return out
}

// Keys that come again have a Verifier, and the oldest goes.
func TestVerifiers(t *testing.T) {
	if engine == nil {
		t.Log("without an engine there are no tables")
		return
	}
	v := NewVerifiers(2)
	check := func(s *Signer) {
		t.Helper()
		e := make([]byte, 32)
		sig, err := s.Sign(rand.Reader, e, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Verify(s.pub, e, sig); err != nil {
			t.Fatal(err)
		}
	}
	want := func(hits, misses uint64) {
		t.Helper()
		if h, m := v.Stats(); h != hits || m != misses {
			t.Fatalf("%d hits and %d misses, want %d and %d", h, m, hits, misses)
		}
	}
	a, b, c := NewSigner(newKey(t)), NewSigner(newKey(t)), NewSigner(newKey(t))
	check(a)
	check(a)
	want(0, 2)
	check(a)
	want(1, 2)
	// Keys that come once, and those whose signatures are refused, drive nobody out.
	for range 5 {
		check(NewSigner(newKey(t)))
		other := NewSigner(newKey(t))
		for range 3 {
			if v.Verify(other.pub, make([]byte, 32), []byte("none")) == nil {
				t.Fatal("taken")
			}
		}
	}
	want(1, 22)
	check(a)
	want(2, 22)
	check(b)
	check(b)
	check(c)
	check(c) // and a goes
	want(2, 26)
	check(b)
	check(c)
	want(4, 26)
	check(a)
	want(4, 27)
}

func FuzzSignature(f *testing.F) {
	key := newKey(f)
	sig, err := NewSigner(key).Sign(nil, make([]byte, 32), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add(padded(sig))
	f.Add(unhex("3006020180020101"))
	f.Add([]byte{0x30})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, s, ok := parseSignature(b)
		if ok && !bytes.Equal(appendSignature(nil, &r, &s), b) {
			t.Fatalf("%x is read as %x, %x, which is written otherwise", b, r, s)
		}
		if err := Verify(&key.PublicKey, make([]byte, 32), b); (err == nil) != peer.VerifyASN1(&key.PublicKey, make([]byte, 32), b) {
			t.Fatalf("%x: %v, the other says otherwise", b, err)
		}
	})
}
