package module

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/peer"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/x509"
)

// shell runs verbs in a folder.
type shell struct {
	t    *testing.T
	dir  string
	in   io.Reader
	json bool
	// config is the path of a configuration file, if there is one.
	config string
}

func newShell(t *testing.T) *shell {
	t.Chdir(t.TempDir())
	t.Setenv("WORD", "口令 1")
	return &shell{t: t, dir: "."}
}

// try gives output, messages and the error of a verb.
func (s *shell) try(args ...string) (out, errs string, err error) {
	s.t.Helper()
	in := s.in
	if in == nil {
		in = strings.NewReader("")
	}
	return runVerb(s.t.Context(), &core.Env{JSON: s.json, Config: s.config}, in, args...)
}

func (s *shell) run(line string, more ...string) string {
	s.t.Helper()
	out, _, err := s.try(append(strings.Fields(line), more...)...)
	if err != nil {
		s.t.Fatalf("%s: %v", line, err)
	}
	return out
}

// fails runs a verb that must fail with an exit code and a text.
func (s *shell) fails(code int, text, line string, more ...string) {
	s.t.Helper()
	_, _, err := s.try(append(strings.Fields(line), more...)...)
	if core.ExitCode(err) != code || !strings.Contains(fmt.Sprint(err), text) {
		s.t.Errorf("%s: code %d, %v; want %d, %q", line, core.ExitCode(err), err, code, text)
	}
}

func (s *shell) mode(path string, want os.FileMode) {
	s.t.Helper()
	if i, err := os.Stat(path); err != nil || i.Mode().Perm() != want {
		s.t.Errorf("%s: mode %v, want %v, %v", path, i, want, err)
	}
}

