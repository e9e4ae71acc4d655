package policy_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/ca"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/kern/authenticode"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/kern/luks2"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/seal"
	"github.com/anole-os/anole/gm/sm9"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/gm/zuc"
)

// maker is an exported function that makes, takes in or believes something.
type maker struct {
	name string
	gm   bool // of ShangMi alone
	do   func() error
}

// Each exported function asks by itself, whoever calls it: in gm-only exactly what is of
// ShangMi works, and with intl all of it.
func TestMakers(t *testing.T) {
	all := makers(t)
	for _, mode := range []policy.Mode{policy.Intl, policy.Only} {
		c := policy.DefaultConfig()
		c.Mode = mode
		policytest.Set(t, c)
		for _, m := range all {
			err := m.do()
			if denied := mode == policy.Only && !m.gm; policy.Denied(err) != denied || !denied && err != nil {
				t.Errorf("%s, %s: %v", mode, m.name, err)
			}
		}
	}
}

func makers(t *testing.T) (all []maker) {
	t.Helper()
	all = append(all, keyMakers(t)...)
	all = append(all, certificateMakers(t)...)
	all = append(all, kernelMakers(t)...)
	return append(all,
		maker{"seal.NewWriter", true, func() error {
			_, err := seal.NewWriter(new(bytes.Buffer), seal.Options{Password: word, Iterations: 1000})
			return err
		}},
		maker{"sm9.NewSignMaster", true, func() error { _, err := sm9.NewSignMaster(); return err }},
		maker{"sm9.NewEncryptMaster", true, func() error { _, err := sm9.NewEncryptMaster(); return err }},
		maker{"zuc.New", true, func() error { _, err := zuc.New(word[:16], word[:16]); return err }},
		maker{"zuc.EIA", true, func() error { _, err := zuc.EIA(word[:16], zuc.Frame{}, word, 8); return err }},
		maker{"zuc.New256", false, func() error { _, err := zuc.New256(word[:32], word[:23]); return err }},
		maker{"zuc.MAC256", false, func() error { _, err := zuc.MAC256(word[:32], word[:23], 4, word, 8); return err }})
}

var word = bytes.Repeat([]byte("word"), 8)

var (
	gmFast  = keys.Encryption{Iterations: 1000}
	aes     = keys.Encryption{Cipher: keys.AES256, Iterations: 1000}
	sha     = keys.Encryption{PRF: keys.SHA256, Iterations: 1000}
	luksKDF = luks2.KDF{Iterations: 1000}
)

func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func keyMakers(t *testing.T) (all []maker) {
	t.Helper()
	k := must[keys.Private](t)(keys.New(rng.Reader, policy.SM2, 0))
	r := must[keys.Private](t)(keys.New(rng.Reader, policy.RSA, 2048))
	p := must[keys.Private](t)(keys.New(rng.Reader, policy.P256, 0))
	for _, alg := range []policy.Alg{policy.SM2, policy.P256, policy.Ed25519} {
		all = append(all, maker{"keys.New " + string(alg), alg == policy.SM2, func() error { _, err := keys.New(rng.Reader, alg, 0); return err }})
	}
	for name, e := range map[string]keys.Encryption{"SM4": gmFast, "AES": aes, "SHA-256": sha} {
		gm := name == "SM4"
		all = append(all,
			maker{"keys.EncryptPKCS8 " + name, gm, func() error { _, err := keys.EncryptPKCS8(rng.Reader, k, word, e); return err }},
			maker{"keys.MarshalPKCS12 " + name, gm, func() error {
				_, err := keys.MarshalPKCS12(rng.Reader, &keys.Bundle{Key: k}, word, e)
				return err
			}},
			maker{"keys.PEM " + name, gm, func() error { _, err := keys.PEM(k, word, e); return err }},
			maker{"keys.Save " + name, gm, func() error { return keys.Save(filepath.Join(t.TempDir(), "key"), k, word, e) }})
	}
	for name, key := range map[string]keys.Private{"SM2": k, "RSA": r, "P-256": p} {
		gm := name == "SM2"
		plain := must[[]byte](t)(keys.MarshalPKCS8(key))
		sealed := must[[]byte](t)(keys.EncryptPKCS8(rng.Reader, key, word, aes))
		bundle := must[[]byte](t)(keys.MarshalPKCS12(rng.Reader, &keys.Bundle{Key: key}, word, aes))
		all = append(all,
			maker{"keys.Parse " + name, gm, func() error { _, err := keys.Parse(plain, nil); return err }},
			maker{"keys.ParsePKCS8 " + name, gm, func() error { _, err := keys.ParsePKCS8(plain); return err }},
			maker{"keys.ParseEncryptedPKCS8 " + name, gm, func() error { _, err := keys.ParseEncryptedPKCS8(sealed, word); return err }},
			maker{"keys.ParsePKCS12 " + name, gm, func() error { _, err := keys.ParsePKCS12(bundle, word); return err }})
		if name == "RSA" {
			continue
		}
		sec1 := must[[]byte](t)(keys.MarshalSEC1(key))
		all = append(all, maker{"keys.ParseSEC1 " + name, gm, func() error { _, err := keys.ParseSEC1(sec1); return err }})
	}
	return all
}

