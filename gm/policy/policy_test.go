package policy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/gm/sm2"
)

func made(t *testing.T, c Config) *Policy {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		c      Config
		op     Op
		alg    Alg
		params Params
		need   string // empty: let through
	}{
		{"intl lets RSA through", DefaultConfig(), Sign, RSA, Params{KeyBits: 2048}, ""},
		{"and SM2", DefaultConfig(), Sign, SM2, Params{}, ""},
		{"hybrid", Config{Mode: Hybrid}, Hash, SHA256, Params{}, ""},
		{"gm-preferred", Config{Mode: Preferred}, Agree, X25519, Params{}, ""},
		{"gm-only: SM", Config{Mode: Only, MinBits: 128}, Encrypt, SM4, Params{Mode: "gcm"}, ""},
		{"gm-only: SM with ML-KEM", Config{Mode: Only}, Agree, CurveSM2MLKEM768, Params{}, ""},
		{"gm-only: other", Config{Mode: Only}, Encrypt, AES256, Params{Mode: "gcm"}, "an SM algorithm, or another mode than gm-only"},
		{"gm-only: keys", Config{Mode: Only}, Import, P256, Params{}, "a key of SM2, SM9 or SM4; another mode than gm-only takes in others"},
		{"gm-only: SM keys", Config{Mode: Only}, Import, SM2, Params{}, ""},
		{"weak", DefaultConfig(), Hash, SHA1, Params{}, "a strength of 100 bits (minBits), and this has 61"},
		{"SM9", DefaultConfig(), Sign, SM9, Params{}, ""},
		{"SM9 in gm-only", Config{Mode: Only, MinBits: DefaultConfig().MinBits}, Import, SM9, Params{}, ""},
		{"SM9 for 112", Config{Mode: Only, MinBits: 112}, Encrypt, SM9, Params{}, "a strength of 112 bits (minBits), and this has 100"},
		{"3DES", DefaultConfig(), Decrypt, TripleDES, Params{}, "a strength of 100 bits (minBits), and this has 80"},
		{"gm-only: ZUC-256 is of no standard", Config{Mode: Only}, Encrypt, ZUC256, Params{}, "an SM algorithm, or another mode than gm-only"},
		{"weak, allowed", Config{Mode: Intl}, Hash, MD5, Params{}, ""},
		{"short RSA", DefaultConfig(), Verify, RSA, Params{KeyBits: 1024}, "a strength of 100 bits (minBits), and RSA with 1024 bits has 80: take a longer key"},
		{"RSA of no length", DefaultConfig(), Verify, RSA, Params{}, "a strength of 100 bits (minBits), and RSA with 0 bits has 0: take a longer key"},
		{"RSA for 128", Config{Mode: Intl, MinBits: 128}, Verify, RSA, Params{KeyBits: 3072}, ""},
		{"SM for 192", Config{Mode: Hybrid, MinBits: 192}, Encrypt, SM4, Params{}, "a strength of 192 bits (minBits), and this has 128"},
		{"ECB", Config{Mode: Intl, RejectECB: true}, Encrypt, SM4, Params{Mode: "ECB"}, "another mode than ECB, such as GCM, or rejectECB: false"},
		{"ECB, allowed", Config{Mode: Intl}, Decrypt, SM4, Params{Mode: "ecb"}, ""},
		{"single", Config{Mode: Intl, RequireDual: true}, Authenticate, SM2, Params{}, "a certificate to sign with and another to encrypt to, or requireDual: false"},
		{"dual", Config{Mode: Intl, RequireDual: true}, Authenticate, SM2, Params{Dual: true}, ""},
		{"single of another kind", Config{Mode: Intl, RequireDual: true}, Authenticate, P256, Params{}, ""},
		{"usual identity", Config{Mode: Intl, DistIDs: []string{"1234567812345678"}}, Verify, SM2, Params{}, ""},
		{"identity", Config{Mode: Intl, DistIDs: []string{"a", "b"}}, Sign, SM2, Params{DistID: "b"}, ""},
		{"other identity", Config{Mode: Intl, DistIDs: []string{"a"}}, Sign, SM2, Params{DistID: "b"}, `one of the identities in distIDs, and "b" is none`},
		{"usual identity is not listed", Config{Mode: Intl, DistIDs: []string{"a"}}, Verify, SM2, Params{}, `one of the identities in distIDs, and "1234567812345678" is none`},
		{"identity of an encryption", Config{Mode: Intl, DistIDs: []string{"a"}}, Encrypt, SM2, Params{}, ""},
		{"unknown algorithm", Config{Mode: Intl}, Encrypt, "rot13", Params{}, "an algorithm that the policy knows"},
		{"unknown operation", Config{Mode: Intl}, "bend", SM4, Params{}, "an operation that the policy knows"},
	} {
		err := made(t, c.c).Check(c.op, c.alg, c.params)
		if c.need == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		var d *DeniedError
		if !errors.As(err, &d) || *d != (DeniedError{c.op, c.alg, c.c.Mode, c.need}) || !errors.Is(err, fs.ErrPermission) || !Denied(err) {
			t.Errorf("%s: %v, want that it needs %s", c.name, err, c.need)
		}
	}
	err := made(t, Config{Mode: Only}).Check(Import, RSA, Params{KeyBits: 4096})
	if want := `policy (mode gm-only) denies to import with "rsa": needs a key of SM2, SM9 or SM4; another mode than gm-only takes in others`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if long := made(t, Config{Mode: Intl, DistIDs: []string{"a"}}).Check(Sign, SM2, Params{DistID: strings.Repeat("x", 1<<20)}).Error(); len(long) > 300 {
		t.Errorf("an error of %d bytes", len(long))
	}
}

