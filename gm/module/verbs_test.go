package module

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/testpki"
)

// gm runs a verb and gives its output and exit code.
func gm(t *testing.T, stdin string, args ...string) (string, int) {
	t.Helper()
	asJSON := args[0] == "-j"
	if asJSON {
		args = args[1:]
	}
	out, _, err := runVerb(t.Context(), &core.Env{JSON: asJSON}, strings.NewReader(stdin), args...)
	if err != nil {
		t.Logf("gm %s: %v", strings.Join(args, " "), err)
	}
	return out, core.ExitCode(err)
}

func wantExit(t *testing.T, want int, args ...string) string {
	t.Helper()
	out, code := gm(t, "", args...)
	if code != want {
		t.Fatalf("gm %s: exit %d, want %d\n%s", strings.Join(args, " "), code, want, out)
	}
	return out
}

// inFolder is a place with the certificates and keys of an authority and two others.
func inFolder(t *testing.T) (in func(string) string) {
	dir := t.TempDir()
	ca := testpki.New(t, "authority", testpki.SM2(t))
	ca.Write(t, dir, "ca")
	ca.Issue(t, "alice", testpki.SM2(t)).Write(t, dir, "alice")
	ca.Issue(t, "bob", testpki.RSA(t)).Write(t, dir, "bob")
	testpki.New(t, "stranger", testpki.SM2(t)).Write(t, dir, "eve")
	in = func(name string) string { return filepath.Join(dir, name) }
	save(t, in("text"), []byte("a letter"))
	return in
}

func save(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o640); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCMSVerbs(t *testing.T) {
	in := inFolder(t)
	wantExit(t, 0, "cms", "sign", "--cert", in("alice.pem"), "--key", in("alice.key"), "--cert", in("bob.pem"), "--key", in("bob.key"), "--out", in("p7m"), in("text"))
	out := wantExit(t, 0, "cms", "verify", "--root", in("ca.pem"), "--out", in("back"), in("p7m"))
	if !strings.Contains(out, "CN=alice") || !strings.Contains(out, "RSA with SHA-256") || load(t, in("back")) != "a letter" {
		t.Errorf("verify says %s", out)
	}
	wantExit(t, 3, "cms", "verify", "--root", in("eve.pem"), "--out", in("none"), in("p7m"))
	if _, err := os.Stat(in("none")); err == nil {
		t.Error("what is not to be believed was written")
	}
	wantExit(t, 2, "cms", "verify", "--root", in("text"), in("p7m"))
	wantExit(t, 1, "cms", "verify", "--root", in("ca.pem"), in("missing"))
	wantExit(t, 2, "cms", "sign", "--cert", in("alice.pem"), "--cert", in("bob.pem"), "--key", in("alice.key"), in("text"))
	wantExit(t, 1, "cms", "sign", "--cert", in("alice.pem"), "--key", in("eve.key"), in("text"))

	wantExit(t, 0, "cms", "sign", "--detached", "--gmt", "--pem", "--cert", in("alice.pem"), "--key", in("alice.key"), "--out", in("p7s"), in("text"))
	wantExit(t, 0, "cms", "verify", "--root", in("ca.pem"), "--content", in("text"), in("p7s"))
	wantExit(t, 3, "cms", "verify", "--root", in("ca.pem"), "--content", in("p7m"), in("p7s"))
	wantExit(t, 3, "cms", "verify", "--root", in("ca.pem"), in("p7s"))
	if out := wantExit(t, 0, "cms", "show", in("p7s")); !strings.Contains(out, "signed message of GM/T 0010, detached") {
		t.Errorf("show says %s", out)
	}
	var shows shown
	if err := json.Unmarshal([]byte(wantExit(t, 0, "-j", "cms", "show", in("p7m"))), &shows); err != nil || len(shows.Signatures) != 2 || shows.ContentBytes != 8 {
		t.Errorf("%+v %v", shows, err)
	}
	armoured, code := gm(t, "from a pipe", "cms", "sign", "--cert", in("alice.pem"), "--key", in("alice.key"))
	if code != 0 || !strings.HasPrefix(armoured, "-----BEGIN CMS-----") {
		t.Fatalf("%d %s", code, armoured)
	}
	if text, code := gm(t, armoured, "cms", "verify", "--root", in("ca.pem"), "--out", "-"); code != 0 || text != "from a pipe" {
		t.Errorf("%d %q", code, text)
	}
}

func TestCMSEnvelopeVerbs(t *testing.T) {
	in := inFolder(t)
	wantExit(t, 0, "cms", "encrypt", "--to", in("alice.pem"), "--to", in("bob.pem"), "--out", in("p7m"), in("text"))
	for _, who := range []string{"alice", "bob"} {
		wantExit(t, 0, "cms", "decrypt", "--key", in(who+".key"), "--recipient", in(who+".pem"), "--force", "--out", in("back"), in("p7m"))
		if st, err := os.Stat(in("back")); err != nil || st.Mode() != 0o600 || load(t, in("back")) != "a letter" {
			t.Errorf("%s reads %q, %v", who, load(t, in("back")), err)
		}
	}
	wantExit(t, 3, "cms", "decrypt", "--key", in("eve.key"), in("p7m"))
	wantExit(t, 2, "cms", "decrypt", "--key", in("eve.pem"), in("p7m"))
	wantExit(t, 0, "cms", "encrypt", "--gmt", "--to", in("alice.pem"), "--sign-cert", in("alice.pem"), "--sign-key", in("alice.key"), "--out", in("both"), in("text"))
	if out := wantExit(t, 0, "cms", "decrypt", "--key", in("alice.key"), "--root", in("ca.pem"), in("both")); out != "a letter" {
		t.Errorf("%q", out)
	}
	if out := wantExit(t, 3, "cms", "decrypt", "--key", in("alice.key"), in("both")); strings.Contains(out, "letter") {
		t.Errorf("without a root: %q", out)
	}
	if out := wantExit(t, 0, "cms", "show", in("both")); !strings.Contains(out, "signed and enveloped") || !strings.Contains(out, "by SM2") {
		t.Errorf("show says %s", out)
	}
}

