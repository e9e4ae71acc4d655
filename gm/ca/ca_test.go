package ca

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
)

var cheap = keys.Encryption{Iterations: 1000}

// options are of a CA with an intermediate or without.
func options(t testing.TB, below bool) Options {
	t.Helper()
	root, err := x509.ParseName("C=CN,O=变色龙,CN=root")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Name: root, Encryption: cheap}
	if below {
		if o.Intermediate, err = x509.ParseName("C=CN,O=变色龙,CN=issuing"); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func newCA(t testing.TB, o Options) *CA {
	t.Helper()
	c, err := Init(filepath.Join(t.TempDir(), "ca"), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func subject(t testing.TB, s string) (r Request) {
	t.Helper()
	n, err := x509.ParseName(s)
	if err != nil {
		t.Fatal(err)
	}
	return Request{Profile: "server", Subject: n}
}

func issue(t testing.TB, c *CA, r Request) *Issued {
	t.Helper()
	out, err := c.Issue(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (out *Issued) options() x509.Options {
	return x509.Options{Roots: out.Chain[len(out.Chain)-1:], Intermediates: out.Chain}
}

func TestIssue(t *testing.T) {
	for _, id := range []string{"", "ca@example.com"} {
		for _, below := range []bool{false, true} {
			o := options(t, below)
			o.ID, o.CRLURL = id, "http://ca.example/crl"
			c := newCA(t, o)
			for _, p := range c.Profiles() {
				r := subject(t, "CN=a.example")
				r.Profile = p.Name
				out := issue(t, c, r)
				v := out.options()
				v.ID = id
				if _, err := x509.Verify(out.Certificate, v); err != nil {
					t.Errorf("%s (intermediate %v, identity %q): %v", p.Name, below, id, err)
				}
				if want := time.Duration(p.Days) * 24 * time.Hour; time.Until(out.Certificate.NotAfter).Round(time.Hour) != want {
					t.Errorf("%s: until %v", p.Name, out.Certificate.NotAfter)
				}
				if out.Certificate.IsCA != p.CA || !keys.Equal(out.Key.Public(), out.Certificate.PublicKey) || len(out.Certificate.CRLDistributionPoints) != 1 {
					t.Errorf("%s: %+v", p.Name, x509.Describe(out.Certificate))
				}
				if p.Dual != (out.Encryption != nil) {
					t.Errorf("%s: a pair or not", p.Name)
				}
			}
		}
	}
}

func TestDual(t *testing.T) {
	c := newCA(t, options(t, true))
	check := func(out *Issued, sign, enc keys.Private) {
		t.Helper()
		p, err := x509.NewSignEncPair(out.Certificate, out.Encryption)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Verify(out.options()), p.Fits(sign, enc)); err != nil {
			t.Error(err)
		}
	}
	r := subject(t, "CN=a.example")
	r.Dual = true
	out := issue(t, c, r)
	check(out, out.Key, out.EncryptionKey)
	if _, err := c.Recover(x509.Serial(out.Encryption.SerialNumber)); err == nil {
		t.Error("a key that was not kept is recovered")
	}
	// By a request: the second key comes in an envelope for the first.
	k, err := keys.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := request(t, k, "CN=b.example", "b.example")
	out = issue(t, c, Request{Profile: "dual", CSR: csr, Keep: true})
	if out.Key != nil || out.EncryptionKey != nil || out.Certificate.DNSNames[0] != "b.example" || x509.Name(out.Encryption.Subject) != "CN=b.example" {
		t.Errorf("%+v", out)
	}
	second, err := keys.OpenEnvelope(k, out.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	check(out, k, second)
	if got, err := c.Recover(x509.Serial(out.Encryption.SerialNumber)); err != nil || !second.Equal(got) {
		t.Errorf("recover: %v", err)
	}
	if _, err := c.Recover("00"); !errors.Is(err, ErrUnknown) {
		t.Errorf("recover what is not: %v", err)
	}
}

func request(t testing.TB, k *sm2.PrivateKey, subject string, names ...string) *x509.CertificateRequest {
	t.Helper()
	n, err := x509.ParseName(subject)
	if err != nil {
		t.Fatal(err)
	}
	san, err := x509.ParseNames(names)
	if err != nil {
		t.Fatal(err)
	}
	r := &x509.CertificateRequest{Subject: n}
	san.PutRequest(r)
	b, err := x509.CreateRequest(rand.Reader, r, k, "")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.ParseRequest(b)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// Serial numbers are taken as others write them.
func TestParseSerial(t *testing.T) {
	for text, want := range map[string]string{
		"0ab1": "0ab1", "0AB1": "0ab1", "ab1": "0ab1", "0xab1": "0ab1", "0X0AB1": "0ab1", "0A:B1": "0ab1", "00:0a:b1": "0ab1", "0": "00",
		"": "", "0x": "", "-1": "", "+ab": "", "1_0": "", "xyz": "", "0x0x1": "", "口": "", strings.Repeat("0", maxSerial+1): "",
	} {
		got, err := ParseSerial(text)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrSerial) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	c := newCA(t, options(t, true))
	r := subject(t, "CN=a")
	r.Profile, r.Dual, r.Keep = "dual", true, true
	out := issue(t, c, r)
	enc := x509.Serial(out.Encryption.SerialNumber)
	var colons []string
	for i := 0; i < len(enc); i += 2 {
		colons = append(colons, strings.ToUpper(enc[i:i+2]))
	}
	if _, err := c.Recover("0x" + strings.ToUpper(enc)); err != nil {
		t.Error(err)
	}
	if err := c.Revoke(1, "00:"+strings.Join(colons, ":")); err != nil {
		t.Error(err)
	}
	if err := c.Revoke(1, enc); !errors.Is(err, ErrRevoked) {
		t.Errorf("the same again: %v", err)
	}
	if err := c.Revoke(1, "serial"); !errors.Is(err, ErrSerial) {
		t.Errorf("no number: %v", err)
	}
}

func TestRevoke(t *testing.T) {
	c := newCA(t, options(t, true))
	a, b := issue(t, c, subject(t, "CN=a")), issue(t, c, subject(t, "CN=b"))
	at := func(out *Issued) string { return x509.Serial(out.Certificate.SerialNumber) }
	if err := c.Revoke(1, at(a), "00"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown one: %v", err)
	}
	if err := c.Revoke(1, at(a), at(a)); !errors.Is(err, ErrRevoked) {
		t.Errorf("twice at once: %v", err)
	}
	if err := c.Revoke(6, at(a)); err == nil {
		t.Error("certificateHold is taken")
	}
	if err := c.Revoke(1, at(a)); err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(1, at(a)); !errors.Is(err, ErrRevoked) {
		t.Errorf("twice: %v", err)
	}
	o := a.options()
	o.Revocation = true
	for _, issuer := range []string{Root, Intermediate} {
		var last int64
		for range 2 {
			der, err := c.CRL(issuer, 7)
			if err != nil {
				t.Fatal(err)
			}
			l, err := x509.ParseCRL(der)
			if err != nil {
				t.Fatal(err)
			}
			if n := l.Number.Int64(); n != last+1 {
				t.Errorf("%s: number %d after %d", issuer, n, last)
			}
			last = l.Number.Int64()
			rev, err := x509.NewRevocations(l, c.Certificate(issuer), "")
			if err != nil {
				t.Fatal(err)
			}
			o.CRLs = append(o.CRLs, rev)
		}
	}
	if _, err := x509.Verify(a.Certificate, o); !errors.Is(err, x509.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := x509.Verify(b.Certificate, o); err != nil {
		t.Errorf("the other: %v", err)
	}
	all, err := c.List()
	if err != nil || len(all) != 3 || all[1].Reason != 1 || all[1].Revoked == nil || all[2].Revoked != nil {
		t.Errorf("%v %v", all, err)
	}
	// The intermediate itself, in the root's list.
	if err := c.Revoke(2, all[0].Serial); err != nil {
		t.Fatal(err)
	}
	if der, err := c.CRL(Root, 7); err != nil {
		t.Fatal(err)
	} else if l, err := x509.ParseCRL(der); err != nil || len(l.RevokedCertificateEntries) != 1 {
		t.Errorf("root's list: %v", err)
	}
}

func TestPassword(t *testing.T) {
	o := options(t, true)
	o.Password = []byte("口令")
	c := newCA(t, o)
	issue(t, c, subject(t, "CN=a"))
	for name, p := range map[string]keys.Password{"wrong": func() ([]byte, error) { return []byte("x"), nil }, "none": nil} {
		c, err := Open(c.dir, p)
		if err != nil {
			t.Fatal(err)
		}
		want := keys.ErrPassword
		if p == nil {
			want = keys.ErrNeeded
		}
		if _, err := c.Issue(subject(t, "CN=a")); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.List(); err != nil {
			t.Errorf("%s: list: %v", name, err)
		}
	}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		s, err := d.Info()
		if err == nil && strings.HasSuffix(path, ".key") && s.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", path, s.Mode())
		}
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte("BEGIN PRIVATE KEY")) {
			t.Errorf("%s: in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(c.dir, "intermediate.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	var open *keys.OpenError
	if _, err := c.Issue(subject(t, "CN=a")); !errors.As(err, &open) {
		t.Errorf("a key that others may read: %v", err)
	}
}

func TestRefused(t *testing.T) {
	c := newCA(t, options(t, true))
	k, err := keys.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bad := *request(t, k, "CN=a")
	bad.Signature = append([]byte(nil), bad.Signature...)
	bad.Signature[len(bad.Signature)-1] ^= 1
	for name, r := range map[string]Request{
		"no name": {Profile: "server"}, "profile": {Profile: "x", Subject: subject(t, "CN=a").Subject}, "forged request": {Profile: "server", CSR: &bad},
		"too long":   {Profile: "server", Subject: subject(t, "CN=a").Subject, Days: 30 * 365},
		"negative":   {Profile: "server", Subject: subject(t, "CN=a").Subject, Days: -1},
		"pair of CA": {Profile: "ca", Subject: subject(t, "CN=a").Subject, Dual: true},
	} {
		if _, err := c.Issue(r); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if all, err := c.List(); err != nil || len(all) != 1 {
		t.Errorf("%d entries, %v", len(all), err)
	}
	if _, err := Init(c.dir, options(t, false)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another CA: %v", err)
	}
	if _, err := Open(t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), "anole gm ca init") {
		t.Errorf("no CA: %v", err)
	}
	if _, err := c.CRL("nobody", 1); err == nil {
		t.Error("a list of nobody")
	}
	// A key that is not the certificate's.
	if err := keys.Save(filepath.Join(c.dir, "intermediate.key"), k, nil, cheap); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Issue(subject(t, "CN=a")); err == nil {
		t.Error("signed with a key that is not the issuer's")
	}
}

func TestProfiles(t *testing.T) {
	c := newCA(t, options(t, false))
	path := filepath.Join(c.dir, "profiles.json")
	for text, want := range map[string]string{
		`[{"name":"x","days":1,"usages":["digital_signature"],"for":["email"]}]`:                                      "",
		`[{"name":"x","days":1,"usages":["digital_signature"],"form":["email"]}]`:                                     "form",
		`[{"name":"x","days":0,"usages":["digital_signature"]}]`:                                                      "days",
		`[{"name":"x","days":1,"usages":["sign"]}]`:                                                                   "sign",
		`[{"name":"x","days":1,"usages":[]}]`:                                                                         "usages",
		`[{"name":"x","days":1,"usages":["cert_sign"]}]`:                                                              "ca: true",
		`[{"name":"x","days":1,"usages":["digital_signature"],"for":["mail"]}]`:                                       "mail",
		`[{"name":"x","days":1,"usages":["digital_signature"]},{"name":"x","days":1,"usages":["digital_signature"]}]`: "twice",
		`[] []`: "behind",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(c.dir, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
