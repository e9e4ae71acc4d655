package ima

import (
	"bytes"
	"context"
	"crypto"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/testkit"
)

// pair is a key and its certificate, as OpenSSL made them.
type pair struct {
	key, der string // paths: evmctl takes certificates in DER alone
	signer   *Signer
	ring     *Keyring
	hash     string
}

func must(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(name), args, err, out)
	}
	return string(out)
}

func newPair(t *testing.T, kind string, a Algo) pair {
	openssl, dir := testkit.NeedTool(t, "openssl"), t.TempDir()
	p := pair{key: filepath.Join(dir, "key.pem"), der: filepath.Join(dir, "cert.der"), hash: a.String()}
	if kind == "sm2" {
		must(t, openssl, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", p.key)
		must(t, openssl, "req", "-x509", "-new", "-key", p.key, "-sm3", "-sigopt", "distid:1234567812345678", "-subj", "/CN=ima", "-outform", "DER", "-out", p.der)
	} else {
		must(t, openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", p.key)
		must(t, openssl, "req", "-x509", "-new", "-key", p.key, "-subj", "/CN=ima", "-outform", "DER", "-out", p.der)
	}
	text, err := os.ReadFile(p.key)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	key, err := smx509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := os.ReadFile(p.der)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	p.signer, err = NewSigner(key.(crypto.Signer), a)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := KeyIDOf(cert.SubjectKeyId); err != nil || id != p.signer.KeyID() {
		t.Fatalf("certificate's key id %08x, key's %08x (%v)", id, p.signer.KeyID(), err)
	}
	p.ring = &Keyring{}
	if err := p.ring.Add(cert.PublicKey, cert.SubjectKeyId); err != nil {
		t.Fatal(err)
	}
	return p
}

func attr(t testing.TB, path, name string) []byte {
	t.Helper()
	b := make([]byte, MaxLabel)
	n, err := unix.Getxattr(path, name, b)
	if err != nil {
		t.Fatalf("%s of %s: %v", name, path, err)
	}
	return b[:n]
}

func TestEvmctl(t *testing.T) {
	for _, version := range []string{"evmctl-1.4", "evmctl-1.5"} {
		for _, kind := range []string{"sm2", "rsa"} {
			t.Run(version+" "+kind, func(t *testing.T) {
				evmctl, dir := testkit.NeedPeer(t, version), labelled(t)
				p := newPair(t, kind, map[string]Algo{"sm2": SM3, "rsa": SHA256}[kind])
				for i, n := range []int{0, 1, 4096, large + 5} {
					path := filepath.Join(dir, "f"+string(rune('0'+i)))
					write(t, path, text(n, i))
					p.attributes(t, evmctl, path)
					p.sigfiles(t, evmctl, path)
					p.user(t, evmctl, path)
				}
			})
		}
	}
}

// attributes has each read what the other wrote.
func (p pair) attributes(t *testing.T, evmctl, path string) {
	verify := VerifyWork{Keys: p.ring, EVM: true}
	ours := func(state State, work Work) {
		t.Helper()
		if _, all := run(t, work, Options{}, path); all[path].State != state {
			t.Fatalf("%+v, want %s", all[path], state)
		}
	}
	must(t, evmctl, "ima_sign", "--hashalgo", p.hash, "--key", p.key, path)
	must(t, evmctl, "sign", "--portable", "--hashalgo", p.hash, "--key", p.key, path)
	theirs, theirEVM := attr(t, path, Attr), attr(t, path, AttrEVM)
	ours(Verified, verify)
	ours(Kept, SignWork{Signer: p.signer, EVM: true})
	ours(Cleared, ClearWork{})
	ours(Signed, SignWork{Signer: p.signer, EVM: true})
	must(t, evmctl, "ima_verify", "--key", p.der, path)
	must(t, evmctl, "verify", "--portable", "--key", p.der, path)
	mine, mineEVM := attr(t, path, Attr), attr(t, path, AttrEVM)
	if p.hash == "sha256" {
		if !bytes.Equal(mine, theirs) || !bytes.Equal(mineEVM, theirEVM) {
			t.Errorf("RSA's labels differ:\n%x\n%x\n%x\n%x", mine, theirs, mineEVM, theirEVM)
		}
	} else if !bytes.Equal(mine[:7], theirs[:7]) || !bytes.Equal(mineEVM[:7], theirEVM[:7]) || mine[9] != theirs[9] {
		t.Errorf("headers differ:\n%x\n%x\n%x\n%x", mine, theirs, mineEVM, theirEVM)
	}
	ours(Cleared, ClearWork{})
	must(t, evmctl, "ima_hash", "-a", p.hash, path)
	theirs = attr(t, path, Attr)
	ours(Verified, VerifyWork{})
	ours(Kept, LabelWork{p.signer.Algo()})
	ours(Cleared, ClearWork{})
	ours(Labelled, LabelWork{p.signer.Algo()})
	if mine := attr(t, path, Attr); !bytes.Equal(mine, theirs) {
		t.Errorf("digest %x, evmctl's %x", mine, theirs)
	}
	ours(Cleared, ClearWork{})
}

func (p pair) sigfiles(t *testing.T, evmctl, path string) {
	o := Options{Place: Files}
	must(t, evmctl, "ima_sign", "--sigfile", "--hashalgo", p.hash, "--key", p.key, path)
	if _, all := run(t, VerifyWork{Keys: p.ring}, o, path); all[path].State != Verified {
		t.Errorf("evmctl's file: %+v", all[path])
	}
	run(t, ClearWork{}, o, path)
	run(t, ClearWork{}, Options{}, path) // evmctl writes both
	if _, all := run(t, SignWork{Signer: p.signer}, o, path); all[path].State != Signed {
		t.Fatalf("%+v", all[path])
	}
	must(t, evmctl, "ima_verify", "--sigfile", "--key", p.der, path)
	if err := os.WriteFile(path, text(77, 7), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(evmctl, "ima_verify", "--sigfile", "--key", p.der, path).CombinedOutput(); err == nil {
		t.Errorf("evmctl accepts changed content: %s", out)
	}
	run(t, ClearWork{}, o, path)
}

// user has labels in user.ima.
func (p pair) user(t *testing.T, evmctl, path string) {
	o := Options{Place: User}
	must(t, evmctl, "ima_sign", "--xattr-user", "--hashalgo", p.hash, "--key", p.key, path)
	if _, all := run(t, VerifyWork{Keys: p.ring}, o, path); all[path].State != Verified {
		t.Errorf("evmctl's user.ima: %+v", all[path])
	}
	run(t, ClearWork{}, o, path)
	if _, all := run(t, SignWork{Signer: p.signer}, o, path); all[path].State != Signed {
		t.Fatalf("%+v", all[path])
	}
	must(t, evmctl, "ima_verify", "--xattr-user", "--key", p.der, path)
	run(t, ClearWork{}, o, path)
}

// killedEnv names the tree that a child of TestKilled signs until it is killed.
const killedEnv = "ANOLE_TEST_IMA_SIGN"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedEnv); dir != "" {
		signForever(dir)
	}
	os.Exit(m.Run())
}

func killedTree(dir string, p Place) string { return filepath.Join(dir, fmt.Sprint(p)) }

// killedKey is the key that the child signs with.
func killedKey() []byte { return bytes.Repeat([]byte{0x5a}, 32) }

func signForever(dir string) {
	s, err := NewSigner(fixedKey(killedKey()), SM3)
	if err != nil {
		panic(err)
	}
	fmt.Println("begins")
	for { // the label and its lack take turns
		for _, work := range []Work{SignWork{Signer: s}, LabelWork{SM3}} {
			for _, place := range []Place{Security, Files} {
				if _, err := Run(context.Background(), []string{killedTree(dir, place)}, work, Options{Recursive: true, Place: place}); err != nil {
					panic(err)
				}
			}
		}
	}
}
