package module

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/policy"
)

// The section gm of the configuration file holds for each verb that makes, takes in or
// believes something: exit code 4 tells that it does not let it.
func TestPolicyVerbs(t *testing.T) {
	s := newShell(t)
	sound(t)
	rsa := testpki.New(t, "root", testpki.RSA(t))
	rsa.Write(t, ".", "root")
	rsa.Issue(t, "bob", testpki.RSA(t)).Write(t, ".", "bob")
	sm := testpki.New(t, "authority", testpki.SM2(t))
	sm.Write(t, ".", "ca")
	sm.Issue(t, "alice", testpki.SM2(t)).Write(t, ".", "alice")
	s.write("text", "a letter")
	s.write("a.ko", "\x7fELF"+strings.Repeat("module", 100))
	s.write("image", string(image()))
	// Before there is a policy all of it works.
	s.run("csr make --key bob.key --subject CN=bob --out bob.csr")
	s.run("cms sign --cert bob.pem --key bob.key --out p7m text")
	s.run("cms encrypt --to bob.pem --out p7e text")
	s.run("modsign sign --cert bob.pem --key bob.key --out signed.ko a.ko")
	s.run("luks format aes.img --size 1MiB --cipher aes-xts-plain64 --slot-cipher aes-xts-plain64 --iterations 1000 --key-file text")
	s.run("ca init --no-pass --subject CN=x")
	s.run("key gen --out p256.key --alg p-256 --no-pass")

	s.write("labelled", "text")
	s.run("ima label --sigfile --hash sha256 labelled")
	s.run("ima verify --sigfile labelled")
	s.run("uefi hash image")

	s.config = "anole.yaml"
	s.write(s.config, "version: 1\ngm: {mode: gm-only}\nqos: {unknown: here}\n")
	for _, line := range []string{
		"key gen --alg rsa --out x --no-pass", "key gen --alg p-256 --out x --no-pass", "key gen --alg ed25519 --out x --no-pass",
		"key pub bob.key", "key show p256.key", "key conv bob.key --no-pass --out x", "csr make --key bob.key --subject CN=bob --out x",
		"ca issue --csr bob.csr --out x", "cert verify bob.pem --root root.pem",
		"cms sign --cert bob.pem --key bob.key --out x text", "cms verify --root root.pem p7m", "cms encrypt --to bob.pem --out x text", "cms decrypt --key bob.key --out x p7e",
		"modsign sign --cert bob.pem --key bob.key --out x a.ko", "modsign verify --cert bob.pem signed.ko", "uefi sign --cert bob.pem --key bob.key --out x image",
		"ima sign --sigfile --key bob.key --hash sha256 text", "ima verify --sigfile --key bob.pem text", "ima enforce --key bob.pem --mode log .",
		"luks format x --size 1MiB --cipher aes-xts-plain64 --iterations 1000 --key-file text", "luks export aes.img x --key-file text",
		"luks format x --size 1MiB --pbkdf argon2id --key-file text", "luks format x --size 1MiB --slot-hash sha256 --key-file text", "luks format x --size 1MiB --hash sha256 --key-file text", "luks format x --size 1MiB --slot-cipher aes-xts-plain64 --key-file text",
		"key gen --out x --cipher aes256 --new-pass env:WORD", "key gen --out x --prf sha256 --new-pass env:WORD", "ima label --sigfile --hash sha256 text", "ima hash --hash sha3-256 text",
	} {
		s.fails(core.ExitDenied, "policy (mode gm-only) denies to", line)
		s.fails(core.ExitDenied, "another mode than gm-only", line)
	}
	if _, err := os.Lstat("x"); err == nil {
		t.Error("something was made that the policy denies")
	}
	// A label with another hash is not believed, though nobody else has a hand in it.
	if out, errs, err := s.try("ima", "verify", "--sigfile", "labelled"); core.ExitCode(err) == core.ExitOK || !strings.Contains(out+errs, "denies to hash with \"sha-256\"") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	s.fails(core.ExitDenied, "denies to hash with \"sha-256\"", "uefi hash image")
	s.run("uefi hash --hash sm3 image")
	// What is of ShangMi goes on.
	s.run("key gen --out sm2.key --no-pass")
	s.run("cms sign --cert alice.pem --key alice.key --force --out p7m text")
	s.run("cms verify --root ca.pem p7m")
	s.run("cert verify alice.pem --root ca.pem")
	s.run("cert show bob.pem")
	s.run("enc text --to alice.pem")
	s.run("dec text.gms --key alice.key --out back")

	// conf.d goes over the file; an identity that is not listed is none.
	if err := os.Mkdir("conf.d", 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(filepath.Join("conf.d", "10.yaml"), "gm: {mode: intl, distIDs: [someone]}\n")
	s.run("key pub bob.key")
	s.fails(core.ExitDenied, "one of the identities in distIDs", "cms verify --root ca.pem p7m")
	s.fails(core.ExitDenied, "one of the identities in distIDs", "csr make --key alice.key --subject CN=a --out x")
	s.run("csr make --key alice.key --distid someone --subject CN=a --out alice.csr")
	s.write(filepath.Join("conf.d", "20.yaml"), "gm: {distIDs: [], minBits: 192}\n")
	for _, line := range []string{"key gen --out x --no-pass", "enc text --force --new-pass env:WORD", "dec text.gms --key alice.key --out x", "cms encrypt --to alice.pem --out x text", "luks format x --size 1MiB --key-file text", "csr make --key alice.key --subject CN=a --out x"} {
		s.fails(core.ExitDenied, "needs a strength of 192 bits (minBits)", line)
	}

	// Without a policy that can be read nothing is done.
	s.write(filepath.Join("conf.d", "20.yaml"), "gm: {mode: only}\n")
	s.fails(core.ExitUsage, `20.yaml:1:12: gm.mode: wants one of`, "key gen --out x --no-pass")
	s.fails(core.ExitUsage, `20.yaml:1:12: gm.mode: wants one of`, "status")
	if policy.Default.Policy().Config().MinBits != 192 {
		t.Error("a policy that is none is in force")
	}
	s.run("selftest")
}

// Keys under a password do wherever a key is read.
func TestEncryptedKeys(t *testing.T) {
	s := newShell(t)
	root := testpki.New(t, "root", testpki.SM2(t))
	root.Issue(t, "alice", testpki.SM2(t)).Write(t, ".", "a")
	root.Issue(t, "bob", testpki.RSA(t)).Write(t, ".", "b")
	s.run("key conv a.key --force --new-pass env:WORD --iterations 1000 --out a.key")
	s.run("key conv b.key --to pkcs12 --new-pass env:WORD --iterations 1000 --out b.p12")
	s.write("text", "a letter")
	s.write("a.ko", "\x7fELF")
	s.write("image", string(image()))
	t.Setenv("WRONG", "x")
	for _, line := range []string{
		"cms sign --cert a.pem --key a.key --cert b.pem --key b.p12 --force --out p7m text", "cms encrypt --to b.pem --sign-cert a.pem --sign-key a.key --force --out p7m text",
		"modsign sign --cert a.pem --key a.key --force --out signed a.ko", "uefi sign --cert a.pem --key a.key --force --out signed image", "ima sign --sigfile --key a.key --cert a.pem text", "ima sign --sigfile --key b.p12 --hash sha256 text",
	} {
		s.fails(core.ExitUsage, "there is no terminal to ask for a password: --pass", line)
		s.fails(core.ExitDenied, "the password is wrong", line+" --pass env:WRONG")
		s.run(line + " --pass env:WORD")
	}
	s.run("cms encrypt --to a.pem --out p7e text")
	if out := s.run("cms decrypt --key a.key --pass env:WORD p7e"); out != "a letter" {
		t.Errorf("%q", out)
	}
	// From standard input too.
	s.in = strings.NewReader(string(s.read("b.key")))
	s.run("cms sign --cert b.pem --key - --force --out p7m text")
}
