package x509

import (
	"bytes"
	"encoding/asn1"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/sm2"
)

// resigned is a certificate with another signature.
func resigned(t testing.TB, c *Certificate, signature []byte) []byte {
	t.Helper()
	var in, signed, algorithm cryptobyte.String
	s := cryptobyte.String(c.Raw)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Element(&signed, tag.SEQUENCE) || !in.ReadASN1Element(&algorithm, tag.SEQUENCE) {
		t.Fatal("not a certificate")
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return b.BytesOrPanic()
}

// TestSignatures takes none whose numbers are out of range or oddly written.
func TestSignatures(t *testing.T) {
	h := newHouse(t, "")
	var good struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(h.sign.cert.Signature, &good); err != nil {
		t.Fatal(err)
	}
	n := sm2.Curve().Params().N
	rs := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plus := func(a *big.Int) *big.Int { return new(big.Int).Add(a, n) }
	raw := h.sign.cert.Signature
	for name, sig := range map[string][]byte{
		"r = 0": rs(new(big.Int), good.S), "s = 0": rs(good.R, new(big.Int)), "both 0": rs(new(big.Int), new(big.Int)),
		"r = n": rs(n, good.S), "s = n": rs(good.R, n), "r + n": rs(plus(good.R), good.S), "s + n": rs(good.R, plus(good.S)),
		"-r": rs(new(big.Int).Neg(good.R), good.S), "-s": rs(good.R, new(big.Int).Neg(good.S)), "s - n": rs(good.R, new(big.Int).Sub(good.S, n)),
		"r + s = n": rs(good.R, new(big.Int).Sub(n, good.R)), "swapped": rs(good.S, good.R),
		"trailing": append(bytes.Clone(raw), 0), "long length": append([]byte{0x30, 0x81, raw[1]}, raw[2:]...),
		"a zero more": append([]byte{0x30, raw[1] + 1, 2, raw[3] + 1, 0}, raw[4:]...), "empty": {}, "truncated": raw[:len(raw)-1], "raw": append(good.R.Bytes(), good.S.Bytes()...),
		"huge numbers": rs(new(big.Int).Lsh(n, 4096), good.S),
	} {
		c, err := ParseCertificate(resigned(t, h.sign.cert, sig))
		if err != nil {
			continue // so much the better
		}
		for _, id := range ids {
			if CheckCertificate(c, h.inter.cert, id) != ErrSignature {
				t.Errorf("%s: taken", name)
			}
		}
		if _, err := Verify(c, h.options("")); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	if _, err := ParseCertificate(resigned(t, h.sign.cert, raw)); err != nil {
		t.Fatal(err)
	}
}

// TestKeys takes no certificate of a key that is none.
func TestKeys(t *testing.T) {
	h := newHouse(t, "")
	der := h.sign.cert.Raw
	at := bytes.Index(der, h.sign.cert.RawSubjectPublicKeyInfo) + len(h.sign.cert.RawSubjectPublicKeyInfo) - 65
	for name, change := range map[string]func([]byte){
		"off the curve": func(p []byte) { p[64] ^= 1 }, "zero": func(p []byte) { clear(p[1:]) }, "x over p": func(p []byte) { copy(p[1:33], bytes.Repeat([]byte{255}, 32)) },
		"hybrid": func(p []byte) { p[0] = 6 | p[64]&1 }, "infinity": func(p []byte) { clear(p) }, "compressed with 65 bytes": func(p []byte) { p[0] = 2 },
	} {
		bad := bytes.Clone(der)
		change(bad[at : at+65])
		if _, err := ParseCertificate(bad); err != ErrMalformed && err != ErrKey {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestForm takes nothing that is not one value of DER.
func TestForm(t *testing.T) {
	h := newHouse(t, "")
	der := h.sign.cert.Raw
	n := len(der) - 4
	for name, b := range map[string][]byte{
		"empty": nil, "trailing": append(bytes.Clone(der), 0), "longer length": append([]byte{0x30, 0x83, 0, byte(n >> 8), byte(n)}, der[4:]...),
		"indefinite": append(append([]byte{0x30, 0x80}, der[4:]...), 0, 0), "huge": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, "twice": append(bytes.Clone(der), der...),
	} {
		if _, err := ParseCertificate(b); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ReadCertificates(PEM(PEMCertificate, b)); err != ErrMalformed {
			t.Errorf("%s as PEM: %v", name, err)
		}
	}
	for i := range der {
		if _, err := ParseCertificate(der[:i]); err == nil {
			t.Fatalf("cut at %d: taken", i)
		}
		bad := bytes.Clone(der)
		bad[i] ^= 0x40
		if c, err := ParseCertificate(bad); err == nil {
			if _, err := Verify(c, h.options("")); err == nil {
				t.Errorf("byte %d changed: verified", i)
			}
		}
	}
	for _, b := range []string{"", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"} {
		if _, err := ReadCertificates([]byte(b)); err == nil {
			t.Errorf("%q: taken", b)
		}
	}
}