func (s *shell) read(path string) []byte {
	s.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func (s *shell) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func TestKeyVerbs(t *testing.T) {
	s := newShell(t)
	s.run("key gen --out a.key --no-pass")
	s.mode("a.key", 0o600)
	s.run("key gen --out b.key --new-pass env:WORD --iterations 1000")
	s.fails(core.ExitUsage, "--force", "key gen --out a.key --no-pass")
	s.fails(core.ExitUsage, "no terminal", "key gen --out c.key")
	s.fails(core.ExitUsage, "no NOTHING", "key gen --out c.key --new-pass env:NOTHING")
	s.fails(core.ExitUsage, "1000", "key gen --out c.key --no-pass --iterations 5")
	s.fails(core.ExitUsage, "sha256", "key gen --out c.key --no-pass --prf md5")
	if out := s.run("key show a.key"); !strings.Contains(out, "private key of SM2") || strings.Contains(out, "BEGIN") {
		t.Errorf("%q", out)
	}
	s.run("key pub b.key --pass env:WORD --out b.pub")
	if out := s.run("key show b.pub"); !strings.Contains(out, "public key of SM2") {
		t.Errorf("%q", out)
	}
	s.write("word", "x\n")
	s.fails(core.ExitDenied, "password is wrong", "key pub b.key --pass file:word")
	s.fails(core.ExitUsage, "terminal", "key pub b.key")
	if err := os.Chmod("a.key", 0o644); err != nil {
		t.Fatal(err)
	}
	if _, errs, err := s.try("key", "pub", "a.key"); err != nil || !strings.Contains(errs, "warning: a.key: others than its owner may read") {
		t.Errorf("%q %v", errs, err)
	}
	s.json = true
	var text keyText
	if err := json.Unmarshal([]byte(s.run("key show b.key --pass env:WORD")), &text); err != nil || text.Algorithm != "SM2" || !text.Private || len(text.ID) != 64 {
		t.Errorf("%+v %v", text, err)
	}
}

func TestKeyConv(t *testing.T) {
	s := newShell(t)
	s.run("key gen --out a.key --no-pass")
	want := s.run("key pub a.key")
	for _, line := range []string{"--to sec1 --no-pass", "--to sec1 --no-pass --der", "--to pkcs8 --no-pass --der", "--to pkcs8 --new-pass env:WORD --iterations 1000", "--to pkcs8 --der --new-pass env:WORD --iterations 1000 --prf sha256 --cipher aes256",
		"--to pkcs12 --new-pass env:WORD --iterations 1000 --name me"} {
		s.run("key conv a.key --force --out b.key " + line)
		s.mode("b.key", 0o600)
		if got := s.run("key pub b.key --pass env:WORD"); got != want {
			t.Errorf("%s: another key", line)
		}
	}
	s.fails(core.ExitUsage, "--no-pass", "key conv a.key --to sec1 --out c.key")
	s.fails(core.ExitUsage, "without a password", "key conv a.key --to pkcs12 --no-pass --out c.key")
	s.fails(core.ExitUsage, "pkcs8, sec1 or pkcs12", "key conv a.key --to pem --out c.key")
}

// TestCA goes from a CA to a pair, a list and a verdict.
func TestCAVerbs(t *testing.T) {
	s := newShell(t)
	name := []string{"--subject", "C=CN, O=变色龙, CN=root"}
	s.run("ca init --intermediate CN=issuing --new-pass env:WORD --iterations 1000", name...)
	s.fails(core.ExitFailed, "something in it", "ca init --no-pass", name...)
	s.run("key gen --out www.key --no-pass")
	s.run("csr make --key www.key --subject CN=www.example --name www.example --name 10.0.0.1 --out www.csr")
	if out := s.run("csr show www.csr"); !strings.Contains(out, "DNS:www.example, IP:10.0.0.1") {
		t.Errorf("%q", out)
	}
	issue := "ca issue --pass env:WORD "
	s.run(issue + "--csr www.csr --profile server --out www")
	s.fails(core.ExitUsage, "is there already", issue+"--csr www.csr --profile server --out www")
	s.fails(core.ExitUsage, "dual", issue+"--csr www.csr --profile x --out x")
	s.fails(core.ExitUsage, "number of days -1", issue+"--csr www.csr --days -1 --out x")
	s.fails(core.ExitUsage, "number of days 99999", issue+"--csr www.csr --days 99999 --out x")
	s.fails(core.ExitUsage, "ask for fewer", issue+"--csr www.csr --days 36500 --out x")
	s.fails(core.ExitUsage, "anole gm ca init", issue+"--csr www.csr --dir nodir --out x")
	s.fails(core.ExitUsage, "number of days 0", "ca crl --pass env:WORD --days 0 --out x")
	s.fails(core.ExitUsage, "number of days -1", "ca init --dir x --no-pass --subject CN=x --days -1")
	s.fails(core.ExitUsage, "hexadecimal", "ca revoke www")
	s.fails(core.ExitUsage, "hexadecimal", "ca recover www --pass env:WORD --no-pass --out x")
	s.fails(core.ExitUsage, "no folder", issue+"--csr www.csr --out none/x")
	trust := " --root ca/root.crt --chain ca/intermediate.crt"
	if out := s.run("cert verify www.crt --host www.example --for server --root ca/root.crt"); !strings.Contains(out, "good") { // the file has what is above it
		t.Errorf("%q", out)
	}
	s.fails(core.ExitNo, "the certificate is for another name", "cert verify www.crt --host x.example"+trust)
	s.fails(core.ExitNo, "the certificate is not for this use", "cert verify www.crt --for client"+trust)
	s.fails(core.ExitNo, "the certificate expired", "cert verify www.crt --at 2199-01-01"+trust)
	s.fails(core.ExitNo, "trusted", "cert verify www.crt --distid someone"+trust)
	if out := s.run("cert show www.crt"); !strings.Contains(out, "CN=www.example") || !strings.Contains(out, "for 396 days more") {
		t.Errorf("%q", out)
	}
	// A pair, by a request: the second key comes in an envelope.
	s.run(issue + "--csr www.csr --dual --keep --out pair")
	s.run("key open pair-enc.env --key www.key --no-pass --out pair-enc.key")
	pair := "cert pair pair.crt pair-enc.crt --sign-key www.key --enc-key pair-enc.key" + trust
	s.run(pair)
	s.fails(core.ExitNo, "swapped", "cert pair pair-enc.crt pair.crt"+trust)
	s.fails(core.ExitNo, "not that of the encryption", "cert pair pair.crt pair-enc.crt --sign-key www.key --enc-key www.key"+trust)
	s.fails(core.ExitFailed, "not valid", "key open pair-enc.env --key pair-enc.key --no-pass --out x.key")
	// One encrypts for the encryption certificate alone.
	s.run("enc www.csr --to pair-enc.crt --out sealed")
	if got := s.run("dec sealed --key pair-enc.key --out -"); got != string(s.read("www.csr")) {
		t.Error("another text")
	}
	s.fails(core.ExitNo, "the encryption certificate is not for this use", "enc www.csr --to pair.crt --out x")
	// And by name.
	s.run(issue+"--profile dual --out gw --no-pass", "--subject", "CN=gw, O=变色龙")
	s.mode("gw-enc.key", 0o600)
	s.run("cert pair gw.crt gw-enc.crt --sign-key gw.key --enc-key gw-enc.key" + trust)
	s.json = true
	var all []map[string]any
	if err := json.Unmarshal([]byte(s.run("ca list")), &all); err != nil || len(all) != 6 || all[3]["half"] != "enc" || all[3]["key_kept"] != true || all[3]["kept"] != nil {
		t.Fatalf("%v %v", all, err)
	}
	s.json = false
	enc := all[3]["serial"].(string)
	s.run("ca recover --pass env:WORD --no-pass --out again.key 0x" + strings.ToUpper(enc))
	if a, b := s.run("key pub again.key"), s.run("key pub pair-enc.key"); a != b {
		t.Error("another key was recovered")
	}
	s.run("ca crl --pass env:WORD --out old.crl")
	s.run("ca revoke --reason key-compromise " + enc)
	s.fails(core.ExitFailed, "revoked already", "ca revoke "+enc)
	s.fails(core.ExitUsage, "key-compromise", "ca revoke --reason x "+enc)
	s.run("ca crl --pass env:WORD --out new.crl")
	s.run("ca crl --pass env:WORD --root --out root.crl")
	s.run(pair + " --need-crl --crl root.crl --crl old.crl")
	s.fails(core.ExitNo, "the encryption certificate was revoked", pair+" --need-crl --crl root.crl --crl new.crl")
	s.fails(core.ExitNo, "no revocation list", pair+" --need-crl --crl root.crl")
	if out := s.run("ca list"); !strings.Contains(out, "revoked") {
		t.Errorf("%q", out)
	}
	s.json = true
	out, _, err := s.try(strings.Fields(pair + " --crl new.crl")...)
	var v verdict
	if core.ExitCode(err) != core.ExitNo || json.Unmarshal([]byte(out), &v) != nil || v.OK || v.Problem != "the encryption certificate was revoked" {
		t.Errorf("%q %v", out, err)
	}
}

// TestBadFiles has verbs read what they should not take.
func TestBadFiles(t *testing.T) {
	s := newShell(t)
	s.run("key gen --out a.key --no-pass")
	s.run("csr make --key a.key --subject CN=a --out a.csr")
	b := s.read("a.csr")
	i := bytes.LastIndexByte(bytes.TrimSpace(b[:len(b)-40]), '\n') + 3
	b[i] ^= 3
	s.write("bad.csr", string(b))
	if _, _, err := s.try("csr", "show", "bad.csr"); err == nil {
		t.Error("a request that was changed is taken")
	}
	s.write("empty", "")
	s.write("text", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	for code, lines := range map[int][]string{
		core.ExitFailed: {"csr show empty", "csr show text", "key open a.key --key a.key --no-pass --out x"},
		core.ExitUsage: {"cert show empty", "cert show text", "cert show a.key", "key show empty", "key show text", "key pub a.csr", "cert verify text --root text", "cert show none", "key show none",
			"csr make --key text --subject CN=a --out x", "cert verify text --root text --crl empty", "ca list --dir empty", "ca list --dir nodir"},
	} {
		for _, line := range lines {
			if _, _, err := s.try(strings.Fields(line)...); err == nil || core.ExitCode(err) != code {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
	if _, err := os.Stat("x"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a verb that failed left a file")
	}
}

// What bounds a message is in the help.
func TestHelpTellsLimits(t *testing.T) {
	s := newShell(t)
	for line, text := range map[string]string{"cms sign --help": "all of it is kept in memory", "cms encrypt --help": "1 GiB at most", "rng fill --help": "--force"} {
		if out := s.run(line); !strings.Contains(out, text) {
			t.Errorf("%s does not say %q", line, text)
		}
	}
}

func TestSealVerbs(t *testing.T) {
	s := newShell(t)
	text := strings.Repeat("text 文\n", 50_000)
	s.write("a.txt", text)
	s.run("enc a.txt --new-pass env:WORD --iterations 1000")
	s.fails(core.ExitUsage, "is there already", "dec a.txt.gms --pass env:WORD")
	s.run("dec a.txt.gms --pass env:WORD --out b.txt")
	if string(s.read("b.txt")) != text {
		t.Error("another text")
	}
	s.mode("b.txt", 0o600)
	for _, who := range []string{"alice", "bob", "eve"} {
		s.run("key gen --no-pass --out " + who + ".key")
		s.run("key pub " + who + ".key --out " + who + ".pub")
	}
	s.in = strings.NewReader(text)
	s.run("enc - --to alice.pub --to bob.pub --out c.gms")
	s.in = nil
	if got := s.run("dec c.gms --key bob.key --out -"); got != text {
		t.Error("another text from standard output")
	}
	s.in = bytes.NewReader(s.read("c.gms"))
	s.run("dec - --key alice.key --out c.txt")
	s.in = nil
	s.fails(core.ExitDenied, "not sealed for this key", "dec c.gms --key eve.key --out x")
	s.fails(core.ExitFailed, "not sealed under a password", "dec c.gms --pass env:WORD --out x")
	t.Setenv("WRONG", "x")
	s.fails(core.ExitDenied, "password is wrong", "dec a.txt.gms --pass env:WRONG --out x")
	s.fails(core.ExitUsage, "--out", "dec b.txt")
	s.fails(core.ExitNo, "not a sealed file", "dec b.txt --pass env:WORD --out x")
	b := s.read("c.gms")
	for name, bad := range map[string][]byte{"cut": b[:len(b)-1], "longer": append(bytes.Clone(b), 0), "changed": func() []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c }()} {
		s.write("bad.gms", string(bad))
		s.fails(core.ExitNo, "changed, cut or extended", "dec bad.gms --key bob.key --out x")
		if out, _, err := s.try("dec", "bad.gms", "--key", "bob.key", "--out", "-"); err == nil || out != "" {
			t.Errorf("%s: %d bytes came out", name, len(out))
		}
	}
	left, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() == "x" || strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left", e.Name())
		}
	}
}

// TestVerbsOpenSSL has OpenSSL read a pair's files as the verbs write them.
func TestVerbsOpenSSL(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		s := newShell(t)
		s.run("ca init --no-pass --subject CN=root")
		s.run("ca issue --profile dual --subject CN=gw --out gw --new-pass env:WORD --prf sha256 --iterations 2000")
		s.run("key conv gw-enc.key --pass env:WORD --to pkcs12 --cert gw-enc.crt --new-pass env:WORD --prf sha256 --iterations 2000 --out enc.p12")
		word := "pass:" + os.Getenv("WORD")
		o.Run(t, "verify", "-vfyopt", "distid:1234567812345678", "-partial_chain", "-trusted", "ca/root.crt", "gw.crt", "gw-enc.crt")
		for key, cert := range map[string]string{"gw.key": "gw.crt", "gw-enc.key": "gw-enc.crt"} {
			a, b := o.Run(t, "pkey", "-in", key, "-passin", word, "-pubout"), o.Run(t, "x509", "-in", cert, "-noout", "-pubkey")
			if !bytes.Equal(a, b) {
				t.Errorf("%s is not of %s", key, cert)
			}
		}
		out := o.Run(t, "pkcs12", "-in", "enc.p12", "-passin", word, "-nodes")
		k, err := keys.Parse(out, nil)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ReadCertificate(out)
		if err != nil || !keys.Equal(k.Public(), c.PublicKey) {
			t.Errorf("%v", err)
		}
	})
}
