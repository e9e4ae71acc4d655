// Package testpki makes certificates for tests.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/sm2"
)

// Entity is somebody with a key.
type Entity struct {
	Certificate *smx509.Certificate
	Key         crypto.Signer
}

// SM2 makes a key of SM2, for New and Issue.
func SM2(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// RSA makes a key of RSA with 2,048 bits.
func RSA(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// ECDSA makes a key on P-256.
func ECDSA(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// New makes an authority that signed itself.
func New(t testing.TB, name string, key crypto.Signer) *Entity {
	t.Helper()
	c := template(name)
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, smx509.KeyUsageCertSign|smx509.KeyUsageCRLSign
	return create(t, c, c, key, key)
}

// Issue makes an entity whose certificate e issued; change may alter what goes into it.
func (e *Entity) Issue(t testing.TB, name string, key crypto.Signer, change ...func(*smx509.Certificate)) *Entity {
	t.Helper()
	c := template(name)
	for _, f := range change {
		f(c)
	}
	return create(t, c, e.Certificate, key, e.Key)
}

func template(name string) *smx509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &smx509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: smx509.KeyUsageDigitalSignature | smx509.KeyUsageKeyEncipherment,
	}
}

func create(t testing.TB, c, parent *smx509.Certificate, key, by crypto.Signer) *Entity {
	t.Helper()
	der, err := smx509.CreateCertificate(rand.Reader, c, parent, key.Public(), by)
	if err != nil {
		t.Fatal(err)
	}
	made, err := smx509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Entity{made, key}
}

// Write writes NAME.pem and NAME.key, a certificate and a key of PKCS #8, into a folder.
func (e *Entity) Write(t testing.TB, dir, name string) (certificate, key string) {
	t.Helper()
	der, err := smx509.MarshalPKCS8PrivateKey(e.Key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	put(t, certificate, "CERTIFICATE", e.Certificate.Raw)
	put(t, key, "PRIVATE KEY", der)
	return certificate, key
}

func put(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