// In gm-only exactly the SM algorithms are let through, for whatever operation.
func TestOnly(t *testing.T) {
	p := made(t, Config{Mode: Only})
	for _, a := range Algorithms() {
		for _, op := range ops {
			sm := strings.Contains(string(a), "sm") || a == ZUC
			if err := p.Check(op, a, Params{KeyBits: 16384}); (err == nil) != sm {
				t.Errorf("%s with %s: %v", op, a, err)
			}
		}
	}
}

// The default lets SM9 through, and otherwise what 112 bits would.
func TestDefaultBits(t *testing.T) {
	def, strict := made(t, DefaultConfig()), made(t, Config{Mode: Intl, MinBits: 112})
	for _, a := range Algorithms() {
		for _, bits := range []int{0, 512, 1024, 1536, 2047, 2048, 4096} {
			if (def.Check(Sign, a, Params{KeyBits: bits}) == nil) != (strict.Check(Sign, a, Params{KeyBits: bits}) == nil) && a != SM9 {
				t.Errorf("%s, %d bits: the two differ", a, bits)
			}
		}
	}
}

func TestOrder(t *testing.T) {
	offered := []Alg{AES128, SM4, "rot13", AES256, ZUC}
	for mode, want := range map[Mode][]Alg{
		Intl: {AES128, AES256, SM4, ZUC}, Hybrid: {AES128, SM4, AES256, ZUC}, Preferred: {SM4, ZUC, AES128, AES256}, Only: {SM4, ZUC},
	} {
		if got := made(t, Config{Mode: mode}).Order(offered); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", mode, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := Parse([]byte("mode: gm-only\nminBits: 128\nrejectECB: true\nrequireDual: true\ndistIDs: [\"1234567812345678\", TLSv1.3+GM+Cipher+Suite]\n"), "gm.yaml")
	want := Config{Only, 128, true, true, []string{"1234567812345678", "TLSv1.3+GM+Cipher+Suite"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := Parse(nil, "gm.yaml"); err != nil || !reflect.DeepEqual(got, DefaultConfig()) {
		t.Errorf("nothing: %+v, %v", got, err)
	}
	for src, want := range map[string]string{
		"mode: gm-only\nminbits: 1\n":          `gm.yaml:2:1: unknown key "minbits"; did you mean "minBits"?`,
		"mode: gm\n":                           `gm.yaml:1:7: mode: wants one of intl, hybrid, gm-preferred and gm-only, got "gm"`,
		"mode: intl\nminBits: 257\n":           `wants 0 to 256, got 257`,
		"\nminBits: -1\n":                      `gm.yaml:2`,
		"mode: gm-only\nminBits: 192\n":        `is 192, and no SM algorithm has more than 128: with mode gm-only nothing would be left`,
		"distIDs: [\"\"]\n":                    `an identity has 1 to 8191 bytes, got one of 0`,
		"rejectECB: maybe\n":                   `gm.yaml:1:12: rejectECB: wants true or false, got "maybe"`,
		"- mode\n":                             `gm.yaml:1`,
		"mode: [":                              `gm.yaml:1`,
		"mode: intl\n---\nmode: gm-only\n":     `a second document`,
		"distIDs: [" + strings.Repeat("[", 99): `gm.yaml:1`,
	} {
		if _, err := Parse([]byte(src), "gm.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", src, err, want)
		}
	}
	for _, c := range []Config{{}, {Mode: "gm"}, {Mode: Intl, MinBits: -1}, {Mode: Intl, DistIDs: []string{strings.Repeat("x", 8192)}}} {
		if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "policy: ") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "mode: gm-only\n", "minBits: 12\nrejectECB: true\n", "distIDs: [a, b]\n", "mode: {a: b}\n", "a: &a [*a]\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse(src, "f")
		if err != nil {
			return
		}
		p, err := New(c)
		if err != nil {
			t.Fatalf("parsed, and refused: %v", err)
		}
		for _, a := range Algorithms() {
			if err := p.Check(Sign, a, Params{}); err != nil && !Denied(err) {
				t.Fatal(err)
			}
		}
	})
}

