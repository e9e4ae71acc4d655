package cms_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/internal/testkit"
)

// bench is a folder with certificates and keys, and an OpenSSL.
type bench struct {
	people
	dir, openssl string
}

func newBench(t *testing.T, openssl string) *bench {
	b := &bench{makePeople(t), t.TempDir(), openssl}
	b.ca.Write(t, b.dir, "ca")
	b.sm2.Write(t, b.dir, "sm2")
	b.rsa.Write(t, b.dir, "rsa")
	b.ecdsa.Write(t, b.dir, "ecdsa")
	b.put(t, "all.pem", slices.Concat(b.get(t, "sm2.pem"), b.get(t, "rsa.pem"), b.get(t, "ecdsa.pem")))
	return b
}

func (b *bench) run(t *testing.T, args ...string) error {
	t.Helper()
	c := exec.Command(b.openssl, args...)
	c.Dir = b.dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("openssl %v: %w\n%s", args, err, out)
	}
	return nil
}

func (b *bench) put(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) get(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// someSizes of contents, in bytes.
var someSizes = []int{0, 1, 127, 5000, 1 << 20}

// shape is a way to sign, in our words and in OpenSSL's.
type shape struct {
	options cms.SignOptions
	args    []string
}

var shapes = map[string]shape{
	"attached":               {cms.SignOptions{}, []string{"-nodetach"}},
	"detached":               {cms.SignOptions{Detached: true}, nil},
	"attached, plain":        {cms.SignOptions{NoAttributes: true, Plain: true}, []string{"-nodetach", "-noattr"}},
	"detached, plain":        {cms.SignOptions{Detached: true, NoAttributes: true, Plain: true}, []string{"-noattr"}},
	"attached, indefinite":   {cms.SignOptions{}, []string{"-nodetach", "-stream"}},
	"attached, bare, stream": {cms.SignOptions{NoCertificates: true}, []string{"-nodetach", "-nocerts", "-stream"}},
}

func (b *bench) both(t *testing.T, names ...string) {
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			for _, n := range someSizes {
				b.ours(t, s, n, names)
				if n > 0 || !slices.Contains(s.args, "-stream") { // OpenSSL fails at that
					b.theirs(t, s, n, names)
				}
			}
		})
	}
}

// ours signs, and OpenSSL verifies.
func (b *bench) ours(t *testing.T, s shape, n int, names []string) {
	t.Helper()
	content := random(t, n)
	o := s.options
	for _, name := range names {
		o.Signers = append(o.Signers, signer(b.named(name)))
	}
	der, err := cms.Sign(bytes.NewReader(content), o)
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, "content", content)
	b.put(t, "message", der)
	args := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", "message", "-out", "out", "-CAfile", "ca.pem", "-purpose", "any"}
	if o.Detached {
		args = append(args, "-content", "content")
	}
	if o.NoCertificates {
		args = append(args, "-certfile", "all.pem")
	}
	if err := b.run(t, args...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.get(t, "out"), content) {
		t.Fatalf("OpenSSL read another content of %d bytes", n)
	}
	b.put(t, "message", bytes.Replace(der, der[len(der)-8:], []byte("nonsense"), 1))
	if b.run(t, args...) == nil {
		t.Fatal("OpenSSL takes what it should not: this test shows nothing")
	}
}

// theirs is signed by OpenSSL and verified by us.
func (b *bench) theirs(t *testing.T, s shape, n int, names []string) {
	t.Helper()
	content := random(t, n)
	b.put(t, "content", content)
	args := append([]string{"cms", "-sign", "-binary", "-outform", "DER", "-in", "content", "-out", "message"}, s.args...)
	for _, name := range names {
		args = append(args, "-signer", name+".pem", "-inkey", name+".key")
		if name == "sm2" {
			args = append(args, "-md", "sm3")
		}
	}
	if err := b.run(t, args...); err != nil {
		t.Fatal(err)
	}
	o := cms.VerifyOptions{Roots: b.roots(), Plain: s.options.Plain}
	if s.options.Detached {
		o.Content = bytes.NewReader(content)
	}
	if s.options.NoCertificates {
		o.Certificates = []*cms.Certificate{b.sm2.Certificate, b.rsa.Certificate, b.ecdsa.Certificate}
	}
	r, err := cms.Verify(b.get(t, "message"), o)
	if err != nil {
		t.Fatal(err)
	}
	if !s.options.Detached && !bytes.Equal(r.Content, content) || len(r.Signers) != len(names) {
		t.Fatalf("%d bytes, %d signers", len(r.Content), len(r.Signers))
	}
}

func (b *bench) named(name string) *testpki.Entity {
	return map[string]*testpki.Entity{"sm2": b.sm2, "rsa": b.rsa, "ecdsa": b.ecdsa}[name]
}

