package keys

import (
	"bytes"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/gm/internal/peer"
	"github.com/anole-os/anole/gm/sm2"
)

func write(t testing.TB, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	k, err := Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func known(s string) Password { return func() ([]byte, error) { return []byte(s), nil } }

const secret = "密码 pass"

// TestTheirKeys reads what OpenSSL writes.
func TestTheirKeys(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		pass := "pass:" + secret
		o.Run(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", at("plain"))
		o.Run(t, "ec", "-in", at("plain"), "-out", at("sec1"))
		o.Run(t, "ec", "-in", at("plain"), "-outform", "DER", "-out", at("sec1.der"))
		o.Run(t, "ec", "-in", at("plain"), "-conv_form", "compressed", "-out", at("compressed"))
		o.Run(t, "pkey", "-in", at("plain"), "-pubout", "-out", at("public"))
		files := []string{"plain", "sec1", "sec1.der", "compressed"}
		encrypted := func(name string, args ...string) {
			o.Run(t, append([]string{"pkcs8", "-topk8", "-in", at("plain"), "-passout", pass, "-out", at(name)}, args...)...)
			files = append(files, name)
		}
		encrypted("sm4", "-v2", "sm4-cbc", "-v2prf", "hmacWithSHA256", "-iter", "5000")
		encrypted("sm4.der", "-v2", "sm4-cbc", "-outform", "DER")
		encrypted("aes", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512")
		encrypted("aes192", "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1")
		if o.Release != "3.0" {
			encrypted("sm3", "-v2", "sm4-cbc", "-v2prf", "hmacWithSM3")
		}
		pub, err := ParsePublicFile(read(t, at("public")))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			k, err := Load(at(f), known(secret))
			if open := (*OpenError)(nil); errors.As(err, &open) {
				err = nil
			}
			if err != nil || !Equal(k.Public(), pub) {
				t.Errorf("%s: %v", f, err)
			}
		}
		for _, f := range files[4:] {
			if _, err := Parse(read(t, at(f)), known("wrong")); err != ErrPassword {
				t.Errorf("%s with a wrong password: %v", f, err)
			}
			if _, err := Parse(read(t, at(f)), nil); err != ErrNeeded {
				t.Errorf("%s without a password: %v", f, err)
			}
		}
	})
}

// TestTheirOtherKeys reads keys that are not of SM2.
func TestTheirOtherKeys(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		for _, c := range [][]string{
			{"RSA-2048", "RSA", "rsa_keygen_bits:2048"}, {"P-256", "EC", "ec_paramgen_curve:P-256"}, {"P-384", "EC", "ec_paramgen_curve:P-384"}, {"Ed25519", "ED25519"},
		} {
			dir := t.TempDir()
			args := []string{"genpkey", "-algorithm", c[1], "-out", filepath.Join(dir, "k")}
			if len(c) > 2 {
				args = append(args, "-pkeyopt", c[2])
			}
			o.Run(t, args...)
			k, err := Load(filepath.Join(dir, "k"), nil)
			if err != nil || Algorithm(k) != c[0] {
				t.Errorf("%s: %v %q", c[0], err, Algorithm(k))
				continue
			}
			p, err := PublicPEM(k.Public())
			if err != nil {
				t.Fatal(err)
			}
			if back, err := ParsePublicFile(p); err != nil || !Equal(back, k.Public()) {
				t.Errorf("%s: its public key: %v", c[0], err)
			}
			if c[0] == "Ed25519" {
				continue // has no other form
			}
			o.Run(t, "pkey", "-in", filepath.Join(dir, "k"), "-traditional", "-out", filepath.Join(dir, "old"))
			old, err := Load(filepath.Join(dir, "old"), nil)
			if err != nil || !Equal(old.Public(), k.Public()) {
				t.Errorf("%s in its own form: %v", c[0], err)
			}
		}
	})
}