// What is taken out cannot change what is in force.
func TestConfigIsApart(t *testing.T) {
	ids := []string{"a"}
	p := made(t, Config{Mode: Intl, DistIDs: ids})
	ids[0] = "b"
	p.Config().DistIDs[0] = "c"
	if err := p.Check(Sign, SM2, Params{DistID: "a"}); err != nil {
		t.Error(err)
	}
}

func TestGate(t *testing.T) {
	var g Gate
	if err := g.Check(Sign, RSA, Params{KeyBits: 4096}); err != nil || len(g.Denials()) != 0 {
		t.Errorf("before a policy is set: %v, %v", err, g.Denials())
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 200 {
				_ = g.Check(Hash, MD5, Params{})
				_ = g.Check(Op(fmt.Sprint("op", n)), Alg(fmt.Sprint("alg", i)), Params{})
				_ = g.Check(Hash, SM3, Params{})
			}
		})
	}
	for range 50 {
		g.Set(made(t, Config{Mode: Only}))
		g.Set(made(t, DefaultConfig()))
	}
	wg.Wait()
	if got, want := g.Denials(), []Denial{{Hash, MD5, 1600}, {other, other, 1600}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := Check(Hash, SM3, Params{}); err != nil {
		t.Error(err)
	}
}

func TestOf(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sm2Key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var g Gate
	g.Set(made(t, Config{Mode: Only}))
	for _, c := range []struct {
		key  any
		want Alg
		bits int
	}{{rsaKey, RSA, 2048}, {&rsaKey.PublicKey, RSA, 2048}, {sm2Key, SM2, 0}, {&sm2Key.PublicKey, SM2, 0}, {ecKey, P384, 0}, {edKey, Ed25519, 0}, {"key", "", 0}, {nil, "", 0}} {
		alg, params := Of(c.key)
		if alg != c.want || params != (Params{KeyBits: c.bits}) {
			t.Errorf("%T: %s, %+v", c.key, alg, params)
		}
		if err := g.CheckKey(Import, c.key, ""); (err == nil) != (alg == SM2) {
			t.Errorf("%T: %v", c.key, err)
		}
	}
	g.Set(made(t, Config{Mode: Intl, DistIDs: []string{"a"}}))
	if g.CheckKey(Verify, sm2Key, "a") != nil || g.CheckKey(Verify, sm2Key, "") == nil {
		t.Error("the identity is not asked about")
	}
}

func BenchmarkCheck(b *testing.B) {
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if err := Check(Sign, SM2, Params{}); err != nil {
				b.Error(err)
			}
		}
	})
}
