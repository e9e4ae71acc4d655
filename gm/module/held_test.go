package module

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/x509"
)

// aModule is something that begins as modules do.
var aModule = append([]byte("\x7fELF"), bytes.Repeat([]byte("module"), 100)...)

// exits runs a verb that must end with an exit code.
func (s *shell) exits(want int, line string) (out, messages string) {
	s.t.Helper()
	out, messages, err := s.try(strings.Fields(line)...)
	if core.ExitCode(err) != want {
		s.t.Errorf("%s: exit %d, want %d: %v", line, core.ExitCode(err), want, err)
	}
	return out, messages
}

// writeList writes a revocation list, current for so long from an hour ago.
func writeList(t *testing.T, path string, ca *testpki.Entity, life time.Duration, who ...*testpki.Entity) {
	t.Helper()
	begin := time.Now().Add(-time.Hour)
	l := &x509.RevocationList{Number: ca.Certificate.SerialNumber, ThisUpdate: begin, NextUpdate: begin.Add(life)}
	for _, e := range who {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: e.Certificate.SerialNumber, RevocationTime: begin})
	}
	der, err := x509.CreateCRL(rand.Reader, l, ca.Certificate, ca.Key, "")
	if err != nil {
		t.Fatal(err)
	}
	save(t, path, x509.PEM(x509.PEMCRL, der))
}

// Certificates sign what they are for, and none that was revoked.
func TestSignersAreHeld(t *testing.T) {
	s := newShell(t)
	ca := testpki.New(t, "authority", testpki.SM2(t))
	ca.Write(t, ".", "ca")
	issue := func(name string, use ...smx509.ExtKeyUsage) *testpki.Entity {
		e := ca.Issue(t, name, testpki.SM2(t), func(c *smx509.Certificate) { c.ExtKeyUsage = use })
		e.Write(t, ".", name)
		return e
	}
	issue("server", smx509.ExtKeyUsageServerAuth)
	issue("mail", smx509.ExtKeyUsageEmailProtection)
	issue("code", smx509.ExtKeyUsageCodeSigning)
	issue("none")
	writeList(t, "gone.crl", ca, 24*time.Hour, issue("gone"))
	writeList(t, "old.crl", ca, time.Minute)
	s.write("text", "a letter")
	for name, want := range map[string]struct{ cms, code int }{"server": {3, 3}, "mail": {0, 3}, "code": {3, 0}, "none": {0, 0}, "gone": {0, 0}} {
		who := " --cert " + name + ".pem --key " + name + ".key "
		save(t, name+".ko", aModule)
		save(t, name+".efi", image())
		s.exits(0, "modsign sign"+who+name+".ko")
		s.exits(0, "uefi sign"+who+name+".efi")
		s.exits(0, "cms sign --out "+name+".p7m"+who+"text")
		s.exits(0, "cms encrypt --to none.pem --sign-cert "+name+".pem --sign-key "+name+".key --out "+name+".both text")
		for verb, want := range map[string]int{
			"cms verify --root ca.pem %.p7m": want.cms, "cms decrypt --key none.key --root ca.pem %.both": want.cms,
			"modsign verify --cert ca.pem --chain %.pem %.ko": want.code, "modsign verify --cert ca.pem --cert %.pem %.ko": want.code,
			"modsign verify --cert %.pem %.ko": 0, "modsign verify --cert ca.pem --chain %.pem --for any %.ko": 0, "uefi verify --cert ca.pem %.efi": want.code,
			"cms verify --root ca.pem --for any %.p7m": 0, "uefi verify --cert ca.pem --for any %.efi": 0,
			"cms verify --root %.pem %.p7m": 0, "uefi verify --cert %.pem %.efi": 0, "cms verify --no-chain %.p7m": 0,
		} {
			s.exits(want, strings.ReplaceAll(verb, "%", name))
		}
	}
	s.exits(3, "cms verify --root ca.pem --crl gone.crl gone.p7m")
	s.exits(3, "modsign verify --cert ca.pem --cert gone.pem --crl gone.crl gone.ko")
	s.exits(3, "modsign verify --cert ca.pem --need-crl --chain none.pem none.ko")
	s.exits(0, "modsign verify --cert ca.pem --need-crl --crl gone.crl --chain none.pem none.ko")
	s.exits(3, "uefi verify --cert ca.pem --crl gone.crl gone.efi")
	s.exits(0, "cms verify --root ca.pem --crl gone.crl --need-crl none.p7m")
	s.exits(0, "uefi verify --cert ca.pem --crl gone.crl --need-crl none.efi")
	s.exits(3, "cms verify --root ca.pem --need-crl none.p7m")
	s.exits(3, "uefi verify --cert ca.pem --need-crl none.efi")
	s.exits(3, "cms verify --root ca.pem --crl old.crl none.p7m")
	s.exits(3, "cert verify --root ca.pem --crl old.crl none.pem")
	s.exits(0, "cert verify --root ca.pem --crl old.crl --crl gone.crl none.pem")
	s.exits(2, "cms verify --root ca.pem --for tea none.p7m")
}

// A pair of the profile for messages signs and opens them.
func TestEmailProfile(t *testing.T) {
	s := newShell(t)
	s.exits(0, "ca init --dir ca --subject CN=root --no-pass")
	s.exits(0, "ca issue --dir ca --profile email --subject CN=zhang --out zhang --no-pass")
	s.write("text", "a letter")
	s.exits(0, "cms sign --cert zhang.crt --key zhang.key --out letter text")
	s.exits(0, "cms verify --root ca/root.crt --out read letter")
	s.exits(0, "cms encrypt --to zhang-enc.crt --out sealed text")
	s.exits(0, "cms decrypt --cert zhang-enc.crt --key zhang-enc.key --out opened sealed")
}