// TestOurKeys has OpenSSL read what is written here.
func TestOurKeys(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		k := newKey(t)
		want, err := PublicPEM(k.Public())
		if err != nil {
			t.Fatal(err)
		}
		sec1, err := MarshalSEC1(k)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{"sec1": pem.EncodeToMemory(&pem.Block{Type: PEMEC, Bytes: sec1})}
		add := func(name string, password []byte, e Encryption) {
			b, err := PEM(k, password, e)
			if err != nil {
				t.Fatal(err)
			}
			files[name] = b
		}
		add("plain", nil, Encryption{})
		add("sm4", []byte(secret), Encryption{PRF: SHA256, Iterations: 2000})
		add("aes", []byte(secret), Encryption{Cipher: AES256, PRF: SHA256, Iterations: 2000})
		if o.Release != "3.0" {
			add("sm3", []byte(secret), Encryption{PRF: SM3OpenSSL, Iterations: 2000})
		}
		for name, b := range files {
			got := o.Run(t, "pkey", "-in", write(t, dir, name, b), "-passin", "pass:"+secret, "-pubout")
			if !bytes.Equal(got, want) {
				t.Errorf("%s: got\n%s", name, got)
			}
		}
		if _, err := o.Try("pkey", "-in", filepath.Join(dir, "sm4"), "-passin", "pass:wrong", "-noout"); err == nil {
			t.Error("OpenSSL took a wrong password")
		}
	})
}

// TestPKCS12 goes both ways.
func TestPKCS12(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		dir := t.TempDir()
		at := func(name string) string { return filepath.Join(dir, name) }
		k := newKey(t)
		text, err := PEM(k, nil, Encryption{})
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "k", text)
		o.Run(t, "req", "-x509", "-key", at("k"), "-sm3", "-subj", "/CN=一个", "-utf8", "-days", "10", "-sigopt", "distid:"+sm2.DefaultID, "-out", at("c"))
		p, _ := pem.Decode(read(t, at("c")))
		theirs := [][]string{{"-macalg", "sm3"}, {"-macalg", "sha256"}, {"-macalg", "sha1"}}
		if o.Release != "3.0" {
			theirs = append(theirs, []string{"-pbmac1_pbkdf2"}, []string{"-pbmac1_pbkdf2", "-pbmac1_pbkdf2_md", "sha512"})
		}
		for _, args := range theirs {
			o.Run(t, append([]string{"pkcs12", "-export", "-inkey", at("k"), "-in", at("c"), "-certfile", at("c"), "-name", "名字", "-keypbe", "SM4-CBC", "-certpbe", "SM4-CBC",
				"-passout", "pass:" + secret, "-out", at("p")}, args...)...)
			b, err := ParsePKCS12(read(t, at("p")), []byte(secret))
			if err != nil {
				t.Errorf("%q: %v", args, err)
				continue
			}
			if b.Name != "名字" || !k.Equal(b.Key) || len(b.Certificates) == 0 || !bytes.Equal(b.Certificates[0], p.Bytes) {
				t.Errorf("%q: %q, %d certificates", args, b.Name, len(b.Certificates))
			}
			if _, err := ParsePKCS12(read(t, at("p")), []byte("wrong")); err != ErrPassword {
				t.Errorf("%q with a wrong password: %v", args, err)
			}
		}
		for _, e := range []Encryption{{PRF: SHA256, Iterations: 2000}, {PRF: SM3OpenSSL, Iterations: 2000}, {Cipher: AES256, PRF: SHA256, Iterations: 2000}} {
			if o.Release == "3.0" && e.PRF == SM3OpenSSL {
				continue
			}
			ours, err := MarshalPKCS12(rand.Reader, &Bundle{Name: "名字", Key: k, Certificates: [][]byte{p.Bytes}}, []byte(secret), e)
			if err != nil {
				t.Fatal(err)
			}
			got := o.Run(t, "pkcs12", "-in", write(t, dir, "ours", ours), "-passin", "pass:"+secret, "-nodes")
			key, err := Parse(got, nil)
			if err != nil || !k.Equal(key) {
				t.Errorf("%+v: key: %v", e, err)
			}
			if i := bytes.Index(got, []byte("-----BEGIN CERTIFICATE")); i < 0 || !bytes.Contains(got[i:], bytes.TrimSpace(read(t, at("c")))) {
				t.Errorf("%+v: certificate:\n%s", e, got)
			}
			if _, err := o.Try("pkcs12", "-in", at("ours"), "-passin", "pass:wrong", "-nodes"); err == nil {
				t.Error("OpenSSL took a wrong password")
			}
		}
	})
}