func certificateMakers(t *testing.T) (all []maker) {
	t.Helper()
	name := pkix.Name{CommonName: "x"}
	for alg, key := range map[string]crypto.Signer{"SM2": testpki.SM2(t), "RSA": testpki.RSA(t), "ECDSA": testpki.ECDSA(t)} {
		gm := alg == "SM2"
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte("1234")}
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().AddDate(0, 1, 0)}
		all = append(all,
			maker{"x509.Create " + alg, gm, func() error { _, err := x509.Create(rng.Reader, c, c, key.Public(), key, ""); return err }},
			maker{"x509.CreateRequest " + alg, gm, func() error {
				_, err := x509.CreateRequest(rng.Reader, &x509.CertificateRequest{Subject: name}, key, "")
				return err
			}},
			maker{"x509.CreateCRL " + alg, gm, func() error { _, err := x509.CreateCRL(rng.Reader, list, c, key, ""); return err }})
	}
	for cipher, e := range map[string]keys.Encryption{"SM4": gmFast, "AES": aes, "SHA-256": sha} {
		all = append(all, maker{"ca.Init " + cipher, cipher == "SM4", func() error {
			dir := filepath.Join(t.TempDir(), "ca")
			_, err := ca.Init(dir, ca.Options{Name: name, Password: word, Encryption: e})
			if _, there := os.Stat(dir); there == nil && err != nil {
				t.Errorf("ca.Init %s leaves something", cipher)
			}
			return err
		}})
	}
	return all
}

func kernelMakers(t *testing.T) (all []maker) {
	t.Helper()
	format := func(o luks2.Options) (*luks2.Container, *luks2.Key, error) {
		o.DataOffset, o.Slot.KDF.Iterations = 2<<20, luksKDF.Iterations
		if o.Slot.KDF.Type != "" {
			o.Slot.KDF = luks2.KDF{Type: o.Slot.KDF.Type, Time: 4, Memory: 1024, CPUs: 1}
		}
		f := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "disk")))
		t.Cleanup(func() { f.Close() })
		if err := f.Truncate(3 << 20); err != nil {
			t.Fatal(err)
		}
		return luks2.Format(t.Context(), f, word, o)
	}
	for name, o := range map[string]luks2.Options{
		"SM4": {}, "AES": {Cipher: luks2.AESXTS}, "AES-128": {Cipher: luks2.AESXTS, KeySize: 32}, "digest": {Hash: "sha256"}, "slot": {Slot: luks2.SlotOptions{Cipher: luks2.AESXTS}},
		"slot's hash": {Slot: luks2.SlotOptions{Hash: "sha512"}}, "PBKDF2": {Slot: luks2.SlotOptions{KDF: luks2.KDF{Hash: "sha256"}}}, "argon2id": {Slot: luks2.SlotOptions{KDF: luks2.KDF{Type: "argon2id"}}},
	} {
		if name == "PBKDF2" {
			all = append(all, maker{"luks2.Format PBKDF2", false, o.Check})
			continue
		}
		all = append(all, maker{"luks2.Format " + name, name == "SM4", func() error { _, _, err := format(o); return err }})
	}
	for cipher, gm := range map[string]bool{luks2.SM4XTS: true, luks2.AESXTS: false} {
		c, key, err := format(luks2.Options{Cipher: cipher})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all,
			maker{"luks2.AddKey " + cipher, gm, func() error {
				_, err := c.AddKey(t.Context(), key, word, luks2.SlotOptions{KDF: luksKDF})
				return err
			}},
			maker{"luks2.Volume " + cipher, gm, func() error { _, err := c.Volume(key); return err }},
			maker{"luks2.Check " + cipher, gm, func() error { return c.Check(policy.Decrypt) }})
	}
	file := image()
	for _, h := range []cms.Hash{cms.SM3, cms.SHA256, cms.SHA384, cms.SHA512} {
		all = append(all, maker{"authenticode.Hash " + h.String(), h == cms.SM3, func() error { _, err := authenticode.Hash(file, h); return err }})
	}
	r := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	for _, a := range []ima.Algo{ima.SM3, ima.SHA256, ima.SHA512} {
		digest := make([]byte, a.Size())
		all = append(all,
			maker{"ima.Keyring.Verify " + a.String(), a == ima.SM3, func() error { return (&ima.Keyring{}).Verify(ima.DigestLabel(a, digest), digest) }},
			maker{"ima.NewSigner RSA " + a.String(), false, func() error { _, err := ima.NewSigner(r, a); return err }})
	}
	return all
}

// image is the least that is an executable of PE32+.
func image() []byte {
	b := make([]byte, 0x400)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[60:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x80+4:], 0x8664)
	le.PutUint16(b[0x80+20:], 240)
	at := 0x80 + 24
	le.PutUint16(b[at:], 0x20b)
	le.PutUint32(b[at+60:], 0x400)
	le.PutUint32(b[at+108:], 16)
	return b
}

// What is signed with SHA-1 the default policy denies, as it denies to believe it.
func TestWeakSignatures(t *testing.T) {
	policytest.Set(t, policy.DefaultConfig())
	key := testpki.RSA(t)
	name := pkix.Name{CommonName: "x"}
	for algorithm, denied := range map[x509.SignatureAlgorithm]bool{smx509.SHA1WithRSA: true, smx509.MD5WithRSA: true, smx509.SHA256WithRSA: false, smx509.SHA512WithRSAPSS: false, 0: false} {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, NotBefore: time.Now(), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: []byte("1234"), SignatureAlgorithm: algorithm}
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().AddDate(0, 1, 0), SignatureAlgorithm: algorithm}
		for what, do := range map[string]func() ([]byte, error){
			"certificate": func() ([]byte, error) { return x509.Create(rng.Reader, c, c, key.Public(), key, "") },
			"request": func() ([]byte, error) {
				return x509.CreateRequest(rng.Reader, &x509.CertificateRequest{Subject: name, SignatureAlgorithm: algorithm}, key, "")
			},
			"list": func() ([]byte, error) { return x509.CreateCRL(rng.Reader, list, c, key, "") },
		} {
			if b, err := do(); policy.Denied(err) != denied || (b == nil) != denied || !denied && err != nil {
				t.Errorf("%v, %s: %v", algorithm, what, err)
			}
		}
	}
}