func TestModsignVerbs(t *testing.T) {
	in := inFolder(t)
	module := append([]byte("\x7fELF"), bytes.Repeat([]byte("module"), 1000)...)
	save(t, in("a.ko"), module)
	save(t, in("b.ko"), module)
	who := []string{"--cert", in("alice.pem"), "--key", in("alice.key")}
	verb := func(name string, args ...string) []string { return append([]string{"modsign", name}, args...) }
	wantExit(t, 0, append(verb("sign", in("a.ko"), in("b.ko")), who...)...)
	wantExit(t, 1, append(verb("sign", in("a.ko")), who...)...)
	wantExit(t, 0, append(verb("sign", "--resign", in("a.ko")), who...)...)
	if st, err := os.Stat(in("a.ko")); err != nil || st.Mode() != 0o640 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if out := wantExit(t, 0, verb("verify", "--cert", in("alice.pem"), in("a.ko"), in("b.ko"))...); strings.Count(out, "good") != 2 {
		t.Errorf("verify says %s", out)
	}
	wantExit(t, 3, verb("verify", "--cert", in("bob.pem"), in("a.ko"))...)
	wantExit(t, 3, verb("load", "--cert", in("bob.pem"), in("a.ko"))...)
	if out := wantExit(t, 0, verb("show", in("a.ko"))...); !strings.Contains(out, "CN=authority") || !strings.Contains(out, "SM2 with SM3") {
		t.Errorf("show says %s", out)
	}
	wantExit(t, 0, verb("strip", in("a.ko"), in("b.ko"))...)
	if load(t, in("a.ko")) != string(module) {
		t.Error("strip left something, or took too much")
	}
	wantExit(t, 3, verb("verify", "--cert", in("alice.pem"), in("a.ko"))...)
	wantExit(t, 1, verb("strip", in("a.ko"))...)
	wantExit(t, 0, append(verb("sign", "--detached", "--out", in("a.p7s"), in("a.ko")), who...)...)
	wantExit(t, 0, "cms", "verify", "--plain", "--root", in("ca.pem"), "--cert", in("alice.pem"), "--content", in("a.ko"), in("a.p7s"))
}

func TestUEFIVerbs(t *testing.T) {
	in := inFolder(t)
	save(t, in("image"), image())
	wantExit(t, 0, "uefi", "sign", "--cert", in("bob.pem"), "--key", in("bob.key"), "--out", in("signed"), in("image"))
	wantExit(t, 0, "uefi", "sign", "--cert", in("alice.pem"), "--key", in("alice.key"), in("signed"))
	if out := wantExit(t, 0, "uefi", "verify", "--all", "--cert", in("ca.pem"), in("signed")); strings.Count(out, "good") != 2 {
		t.Errorf("verify says %s", out)
	}
	wantExit(t, 3, "uefi", "verify", "--cert", in("eve.pem"), in("signed"))
	wantExit(t, 3, "uefi", "verify", "--cert", in("ca.pem"), in("image"))
	wantExit(t, 1, "uefi", "list", in("text"))
	if out := wantExit(t, 0, "uefi", "list", in("signed")); strings.Count(out, "of this image") != 2 {
		t.Errorf("list says %s", out)
	}
	wantExit(t, 2, "uefi", "remove", in("signed"))
	wantExit(t, 1, "uefi", "remove", "--number", "2", in("signed"))
	wantExit(t, 0, "uefi", "remove", "--number", "0", in("signed"))
	if out := wantExit(t, 0, "-j", "uefi", "list", in("signed")); strings.Count(out, `"hash": "SM3"`) != 1 || strings.Contains(out, "SHA") {
		t.Errorf("list says %s", out)
	}
	before := wantExit(t, 0, "uefi", "hash", "--hash", "sm3", in("image"))
	after := wantExit(t, 0, "uefi", "hash", "--hash", "sm3", in("signed"))
	if before[:64] != after[:64] {
		t.Errorf("hash %s, signed %s", before, after)
	}
	wantExit(t, 0, "uefi", "remove", "--all", in("signed"))
	if out := wantExit(t, 0, "uefi", "list", in("signed")); !strings.Contains(out, "not signed") {
		t.Errorf("list says %s", out)
	}
}

// image is the least PE32+ with a place for a certificate table.
func image() []byte {
	b := make([]byte, 0x200)
	copy(b, "MZ")
	b[60] = 0x80
	copy(b[0x80:], "PE\x00\x00\x64\x86")
	b[0x94] = 112 + 128           // of the optional header
	copy(b[0x98:], []byte{11, 2}) // PE32+
	b[0x98+61] = 2                // SizeOfHeaders
	b[0x98+108] = 16
	return b
}
