package x509

import (
	"bytes"
	"testing"

	"github.com/anole-os/anole/gm/internal/issuers"
	"github.com/anole-os/anole/gm/sm2"
)

// Of an issuer that comes again the table is used, and it refuses as before.
func TestIssuersTable(t *testing.T) {
	h := newHouse(t, "")
	bad := *h.sign.cert
	bad.Signature = bytes.Clone(bad.Signature)
	bad.Signature[len(bad.Signature)-1] ^= 1
	before, _ := issuers.Stats()
	for i := range 5 {
		if err := CheckCertificate(h.sign.cert, h.inter.cert, ""); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if CheckCertificate(&bad, h.inter.cert, "") == nil || CheckCertificate(h.sign.cert, h.root.cert, "") == nil || CheckCertificate(h.sign.cert, h.inter.cert, "other") == nil {
			t.Errorf("%d: takes a wrong signature", i)
		}
	}
	after, _ := issuers.Stats()
	if sm2.Implementation() != "generic" && after-before < 10 {
		t.Errorf("%d hits of 20", after-before)
	}
}