func TestOpenSSL4SM2(t *testing.T) { newBench(t, testkit.NeedPeer(t, "openssl-4.0")).both(t, "sm2") }

func TestOpenSSL4Several(t *testing.T) {
	newBench(t, testkit.NeedPeer(t, "openssl-4.0")).both(t, "rsa", "ecdsa")
}

// OpenSSL 3 verifies RSA under an authority of RSA.
func TestOpenSSL3RSA(t *testing.T) {
	for _, path := range []string{testkit.NeedTool(t, "openssl"), testkit.NeedPeer(t, "openssl-3.5")} {
		b := newBench(t, path)
		b.ca = testpki.New(t, "rsa authority", testpki.RSA(t))
		b.rsa = b.ca.Issue(t, "bob", testpki.RSA(t))
		b.ca.Write(t, b.dir, "ca")
		b.rsa.Write(t, b.dir, "rsa")
		b.put(t, "all.pem", b.get(t, "rsa.pem"))
		b.both(t, "rsa")
	}
}

// OpenSSL 3.5 knows SM2 without attributes; certificates it does not check.
func TestOpenSSL35SM2(t *testing.T) {
	b := newBench(t, testkit.NeedPeer(t, "openssl-3.5"))
	s := shapes["detached, plain"]
	for _, n := range someSizes {
		b.theirs(t, s, n, []string{"sm2"})
		content := random(t, n)
		o := s.options
		o.Signers = []cms.Signer{signer(b.sm2)}
		der, err := cms.Sign(bytes.NewReader(content), o)
		if err != nil {
			t.Fatal(err)
		}
		b.put(t, "content", content)
		b.put(t, "message", der)
		err = b.run(t, "cms", "-verify", "-noverify", "-binary", "-inform", "DER", "-in", "message", "-content", "content", "-out", "out")
		if err != nil {
			t.Fatal(err)
		}
	}
}

// OpenSSL 4 encrypts for RSA alone; what it is given to decrypt may be for SM2 too.
func TestOpenSSL4Envelopes(t *testing.T) {
	b := newBench(t, testkit.NeedPeer(t, "openssl-4.0"))
	for _, n := range someSizes {
		content := random(t, n)
		b.put(t, "content", content)
		for _, args := range [][]string{nil, {"-stream"}} {
			args = append([]string{"cms", "-encrypt", "-sm4-cbc", "-binary", "-in", "content", "-outform", "DER", "-out", "message"}, args...)
			if err := b.run(t, append(args, "rsa.pem")...); err != nil {
				t.Fatal(err)
			}
			out, err := cms.Open(b.get(t, "message"), cms.OpenOptions{Key: decrypter(b.rsa), Certificate: b.rsa.Certificate})
			if err != nil || !bytes.Equal(out.Content, content) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		der, err := cms.Envelop(content, cms.EnvelopOptions{Recipients: []*cms.Certificate{b.sm2.Certificate, b.rsa.Certificate}})
		if err != nil {
			t.Fatal(err)
		}
		b.put(t, "message", der)
		for _, name := range []string{"rsa", "sm2"} {
			err := b.run(t, "cms", "-decrypt", "-binary", "-inform", "DER", "-in", "message", "-out", "out", "-recip", name+".pem", "-inkey", name+".key")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.get(t, "out"), content) {
				t.Fatalf("OpenSSL read another content of %d bytes as %s", n, name)
			}
		}
	}
}

// A signer may be named by its key's identifier, and old hashes are no ground to believe
// anybody.
func TestOpenSSL4Names(t *testing.T) {
	b := newBench(t, testkit.NeedPeer(t, "openssl-4.0"))
	b.sm2 = b.ca.Issue(t, "alice", b.sm2.Key, func(c *smx509.Certificate) { c.SubjectKeyId = []byte("a key's identifier") })
	b.sm2.Write(t, b.dir, "sm2")
	content := []byte("content")
	b.put(t, "content", content)
	args := []string{"cms", "-sign", "-binary", "-nodetach", "-outform", "PEM", "-in", "content", "-out", "message"}
	if err := b.run(t, append(args, "-keyid", "-signer", "sm2.pem", "-inkey", "sm2.key", "-md", "sm3")...); err != nil {
		t.Fatal(err)
	}
	r, err := cms.Verify(b.get(t, "message"), cms.VerifyOptions{Roots: b.roots()})
	if err != nil || r.Signers[0].KeyID() != hex.EncodeToString(b.sm2.Certificate.SubjectKeyId) || r.Signers[0].Issuer() != "" {
		t.Errorf("%v", err)
	}
	if err := b.run(t, append(args, "-signer", "rsa.pem", "-inkey", "rsa.key", "-md", "sha1")...); err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Verify(b.get(t, "message"), cms.VerifyOptions{Roots: b.roots()}); !errors.Is(err, cms.ErrUnsupported) {
		t.Errorf("SHA-1: %v", err)
	}
}
