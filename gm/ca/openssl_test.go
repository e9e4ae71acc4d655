package ca

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/gm/internal/peer"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
)

// TestOpenSSL has OpenSSL verify, as strictly as it can, what a CA issues.
func TestOpenSSL(t *testing.T) {
	peer.EachOpenSSL(t, func(t *testing.T, o peer.OpenSSL) {
		c := newCA(t, options(t, true))
		dir := t.TempDir()
		put := func(name string, b []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		root := put("root", x509.PEM(x509.PEMCertificate, c.Certificate(Root).Raw))
		inter := put("inter", x509.PEM(x509.PEMCertificate, c.Certificate(Intermediate).Raw))
		var files []string
		for _, p := range c.Profiles() {
			r := subject(t, "C=CN,O=变色龙,CN=a.example")
			r.Profile = p.Name
			var err error
			if r.Names, err = x509.ParseNames([]string{"a.example", "10.0.0.1"}); err != nil {
				t.Fatal(err)
			}
			out := issue(t, c, r)
			files = append(files, put(p.Name, x509.PEM(x509.PEMCertificate, out.Certificate.Raw)))
			if out.Encryption != nil {
				files = append(files, put(p.Name+"-enc", x509.PEM(x509.PEMCertificate, out.Encryption.Raw)))
			}
		}
		revoked := issue(t, c, subject(t, "CN=gone"))
		gone := put("gone", x509.PEM(x509.PEMCertificate, revoked.Certificate.Raw))
		if err := c.Revoke(1, x509.Serial(revoked.Certificate.SerialNumber)); err != nil {
			t.Fatal(err)
		}
		var lists [][]byte
		for _, issuer := range []string{Root, Intermediate} {
			der, err := c.CRL(issuer, 30)
			if err != nil {
				t.Fatal(err)
			}
			lists = append(lists, der)
		}
		crls := put("crls", x509.PEM(x509.PEMCRL, lists...))
		distid := "distid:" + sm2.DefaultID
		if o.Release != "4.0" { // it gives the identity to the last certificate alone
			o.Run(t, append([]string{"verify", "-x509_strict", "-vfyopt", distid, "-partial_chain", "-trusted", inter}, files...)...)
			return
		}
		args := []string{"verify", "-x509_strict", "-check_ss_sig", "-CAfile", root, "-untrusted", inter, "-crl_check_all", "-CRLfile", crls}
		o.Run(t, append(args, files...)...)
		if _, err := o.Try(append(args, gone)...); err == nil || !strings.Contains(err.Error(), "certificate revoked") {
			t.Errorf("a revoked one: %v", err)
		}
		for profile, purpose := range map[string]string{"server": "sslserver", "client": "sslclient", "dual": "sslserver", "code-signing": "codesign"} {
			o.Run(t, append(args, "-purpose", purpose, filepath.Join(dir, profile))...)
		}
		if _, err := o.Try(append(args, "-purpose", "sslserver", filepath.Join(dir, "client"))...); err == nil {
			t.Error("a client's certificate is taken for a server")
		}
	})
}
