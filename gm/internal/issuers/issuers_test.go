package issuers

import (
	"testing"

	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
)

// What comes again is a hit, and a hit refuses what a miss does.
func TestVerify(t *testing.T) {
	k, err := sm2.GenerateKey(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, msg := []byte(sm2.DefaultID), []byte("signed")
	sig, err := sm2.NewSigner(k).SignWithID(rng.Reader, id, msg)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := Stats()
	for range 4 {
		if err := VerifyMessage(&k.PublicKey, id, msg, sig); err != nil {
			t.Fatal(err)
		}
		if VerifyMessage(&k.PublicKey, id, msg[1:], sig) == nil || VerifyMessage(&k.PublicKey, id[1:], msg, sig) == nil {
			t.Fatal("takes a signature of something else")
		}
		bad := append([]byte(nil), sig...)
		bad[len(bad)-1] ^= 1
		if VerifyMessage(&k.PublicKey, id, msg, bad) == nil {
			t.Fatal("takes a signature that was changed")
		}
	}
	e, err := sm2.Digest(&k.PublicKey, id, msg)
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(&k.PublicKey, e, sig); err != nil {
		t.Error(err)
	}
	if hits, _ := Stats(); sm2.Implementation() != "generic" && hits < before+11 {
		t.Errorf("%d hits of 17", hits-before)
	}
}
