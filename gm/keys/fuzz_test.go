package keys

import (
	"crypto/rand"
	"testing"

	"github.com/anole-os/anole/gm/sm2"
)

// cheap keeps a fuzzed file from asking for seconds.
const cheap = budget(2000)

func seeds(f *testing.F) *sm2.PrivateKey {
	k, err := sm2.NewPrivateKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	ok := must(f)
	f.Add(ok(MarshalPKCS8(k)))
	f.Add(ok(MarshalSEC1(k)))
	f.Add(ok(EncryptPKCS8(rand.Reader, k, []byte("p"), fast)))
	f.Add(ok(MarshalPKCS12(rand.Reader, &Bundle{Name: "n", Key: k, Certificates: [][]byte{{0x30, 0}}}, []byte("p"), fast)))
	f.Add(ok(Envelope(rand.Reader, &k.PublicKey, k)))
	f.Add(ok(MarshalPublic(k.Public())))
	return k
}

// FuzzPKCS8 holds a key that was read to be the same once it was written.
func FuzzPKCS8(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (Private, error){ParsePKCS8, ParseSEC1} {
			k, err := parse(b)
			if err != nil {
				continue
			}
			out, err := MarshalPKCS8(k)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParsePKCS8(out); err != nil || !Equal(k.Public(), again.Public()) {
				t.Errorf("%x: %v", out, err)
			}
		}
		left := cheap
		_, _ = parseEncrypted(b, []byte("p"), &left)
		if pub, err := ParsePublic(b); err == nil {
			if _, err := MarshalPublic(pub); err != nil {
				t.Error(err)
			}
		}
	})
}

func FuzzPKCS12(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		left := cheap
		if got, err := parsePKCS12(b, []byte("p"), &left); err == nil && got.Key == nil {
			t.Error("no key, no error")
		}
		// Behind the MAC as well.
		left = cheap
		r := reader{password: []byte("p"), left: &left}
		_ = r.safe(b)
	})
}

func FuzzEnvelope(f *testing.F) {
	k := seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := OpenEnvelope(k, b); err == nil && got == nil {
			t.Error("no key, no error")
		}
	})
}
