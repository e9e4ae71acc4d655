package x509

import (
	"crypto/rand"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/sm2"
)

// party is someone with a certificate.
type party struct {
	key  keys.Private
	cert *Certificate
}

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	k, err := keys.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var begin = time.Now().UTC().Truncate(time.Second).Add(-time.Hour)

func template(name string) *Certificate {
	return &Certificate{Subject: pkix.Name{CommonName: name, Organization: []string{"变色龙"}}, NotBefore: begin, NotAfter: begin.AddDate(1, 0, 0), KeyUsage: ForSigning}
}

func asCA(c *Certificate) *Certificate {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, KeyUsageCertSign|KeyUsageCRLSign
	return c
}

// sign makes a certificate; of issuer nil is itself.
func sign(t testing.TB, c *Certificate, key keys.Private, issuer *party, id string) *party {
	t.Helper()
	c.SerialNumber = serial(t)
	parent, by := c, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	b, err := Create(rand.Reader, c, parent, key.Public(), by, id)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ParseCertificate(b)
	if err != nil {
		t.Fatal(err)
	}
	return &party{key, cert}
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		t.Fatal(err)
	}
	return n.Add(n, big.NewInt(1))
}

// house is a root, an intermediate below it, and a pair.
type house struct{ root, inter, sign, enc *party }

func newHouse(t testing.TB, id string) *house {
	t.Helper()
	h := &house{root: sign(t, asCA(template("根")), newKey(t), nil, id)}
	h.inter = sign(t, asCA(template("intermediate")), newKey(t), h.root, id)
	h.sign = sign(t, template("server"), newKey(t), h.inter, id)
	enc := template("server")
	enc.KeyUsage = ForEncryption
	h.enc = sign(t, enc, newKey(t), h.inter, id)
	return h
}

func (h *house) options(id string) Options {
	return Options{Roots: []*Certificate{h.root.cert}, Intermediates: []*Certificate{h.inter.cert}, ID: id}
}

// ids are the standard identity and another, whose chains are found in another way.
var ids = []string{"", "alice@example.com"}

func bigInt(n int64) *big.Int { return big.NewInt(n) }
