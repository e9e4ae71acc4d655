package sm2

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/internal/testkit"
)

// program is another one, in a folder of its own.
type program struct {
	t    *testing.T
	path string
	dir  string
}

func newProgram(t *testing.T, path string) *program { return &program{t, path, t.TempDir()} }

// run gives what it writes.
func (p *program) run(args ...string) ([]byte, error) {
	cmd := exec.Command(p.path, args...)
	cmd.Dir = p.dir
	return cmd.Output()
}

func (p *program) must(args ...string) []byte {
	p.t.Helper()
	out, err := p.run(args...)
	if err != nil {
		p.t.Fatalf("%s %s: %v", p.path, strings.Join(args, " "), err)
	}
	return out
}

func (p *program) write(name string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) read(name string) []byte {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *program) writeKey(key *PrivateKey) {
	p.t.Helper()
	private, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	public, err := smx509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	p.write("pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
}

// openssls are all that there are. The distribution's must be.
func openssls(t *testing.T, test func(t *testing.T, p *program)) {
	t.Run("openssl", func(t *testing.T) { test(t, newProgram(t, testkit.NeedTool(t, "openssl"))) })
	for _, name := range []string{"openssl-3.5", "openssl-4.0"} {
		t.Run(name, func(t *testing.T) { test(t, newProgram(t, testkit.NeedPeer(t, name))) })
	}
}

func some(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// OpenSSL decrypts what is encrypted here, and the other way round, under random keys.
func TestEncryptOpenSSL(t *testing.T) {
	openssls(t, func(t *testing.T, p *program) {
		for i := range 40 {
			key := newKey(t)
			p.writeKey(key)
			msg := some([]int{1, 2, 127, 128, 2000}[min(i, 4)])
			if i > 4 {
				msg = some(1 + mrand.IntN(2000))
			}
			sealed, err := Encrypt(nil, &key.PublicKey, msg, ASN1)
			if err != nil {
				t.Fatal(err)
			}
			p.write("sealed", sealed)
			if got := p.must("pkeyutl", "-decrypt", "-inkey", "key", "-in", "sealed"); !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes: openssl decrypts something else", len(msg))
			}
			p.write("msg", msg)
			sealed = p.must("pkeyutl", "-encrypt", "-pubin", "-inkey", "pub", "-in", "msg")
			got, err := Decrypt(key, sealed, ASN1)
			if err == ErrDecrypt && bytes.HasSuffix(sealed, msg) {
				continue // in the clear, by a release that does not look at its key stream: it is refused
			}
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes of openssl: %v", len(msg), err)
			}
			sealed[len(sealed)-1] ^= 1
			p.write("sealed", sealed)
			if out, err := p.run("pkeyutl", "-decrypt", "-inkey", "key", "-in", "sealed"); err == nil {
				t.Fatalf("openssl decrypts what was changed to %x", out)
			}
			if _, err := Decrypt(key, sealed, ASN1); err != ErrDecrypt {
				t.Fatalf("what was changed: %v", err)
			}
		}
	})
}

// OpenSSL takes the signatures that are made here, and the other way round, under random
// keys and identities.
func TestSignOpenSSL(t *testing.T) {
	openssls(t, func(t *testing.T, p *program) {
		for i := range 20 {
			key, msg := newKey(t), some(1+mrand.IntN(2000))
			id := []string{DefaultID, "a", "alice@example.org"}[i%3]
			p.writeKey(key)
			p.write("msg", msg)
			sig, err := NewSigner(key).SignWithID(rand.Reader, []byte(id), msg)
			if err != nil {
				t.Fatal(err)
			}
			p.write("sig", sig)
			utl := func(args ...string) []string {
				return append([]string{"pkeyutl", "-rawin", "-digest", "sm3", "-pkeyopt", "distid:" + id, "-in", "msg"}, args...)
			}
			verify := utl("-verify", "-pubin", "-inkey", "pub", "-sigfile", "sig")
			p.must(verify...)
			p.must("dgst", "-sm3", "-sigopt", "distid:"+id, "-verify", "pub", "-signature", "sig", "msg")
			p.write("msg", append(bytes.Clone(msg), 1))
			if _, err := p.run(verify...); err == nil {
				t.Fatal("openssl takes the signature of another message")
			}
			p.write("msg", msg)
			for _, args := range [][]string{
				utl("-sign", "-inkey", "key", "-out", "sig"),
				{"dgst", "-sm3", "-sigopt", "distid:" + id, "-sign", "key", "-out", "sig", "msg"},
			} {
				p.must(args...)
				if err := VerifyMessage(&key.PublicKey, []byte(id), msg, p.read("sig")); err != nil {
					t.Fatalf("%s's signature: %v", args[0], err)
				}
				if VerifyMessage(&key.PublicKey, []byte(id+"b"), msg, p.read("sig")) == nil {
					t.Fatalf("%s's signature is taken under another identity", args[0])
				}
			}
		}
	})
}

// botanKey has botan make a key, which it knows by an object identifier that others do not
// take: only the scalar is read.
func botanKey(t *testing.T, p *program) *PrivateKey {
	t.Helper()
	text := p.must("keygen", "--algo=SM2")
	p.write("key", text)
	p.write("pub", p.must("pkcs8", "--pub-out", "key"))
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("botan's key is %q", text)
	}
	var outer struct {
		Version   int
		Algorithm asn1.RawValue
		Key       []byte
	}
	var inner struct {
		Version int
		Scalar  []byte
		Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
	}
	if _, err := asn1.Unmarshal(block.Bytes, &outer); err != nil {
		t.Fatal(err)
	}
	if _, err := asn1.Unmarshal(outer.Key, &inner); err != nil {
		t.Fatal(err)
	}
	key, err := NewPrivateKey(inner.Scalar)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Botan takes the signatures that are made here, and the other way round. What its command
// has for the hash is the identity to the library: "SM3".
func TestSignBotan(t *testing.T) {
	p := newProgram(t, testkit.NeedPeer(t, "botan-3"))
	for range 10 {
		key, msg := botanKey(t, p), some(1+mrand.IntN(2000))
		for _, id := range []string{"SM3", "SHA-256"} {
			how := []string{"--der-format", "--padding=", "--hash=" + id}
			sig, err := NewSigner(key).SignWithID(rand.Reader, []byte(id), msg)
			if err != nil {
				t.Fatal(err)
			}
			p.write("sig", []byte(base64.StdEncoding.EncodeToString(sig)))
			p.write("msg", msg)
			verify := append(append([]string{"verify"}, how...), "pub", "msg", "sig")
			if out := p.must(verify...); !strings.Contains(string(out), "is valid") {
				t.Fatalf("botan says %q", out)
			}
			p.write("msg", append(bytes.Clone(msg), 1))
			if out, err := p.run(verify...); err == nil && strings.Contains(string(out), "is valid") {
				t.Fatal("botan takes the signature of another message")
			}
			p.write("msg", msg)
			theirs, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(p.must(append(append([]string{"sign"}, how...), "key", "msg")...))))
			if err != nil {
				t.Fatal(err)
			}
			if err := VerifyMessage(&key.PublicKey, []byte(id), msg, theirs); err != nil {
				t.Fatalf("botan's signature under %q: %v", id, err)
			}
		}
	}
}
