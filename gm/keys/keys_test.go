package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs8"
	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/sm2"
)

var fast = Encryption{Iterations: 1000}

func must(t testing.TB) func(b []byte, err error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestRoundTrips(t *testing.T) {
	k, ok := newKey(t), must(t)
	for name, b := range map[string][]byte{
		"PKCS#8": ok(MarshalPKCS8(k)), "SEC1": ok(MarshalSEC1(k)),
		"PBES2":   ok(EncryptPKCS8(rand.Reader, k, []byte(secret), fast)),
		"PKCS#12": ok(MarshalPKCS12(rand.Reader, &Bundle{Key: k}, []byte(secret), fast)),
		"PEM":     ok(PEM(k, []byte(secret), fast)),
	} {
		if got, err := Parse(b, known(secret)); err != nil || !k.Equal(got) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(ok(MarshalSEC1(p)), nil); err != nil || !p.Equal(got) {
		t.Errorf("P-256 as SEC1: %v", err)
	}
}

// TestGMSM reads and writes what another implementation of GM/T 0091 does.
func TestGMSM(t *testing.T) {
	k := newKey(t)
	for name, e := range map[string]pkcs.PBESEncrypter{
		"PBES2":     pkcs.NewPBESEncrypter(pkcs.SM4CBC, pkcs.NewPBKDF2Opts(pkcs.SM3, 16, 2000)),
		"GM/T 0091": pkcs.NewSMPBESEncrypter(16, 2000),
	} {
		b, err := pkcs8.MarshalPrivateKey(k, []byte(secret), e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseEncryptedPKCS8(b, []byte(secret)); err != nil || !k.Equal(got) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := pkcs8.ParsePKCS8PrivateKeySM2(must(t)(EncryptPKCS8(rand.Reader, k, []byte(secret), fast)), []byte(secret))
	if err != nil || !k.Equal(got) {
		t.Errorf("ours: %v", err)
	}
}

func TestEnvelope(t *testing.T) {
	to, k := newKey(t), newKey(t)
	b := must(t)(Envelope(rand.Reader, &to.PublicKey, k))
	if got, err := OpenEnvelope(to, b); err != nil || !k.Equal(got) {
		t.Fatal(err)
	}
	if _, err := OpenEnvelope(k, b); err != ErrInvalid {
		t.Errorf("with another key: %v", err)
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := OpenEnvelope(to, bad); err == nil {
			t.Errorf("byte %d changed: taken", i)
		}
		if _, err := OpenEnvelope(to, b[:i]); err == nil {
			t.Errorf("cut at %d: taken", i)
		}
	}
}

// sec1 writes an ECPrivateKey.
func sec1(scalar, point []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1OctetString(scalar)
		b.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidSM2) })
		if point != nil {
			b.AddASN1(tag.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1BitString(point) })
		}
	})
	return b.BytesOrPanic()
}

func spki(point []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidECPublicKey)
			b.AddASN1ObjectIdentifier(oidSM2)
		})
		b.AddASN1BitString(point)
	})
	return b.BytesOrPanic()
}

func info8(key []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidECPublicKey)
			b.AddASN1ObjectIdentifier(oidSM2)
		})
		b.AddASN1OctetString(key)
	})
	return b.BytesOrPanic()
}

func TestScalars(t *testing.T) {
	n := sm2.Curve().Params().N
	less := func(d int64) []byte { return new(big.Int).Sub(n, big.NewInt(d)).FillBytes(make([]byte, 32)) }
	for _, c := range []struct {
		name   string
		scalar []byte
		ok     bool
	}{
		{"1", big.NewInt(1).FillBytes(make([]byte, 32)), true},
		{"n-2", less(2), true},
		{"n-1", less(1), false},
		{"n", less(0), false},
		{"n+1", less(-1), false},
		{"0", make([]byte, 32), false},
		{"2^256-1", bytes.Repeat([]byte{255}, 32), false},
		{"too short", []byte{1}, false},
		{"too long", append([]byte{0}, less(2)...), false},
		{"none", []byte{}, false},
	} {
		for form, b := range map[string][]byte{"SEC1": sec1(c.scalar, nil), "PKCS#8": info8(sec1(c.scalar, nil))} {
			if _, err := Parse(b, nil); (err == nil) != c.ok || err != nil && err != ErrInvalid {
				t.Errorf("%s as %s: %v", c.name, form, err)
			}
		}
	}
}

