package cms_test

import (
	"bytes"
	"testing"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/issuers"
	"github.com/anole-os/anole/gm/sm2"
)

// Of a signer that comes again the table is used, and it refuses as before.
func TestSignersTable(t *testing.T) {
	p := makePeople(t)
	content := []byte("content")
	der, err := cms.Sign(bytes.NewReader(content), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := issuers.Stats()
	for i := range 5 {
		if _, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots(), Content: bytes.NewReader(content)}); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		if _, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots(), Content: bytes.NewReader(content[1:])}); err == nil {
			t.Errorf("%d: takes another content", i)
		}
		bad := bytes.Clone(der)
		bad[len(bad)-1] ^= 1
		if _, err := cms.Verify(bad, cms.VerifyOptions{Roots: p.roots(), Content: bytes.NewReader(content)}); err == nil {
			t.Errorf("%d: takes a signature that was changed", i)
		}
	}
	after, _ := issuers.Stats()
	if sm2.Implementation() != "generic" && after-before < 6 {
		t.Errorf("%d hits", after-before)
	}
}
