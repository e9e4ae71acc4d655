package module

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/internal/testkit"
)

// gmRun runs a verb, and gives its output, messages and exit code.
func gmRun(in string, asJSON bool, args ...string) (out, messages string, code int) {
	out, messages, err := runVerb(context.Background(), &core.Env{JSON: asJSON}, strings.NewReader(in), args...)
	if err != nil {
		messages += err.Error()
	}
	return out, messages, core.ExitCode(err)
}

// imaKeyFiles are a key and its public half.
func imaKeyFiles(t *testing.T, dir, name string) (key, public string) {
	t.Helper()
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := smx509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := smx509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key, public = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pub")
	for path, b := range map[string][]byte{key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), public: pub} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return key, public
}

func TestIMAVerbs(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	key, pub := imaKeyFiles(t, keys, "a")
	_, other := imaKeyFiles(t, keys, "b")
	for _, n := range []string{"one", "two", "sub/three"} {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		args string
		code int
		want string // in output or messages
	}{
		{"ima sign --sigfile -r --key KEY DIR", 0, "3 signed"},
		{"ima sign --sigfile -r --key KEY DIR", 0, "3 kept"},
		{"ima verify --sigfile -r --key PUB DIR", 0, "3 verified"},
		{"ima verify --sigfile -r --key OTHER DIR", 3, "not known"},
		{"ima verify --sigfile -r --key OTHER --key PUB --list DIR", 0, "verified  DIR/sub/three"},
		{"ima verify --sigfile -r DIR", 3, "not known"},
		{"ima verify --sigfile --key PUB DIR", 1, "-r"},
		{"ima verify --sigfile --key KEY DIR/one", 2, "neither a certificate nor a public key"},
		{"ima sign --sigfile --key PUB DIR/one", 2, "read key"},
		{"ima sign --sigfile --key KEY --hash sha256 DIR/one", 2, "SM2 signs SM3"},
		{"ima sign --sigfile --key KEY --hash md5 DIR/one", 2, "not known"},
		{"ima sign --sigfile --key none DIR/one", 2, "no such file"},
		{"ima sign --sigfile --evm --key KEY DIR/one", 1, "without --sigfile"},
		{"ima show DIR/one", 0, "signature  sm3"},
		{"ima hash DIR/one", 0, "0411"},
		{"ima verify --sigfile --key PUB DIR/none", 1, "no such file"},
		{"ima clear --sigfile -r DIR", 0, "3 cleared"},
		{"ima verify --sigfile -r --key PUB DIR", 3, "no label"},
		{"ima label --sigfile DIR/one", 0, "1 labelled"},
		{"ima verify --sigfile DIR/one", 0, "1 verified"},
		{"ima verify --sigfile --key PUB DIR/one", 3, "digest and not a signature"},
		{"ima verify --sigfile --digests --key PUB DIR/one", 0, "1 verified"},
		{"ima enforce --scope x DIR", 2, "--scope"},
		{"ima enforce --mode x DIR", 2, "--mode"},
		{"ima enforce --late x DIR", 2, "--late"},
		{"ima enforce DIR", 2, "without --key"},
	}
	for _, s := range steps {
		replace := strings.NewReplacer("KEY", key, "PUB", pub, "OTHER", other, "DIR", dir)
		out, messages, code := gmRun("", false, strings.Fields(replace.Replace(s.args))...)
		if all := out + messages; code != s.code || !strings.Contains(all, replace.Replace(s.want)) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", s.args, code, s.code, s.want, all)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "one"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, code := gmRun("", true, "ima", "verify", "--sigfile", filepath.Join(dir, "one"))
	var r struct {
		Files, Failed int
		States        map[string]int
		Results       []imaFile
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 3 || r.Failed != 1 || len(r.Results) != 1 || !strings.Contains(r.Results[0].Error, "not of this content") {
		t.Errorf("exit code %d, %v: %s", code, err, out)
	}
}

// TestIMAKeyFiles reads what OpenSSL writes.
func TestIMAKeyFiles(t *testing.T) {
	openssl, dir := testkit.NeedTool(t, "openssl"), t.TempDir()
	t.Setenv("WORD", "xxxx")
	t.Setenv("WRONG", "yyyy")
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"ecparam", "-name", "SM2", "-genkey", "-out", at("sec1.pem")},
		{"req", "-x509", "-new", "-key", at("sec1.pem"), "-sm3", "-sigopt", "distid:1234567812345678", "-subj", "/CN=x", "-out", at("crt.pem")},
		{"genrsa", "-traditional", "-out", at("rsa.pem"), "2048"},
		{"pkey", "-in", at("sec1.pem"), "-outform", "DER", "-out", at("key.der")},
		{"pkey", "-in", at("sec1.pem"), "-pubout", "-out", at("pub.pem")},
		{"pkey", "-in", at("sec1.pem"), "-aes128", "-passout", "pass:xxxx", "-out", at("locked.pem")},
	} {
		if out, err := gmCommand(openssl, args...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	file := at("file")
	if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"SEC 1":         {[]string{"--key", at("sec1.pem")}, 0, "1 files"},
		"certificate":   {[]string{"--key", at("key.der"), "--cert", at("crt.pem")}, 0, ""},
		"another's":     {[]string{"--key", at("rsa.pem"), "--hash", "sha256", "--cert", at("crt.pem")}, 2, "another key"},
		"RSA, PKCS #1":  {[]string{"--key", at("rsa.pem"), "--hash", "sha256"}, 0, ""},
		"no password":   {[]string{"--key", at("locked.pem")}, 2, "--pass"},
		"encrypted":     {[]string{"--key", at("locked.pem"), "--pass", "env:WORD"}, 0, "1 files"},
		"wrong":         {[]string{"--key", at("locked.pem"), "--pass", "env:WRONG"}, 4, "password is wrong"},
		"no key at all": {[]string{"--key", at("crt.pem")}, 2, "not a key"},
	} {
		_, messages, code := gmRun("", false, append([]string{"ima", "sign", "--sigfile", file}, c.args...)...)
		if code != c.code || !strings.Contains(messages, c.want) {
			t.Errorf("%s: exit code %d: %s", name, code, messages)
		}
		if name != "SEC 1" && name != "certificate" {
			continue
		}
		for _, k := range []string{"crt.pem", "pub.pem"} {
			if _, messages, code := gmRun("", false, "ima", "verify", "--sigfile", "--key", at(k), file); code != 0 {
				t.Errorf("%s by %s: %s", name, k, messages)
			}
		}
	}
}