func TestPoints(t *testing.T) {
	k := newKey(t)
	good, err := k.PublicKey.Bytes()
	if err != nil {
		good = elliptic.Marshal(k.Curve, k.X, k.Y) //nolint:staticcheck // crypto/ecdsa does not know the curve
	}
	off := bytes.Clone(good)
	off[64] ^= 1
	hybrid := bytes.Clone(good)
	hybrid[0] = 6 | good[64]&1
	over := bytes.Clone(good)
	copy(over[1:33], bytes.Repeat([]byte{255}, 32))
	other, err := newKey(t).PublicKey.Bytes()
	if err != nil {
		other = bytes.Clone(good)
		q := newKey(t)
		copy(other, elliptic.Marshal(q.Curve, q.X, q.Y)) //nolint:staticcheck // as above
	}
	scalar := k.D.FillBytes(make([]byte, 32))
	bad := map[string][]byte{"off the curve": off, "at infinity": {0}, "all zero": make([]byte, 65), "zero behind 04": append([]byte{4}, make([]byte, 64)...),
		"hybrid": hybrid, "x over p": over, "cut": good[:64], "longer": append(bytes.Clone(good), 0), "empty": {}}
	for name, p := range bad {
		if _, err := ParsePublic(spki(p)); err == nil {
			t.Errorf("public key %s: taken", name)
		}
		if name == "empty" {
			continue // then there is no public part
		}
		if _, err := ParseSEC1(sec1(scalar, p)); err == nil {
			t.Errorf("private key whose point is %s: taken", name)
		}
	}
	if _, err := ParseSEC1(sec1(scalar, other)); err != ErrInvalid {
		t.Errorf("halves that do not fit: %v", err)
	}
	if _, err := ParseSEC1(sec1(scalar, good)); err != nil {
		t.Error(err)
	}
	for _, p := range [][]byte{good, elliptic.MarshalCompressed(k.Curve, k.X, k.Y)} {
		if got, err := ParsePublic(spki(p)); err != nil || !Equal(got, k.Public()) {
			t.Errorf("%x: %v", p, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	k, ok := newKey(t), must(t)
	p8 := ok(MarshalPKCS8(k))
	long := append([]byte{0x30, 0x82, 0, byte(len(p8) - 3)}, p8[3:]...) // its length in two bytes where one does
	for name, b := range map[string][]byte{
		"empty": nil, "trailing": append(bytes.Clone(p8), 0), "long length": long, "huge": {0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, "too large": make([]byte, MaxSize+1),
		"PEM of nothing": []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), "certificate": []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"),
		"RFC 1423": []byte("-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\nMAA=\n-----END EC PRIVATE KEY-----\n"),
	} {
		if _, err := Parse(b, known(secret)); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{p8, ok(MarshalSEC1(k)), ok(EncryptPKCS8(rand.Reader, k, []byte(secret), fast)), ok(MarshalPKCS12(rand.Reader, &Bundle{Key: k}, []byte(secret), fast))} {
		for i := range b {
			if _, err := Parse(b[:i], known(secret)); err == nil {
				t.Fatalf("cut at %d: taken", i)
			}
		}
	}
	// Every changed byte of a file with a MAC is seen.
	b := ok(MarshalPKCS12(rand.Reader, &Bundle{Key: k}, []byte(secret), Encryption{Iterations: 1000, PRF: SHA256}))
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 0x10
		if got, err := ParsePKCS12(bad, []byte(secret)); err == nil && !k.Equal(got.Key) {
			t.Errorf("byte %d changed: another key", i)
		}
	}
}

func TestWork(t *testing.T) {
	b := must(t)(EncryptPKCS8(rand.Reader, newKey(t), []byte(secret), fast))
	i := bytes.Index(b, []byte{2, 2, 3, 0xe8})
	bad := bytes.Clone(b)
	copy(bad[i:], []byte{2, 2, 0x7f, 0xff})
	left := budget(10_000)
	if _, err := parseEncrypted(bad, []byte(secret), &left); err != ErrWork {
		t.Errorf("too many iterations: %v", err)
	}
	// PKCS#12 asks three times: for the MAC, the certificates and the key.
	p12 := must(t)(MarshalPKCS12(rand.Reader, &Bundle{Key: newKey(t), Certificates: [][]byte{{0x30, 0}}}, []byte(secret), fast))
	for n, want := range map[budget]error{999: ErrWork, 1999: ErrWork, 2999: ErrWork, 3000: nil} {
		if _, err := parsePKCS12(p12, []byte(secret), &n); err != want {
			t.Errorf("%d iterations in all: %v", n, err)
		}
	}
	huge := append(bytes.Clone(p12[:len(p12)-4]), 2, 2, 0x7f, 0xff)
	left = 10_000
	if _, err := parsePKCS12(huge, []byte(secret), &left); err != ErrWork {
		t.Errorf("too many iterations of the MAC: %v", err)
	}
	for _, n := range []int{1, 999, MaxIterations + 1, -1} {
		if _, err := EncryptPKCS8(rand.Reader, newKey(t), nil, Encryption{Iterations: n}); err == nil {
			t.Errorf("%d iterations are written", n)
		}
	}
}

func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.pem")
	k := newKey(t)
	if err := Save(path, k, nil, Encryption{}); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path, nil); err != nil || !k.Equal(got) {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, nil)
	var open *OpenError
	if !errors.As(err, &open) || !k.Equal(got) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that all may read: %v", err)
	}
}

// TestKDF12 holds the derivation to OpenSSL's.
func TestKDF12(t *testing.T) {
	// Computed by OpenSSL 3.0: kdf -keylen 32 -kdfopt digest:SHA256 … PKCS12KDF.
	got := kdf12(digestHash(oidSHA256), bmp([]byte("smeg")), []byte{0x0a, 0x58, 0xcf, 0x64, 0x53, 0x0d, 0x82, 0x3f}, 3)
	if len(got) != 32 || hex.EncodeToString(got) != "7e9ac472ca5cd7caa9256a171cae16bb0ade4deab4c52e40a8110b138ecbed7e" {
		t.Errorf("%x", got)
	}
}
