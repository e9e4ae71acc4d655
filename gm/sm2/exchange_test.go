package sm2

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"github.com/emmansun/gmsm/ecdh"
	peer "github.com/emmansun/gmsm/sm2"
)

// pair is two sides that know each other.
func pair(t testing.TB, length int) (a, b *Exchange) {
	t.Helper()
	ka, kb := newKey(t), newKey(t)
	return newExchange(t, ka, "alice", &kb.PublicKey, "bob", length, Initiator), newExchange(t, kb, "bob", &ka.PublicKey, "alice", length, Responder)
}

func newExchange(t testing.TB, key *PrivateKey, id string, pub *PublicKey, peerID string, length int, role Role) *Exchange {
	t.Helper()
	e, err := NewExchange(key, []byte(id), pub, []byte(peerID), length, role)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// meet has both take the other's point.
func meet(t testing.TB, a, b *Exchange) (sa, sb []byte) {
	t.Helper()
	ra, err := a.Begin(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rb, err := b.Begin(nil)
	if err != nil {
		t.Fatal(err)
	}
	if sb, err = b.Agree(ra); err != nil {
		t.Fatal(err)
	}
	if sa, err = a.Agree(rb); err != nil {
		t.Fatal(err)
	}
	return sa, sb
}

func keys(t testing.TB, a, b *Exchange) (ka, kb []byte) {
	t.Helper()
	ka, err := a.Key()
	if err != nil {
		t.Fatal(err)
	}
	if kb, err = b.Key(); err != nil {
		t.Fatal(err)
	}
	return ka, kb
}

// GB/T 32918.5-2017, appendix B.
func TestExchangeStandard(t *testing.T) {
	each(t, func(t *testing.T) {
		key := func(d string) *PrivateKey {
			k, err := NewPrivateKey(unhex(d))
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		ka := key("81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029")
		kb := key("785129917d45a9ea5437a59356b82338eaadda6ceb199088f14ae10defa229b5")
		a := newExchange(t, ka, DefaultID, &kb.PublicKey, DefaultID, 16, Initiator)
		b := newExchange(t, kb, DefaultID, &ka.PublicKey, DefaultID, 16, Responder)
		ra, _ := a.Begin(bytes.NewReader(unhex("d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3")))
		rb, _ := b.Begin(bytes.NewReader(unhex("7e07124814b309489125eaed101113164ebf0f3458c5bd88335c1f9d596243d6")))
		sb, err := b.Agree(ra)
		if err != nil {
			t.Fatal(err)
		}
		sa, err := a.Agree(rb)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(a.Check(sb), b.Check(sa)); err != nil {
			t.Error(err)
		}
		one, other := keys(t, a, b)
		for what, c := range map[string][2]string{
			"R_A": {hex.EncodeToString(ra), "0464ced1bdbc99d590049b434d0fd73428cf608a5db8fe5ce07f15026940bae40e376629c7ab21e7db260922499ddb118f07ce8eaae3e7720afef6a5cc062070c0"},
			"R_B": {hex.EncodeToString(rb), "04acc27688a6f7b706098bc91ff3ad1bff7dc2802cdb14ccccdb0a90471f9bd7072fedac0494b2ffc4d6853876c79b8f301c6573ad0aa50f39fc87181e1a1b46fe"},
			"S_A": {hex.EncodeToString(sa), "18c7894b3816df16cf07b05c5ec0bef5d655d58f779cc1b400a4f3884644db88"},
			"S_B": {hex.EncodeToString(sb), "d3a0fe15dee185ceae907a6b595cc32a266ed7b3367e9983a896dc32fa20f8eb"},
			"K_A": {hex.EncodeToString(one), "6c89347354de2484c60b4ab1fde4c6e5"},
			"K_B": {hex.EncodeToString(other), "6c89347354de2484c60b4ab1fde4c6e5"},
		} {
			if c[0] != c[1] {
				t.Errorf("%s is %s, want %s", what, c[0], c[1])
			}
		}
	})
}

// Both sides come to one key, of any length, and so does another implementation.
func TestExchangePeer(t *testing.T) {
	each(t, func(t *testing.T) {
		for i, length := range []int{1, 16, 31, 32, 33, 48, 1000, longestKey} {
			ka, kb := newKey(t), newKey(t)
			a := newExchange(t, ka, "alice", &kb.PublicKey, "bob", length, Initiator)
			scalar, err := ecdh.P256().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			point, err := a.Begin(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Agree(scalar.PublicKey().Bytes()); err != nil {
				t.Fatal(err)
			}
			got, err := a.Key()
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := kb.ECDH()
			if err != nil {
				t.Fatal(err)
			}
			pub, err := peer.PublicKeyToECDH(&ka.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			from, err := ecdh.P256().NewPublicKey(point)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := theirs.SM2MQV(scalar, pub, from)
			if err != nil {
				t.Fatal(err)
			}
			want, err := secret.SM2SharedKey(true, length, theirs.PublicKey(), pub, []byte("bob"), []byte("alice"))
			if err != nil || !bytes.Equal(got, want) || len(got) != length {
				t.Errorf("%d, %d bytes: %x, want %x", i, length, got, want)
			}
			one, other := pair(t, length)
			meet(t, one, other)
			if x, y := keys(t, one, other); !bytes.Equal(x, y) || len(x) != length {
				t.Errorf("%d bytes: %x and %x", length, x, y)
			}
		}
	})
}

// Sides that do not mean the same exchange do not confirm, and have no key.
func TestExchangeUnequal(t *testing.T) {
	ka, kb, kc := newKey(t), newKey(t), newKey(t)
	good := func() *Exchange { return newExchange(t, ka, "alice", &kb.PublicKey, "bob", 16, Initiator) }
	for name, b := range map[string]*Exchange{
		"as it should be":        newExchange(t, kb, "bob", &ka.PublicKey, "alice", 16, Responder),
		"another identity":       newExchange(t, kb, "bob", &ka.PublicKey, "alice2", 16, Responder),
		"another own identity":   newExchange(t, kb, "", &ka.PublicKey, "alice", 16, Responder),
		"the same role":          newExchange(t, kb, "bob", &ka.PublicKey, "alice", 16, Initiator),
		"another key":            newExchange(t, kc, "bob", &ka.PublicKey, "alice", 16, Responder),
		"the key of another one": newExchange(t, kb, "bob", &kc.PublicKey, "alice", 16, Responder),
	} {
		a := good()
		sa, sb := meet(t, a, b)
		for _, c := range []struct {
			e *Exchange
			s []byte
		}{{a, sb}, {b, sa}} {
			err := c.e.Check(c.s)
			key, kerr := c.e.Key()
			if name == "as it should be" {
				if err != nil || kerr != nil {
					t.Errorf("%s: %v, %v", name, err, kerr)
				}
				continue
			}
			if err != ErrExchange || kerr == nil || key != nil {
				t.Errorf("%s: %v, key %x", name, err, key)
			}
		}
	}
	for name, change := range map[string]func([]byte) []byte{
		"changed": func(s []byte) []byte { s[5] ^= 1; return s },
		"short":   func(s []byte) []byte { return s[:31] },
		"long":    func(s []byte) []byte { return append(s, 0) },
		"none":    func([]byte) []byte { return nil },
	} {
		a, b := pair(t, 16)
		_, sb := meet(t, a, b)
		if err := a.Check(change(sb)); err != ErrExchange {
			t.Errorf("a confirmation that is %s: %v", name, err)
		}
		if _, err := a.Key(); err != errStep {
			t.Errorf("a key after a confirmation that is %s: %v", name, err)
		}
	}
}

// Points that are none are refused, and end the exchange.
func TestExchangePoints(t *testing.T) {
	each(t, func(t *testing.T) {
		p := Curve().Params().P
		good := newKey(t)
		x, y := good.X.FillBytes(make([]byte, 32)), good.Y.FillBytes(make([]byte, 32))
		at := func(form byte, parts ...[]byte) []byte { return append([]byte{form}, bytes.Join(parts, nil)...) }
		for name, point := range map[string][]byte{
			"none":          nil,
			"infinity":      {0},
			"zeros":         at(4, make([]byte, 64)),
			"off the curve": at(4, x, x),
			"x of p":        at(4, p.Bytes(), y),
			"compressed":    at(2|y[31]&1, x),
			"hybrid":        at(6|y[31]&1, x, y),
			"short":         at(4, x, y[:31]),
			"long":          at(4, x, y, []byte{0}),
		} {
			e, _ := pair(t, 16)
			if _, err := e.Begin(nil); err != nil {
				t.Fatal(err)
			}
			if s, err := e.Agree(point); err != ErrExchange || s != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := e.Agree(at(4, x, y)); err != errStep {
				t.Errorf("%s: it goes on: %v", name, err)
			}
		}
		// A point with which the two come to infinity: P + v R is 0.
		other := newKey(t)
		e := newExchange(t, good, "a", &other.PublicKey, "b", 16, Initiator)
		if _, err := e.Begin(nil); err != nil {
			t.Fatal(err)
		}
		v := half(other.X.FillBytes(make([]byte, 32)))
		n := Curve().Params().N
		own := new(big.Int).Mod(new(big.Int).Neg(new(big.Int).Mul(number(v), other.D)), n) // the other's key, so that its point may be R
		px, py := multiple(own)
		e.peer = &PublicKey{Curve: Curve(), X: px, Y: py}
		if _, err := e.Agree(at(4, other.X.FillBytes(make([]byte, 32)), other.Y.FillBytes(make([]byte, 32)))); err != ErrExchange {
			t.Errorf("infinity: %v", err)
		}
	})
}

// One use, in its order; what was secret is gone.
func TestExchangeSteps(t *testing.T) {
	key, other := newKey(t), newKey(t)
	point := append([]byte{4}, append(other.X.FillBytes(make([]byte, 32)), other.Y.FillBytes(make([]byte, 32))...)...)
	steps := map[string]func(e *Exchange) error{
		"Begin": func(e *Exchange) error { _, err := e.Begin(nil); return err },
		"Agree": func(e *Exchange) error { _, err := e.Agree(point); return err },
		"Check": func(e *Exchange) error { return e.Check(bytes.Clone(e.want[:])) },
		"Key":   func(e *Exchange) error { _, err := e.Key(); return err },
		"Close": func(e *Exchange) error { e.Close(); return nil },
	}
	for _, c := range []struct {
		do   []string
		good bool
	}{
		{[]string{"Begin", "Agree", "Key"}, true},
		{[]string{"Begin", "Agree", "Check", "Key"}, true},
		{[]string{"Agree"}, false},
		{[]string{"Check"}, false},
		{[]string{"Key"}, false},
		{[]string{"Begin", "Begin"}, false},
		{[]string{"Begin", "Key"}, false},
		{[]string{"Begin", "Check"}, false},
		{[]string{"Begin", "Agree", "Agree"}, false},
		{[]string{"Begin", "Agree", "Key", "Key"}, false},
		{[]string{"Begin", "Agree", "Key", "Begin"}, false},
		{[]string{"Begin", "Agree", "Close", "Key"}, false},
	} {
		e := newExchange(t, key, "a", &other.PublicKey, "b", 16, Responder)
		for i, s := range c.do {
			err := steps[s](e)
			last := i == len(c.do)-1
			if (err == nil) != (c.good || !last) || err != nil && err != errStep {
				t.Errorf("%v: %s: %v", c.do, s, err)
			}
		}
		if e.key != nil || e.scalar != (words{}) || e.static != (words{}) || e.want != [32]byte{} {
			t.Errorf("%v: secrets are left", c.do)
		}
	}
	e := newExchange(t, key, "a", &other.PublicKey, "b", 16, Responder)
	if _, err := e.Begin(bytes.NewReader(make([]byte, 31))); err == nil {
		t.Error("begun without random bytes")
	}
	e = newExchange(t, key, "a", &other.PublicKey, "b", 16, Responder)
	if _, err := e.Begin(bytes.NewReader(make([]byte, 1<<16))); err == nil || e.at != over {
		t.Errorf("begun with random bytes that are 0: %v", err)
	}
}

func TestExchangeBad(t *testing.T) {
	key, other := newKey(t), newKey(t)
	off := &PublicKey{Curve: Curve(), X: key.X, Y: other.Y}
	for name, c := range map[string]struct {
		key    *PrivateKey
		id     string
		pub    *PublicKey
		peerID string
		length int
		role   Role
		want   error
	}{
		"no key":           {nil, "a", &other.PublicKey, "b", 16, Initiator, errKey},
		"a key of 0":       {keyOf(&key.PublicKey, new(big.Int)), "a", &other.PublicKey, "b", 16, Initiator, errKey},
		"no other key":     {key, "a", nil, "b", 16, Initiator, errPublic},
		"a point off":      {key, "a", off, "b", 16, Initiator, errPublic},
		"a key of 0 bytes": {key, "a", &other.PublicKey, "b", 0, Initiator, errKeyLength},
		"a long key":       {key, "a", &other.PublicKey, "b", longestKey + 1, Initiator, errKeyLength},
		"a long ID":        {key, string(make([]byte, 8192)), &other.PublicKey, "b", 16, Initiator, errID},
		"a long other ID":  {key, "a", &other.PublicKey, string(make([]byte, 8192)), 16, Initiator, errID},
		"no role":          {key, "a", &other.PublicKey, "b", 16, 2, errRole},
	} {
		if e, err := NewExchange(c.key, []byte(c.id), c.pub, []byte(c.peerID), c.length, c.role); err != c.want || e != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzAgree(f *testing.F) {
	key, other := newKey(f), newKey(f)
	f.Add(append([]byte{4}, append(other.X.FillBytes(make([]byte, 32)), other.Y.FillBytes(make([]byte, 32))...)...))
	f.Add([]byte{0})
	f.Add(append([]byte{2}, other.X.FillBytes(make([]byte, 32))...))
	f.Fuzz(func(t *testing.T, point []byte) {
		e := newExchange(t, key, "a", &other.PublicKey, "b", 16, Initiator)
		if _, err := e.Begin(nil); err != nil {
			t.Fatal(err)
		}
		_, err := e.Agree(point)
		if err != nil {
			return
		}
		pub, err := NewPublicKey(point)
		if _, _, ok := coordinates(pub); err != nil || !ok {
			t.Fatalf("%x is taken", point)
		}
	})
}