// Encrypting for a certificate that is not valid is a no, as for one that is for something
// else.
func TestEncryptVerbRefuses(t *testing.T) {
	s := newShell(t)
	ca := testpki.New(t, "authority", testpki.SM2(t))
	ca.Issue(t, "good", testpki.SM2(t)).Write(t, ".", "good")
	ca.Issue(t, "old", testpki.SM2(t), func(c *smx509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).Write(t, ".", "old")
	ca.Issue(t, "signs", testpki.SM2(t), func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageDigitalSignature }).Write(t, ".", "signs")
	s.write("text", "a letter")
	s.exits(0, "cms encrypt --to good.pem --out a text")
	s.exits(3, "cms encrypt --to good.pem --to old.pem --out b text")
	s.exits(3, "cms encrypt --to signs.pem --out b text")
	s.exits(3, "cms encrypt --to good.pem --at 2199-01-01 --out b text")
	if _, err := os.Stat("b"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a message was written all the same")
	}
	s.exits(0, "cms encrypt --to old.pem --at "+time.Now().Add(-30*time.Minute).UTC().Format(time.RFC3339)+" --out c text")
}

// A file that fails keeps none of the others from being done, and the worst comes out.
func TestBatchGoesOn(t *testing.T) {
	s := newShell(t)
	testpki.New(t, "authority", testpki.SM2(t)).Issue(t, "me", testpki.SM2(t)).Write(t, ".", "me")
	for _, name := range []string{"a.ko", "b.ko", "c.ko", "bare.ko"} {
		save(t, name, aModule)
	}
	const who = "--cert me.pem --key me.key "
	s.exits(0, "modsign sign "+who+"b.ko")
	_, messages := s.exits(1, "modsign sign "+who+"a.ko b.ko none.ko c.ko")
	if !strings.Contains(messages, "b.ko: modsign: the module is signed already") || !strings.Contains(messages, "none.ko: no such file") {
		t.Errorf("%q", messages)
	}
	s.exits(0, "modsign verify --cert me.pem a.ko b.ko c.ko")
	for line, want := range map[string]int{"bare.ko c.ko": 3, "none.ko bare.ko c.ko": 1, "bare.ko none.ko c.ko": 1} {
		out, _ := s.exits(want, "modsign verify --cert me.pem "+line)
		if strings.Count(out, "good") != 1 || !strings.Contains(out, "bare.ko") {
			t.Errorf("%s: %s", line, out)
		}
	}
	s.json = true
	out, _ := s.exits(1, "modsign verify --cert me.pem none.ko bare.ko c.ko")
	var r moduleReports
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.OK == nil || *r.OK || len(r.Modules) != 3 || r.Modules[0].Error == "" || len(r.Modules[2].Signatures) != 1 {
		t.Errorf("%s %v", out, err)
	}
	out, _ = s.exits(3, "modsign load --cert me.pem bare.ko")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.OK == nil || *r.OK || len(r.Modules) != 1 || r.Modules[0].Error != "modsign: the module is not signed" {
		t.Errorf("%s %v", out, err)
	}
	s.json = false
	if out, _ := s.exits(1, "modsign show none.ko c.ko"); !strings.Contains(out, "c.ko") {
		t.Errorf("%s", out)
	}
	s.exits(1, "modsign strip bare.ko none.ko a.ko c.ko")
	if !bytes.Equal(s.read("c.ko"), aModule) || !bytes.Equal(s.read("a.ko"), aModule) {
		t.Error("what comes behind was not done")
	}
	save(t, "a.efi", image())
	if out, _ := s.exits(1, "uefi hash none.efi me.pem a.efi"); !strings.Contains(out, "a.efi") {
		t.Errorf("%s", out)
	}
}

// With -o json there is a verdict, whatever is wrong, where it does not disturb.
func TestVerdictAlways(t *testing.T) {
	s := newShell(t)
	testpki.New(t, "authority", testpki.SM2(t)).Issue(t, "me", testpki.SM2(t)).Write(t, ".", "me")
	s.write("text", "a letter")
	save(t, "bare.efi", image())
	s.exits(0, "cms sign --cert me.pem --key me.key --out good text")
	s.exits(0, "cms sign --detached --cert me.pem --key me.key --out apart text")
	s.json = true
	for line, want := range map[string]struct {
		code       int
		ok, onErrs bool
		problem    string
	}{
		"cms verify --root me.pem good":         {0, true, false, ""},
		"cms verify --root me.pem --out - good": {0, true, true, ""},
		"cms verify --root me.pem text":         {3, false, false, "cms: malformed message"},
		"cms verify --root me.pem --out - text": {3, false, true, "cms: malformed message"},
		"cms verify --root me.pem apart":        {3, false, false, "cms: the message is without its content: give it"},
		"uefi verify --cert me.pem bare.efi":    {3, false, false, "authenticode: the image is not signed"},
		"uefi verify --cert me.pem text":        {3, false, false, ""},
	} {
		out, messages := s.exits(want.code, line)
		verdict := out
		if want.onErrs {
			verdict = messages
			if content := map[bool]string{true: "a letter"}[want.ok]; out != content {
				t.Errorf("%s: %q", line, out)
			}
		}
		var v signedVerdict
		if err := json.Unmarshal([]byte(verdict), &v); err != nil || v.OK != want.ok || want.problem != "" && v.Problem != want.problem || v.OK != (v.Problem == "") || v.Signatures == nil {
			t.Errorf("%s: %q %v", line, verdict, err)
		}
	}
}
