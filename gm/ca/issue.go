package ca

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // an identifier, no more
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
)

// Request is what is asked for.
type Request struct {
	Profile string
	Dual    bool // a pair, though the profile is not for one
	// CSR asks for a certificate of its key. Its signature is checked under the standard
	// identity, or CSRID. Without one a key is made.
	CSR     *x509.CertificateRequest
	CSRID   string
	Subject pkix.Name  // in place of the CSR's, if it has a part
	Names   x509.Names // in place of the CSR's, if there is one
	Days    int        // of validity; 0 is the profile's
	Keep    bool       // keep the key of encryption, for Recover
}

// Issued is what was issued. Of a pair, the CA makes the key of encryption.
type Issued struct {
	Certificate *x509.Certificate
	Key         *sm2.PrivateKey // where there was no CSR
	Encryption  *x509.Certificate
	// The key of Encryption comes as EncryptionKey where there was no CSR, else as
	// Envelope of GB/T 35276 for the key of the CSR.
	EncryptionKey *sm2.PrivateKey
	Envelope      []byte
	Chain         []*x509.Certificate // the issuers', the root last
}

// Issue issues a certificate, or a pair.
func (c *CA) Issue(r Request) (*Issued, error) {
	p, err := find(c.profiles, r.Profile)
	if err != nil {
		return nil, err
	}
	if r.Dual && p.CA {
		return nil, errors.New("issue certificate: a CA has no pair")
	}
	key, err := c.key(c.Issuer())
	if err != nil {
		return nil, err
	}
	out := &Issued{Chain: c.Chain()}
	pub, err := out.subjectKey(&r)
	if err != nil {
		return nil, err
	}
	t, err := c.template(p, &r)
	if err != nil {
		return nil, err
	}
	err = c.locked(func(file *os.File, x *index) error {
		entries, err := c.sign(x, p, &r, t, pub, key, out)
		if err != nil {
			return err
		}
		return c.add(file, x, &record{Issue: entries})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// subjectKey takes the CSR's key, or makes one.
func (out *Issued) subjectKey(r *Request) (crypto.PublicKey, error) {
	if r.CSR == nil {
		k, err := keys.Generate(rng.Reader)
		if err != nil {
			return nil, err
		}
		out.Key = k
		return k.Public(), nil
	}
	if err := x509.CheckRequest(r.CSR, r.CSRID); err != nil {
		return nil, fmt.Errorf("check request: %w", err)
	}
	return r.CSR.PublicKey, nil
}

// template is what is the same of both halves of a pair. Of a CSR it has the subject, the
// names and nothing else.
func (c *CA) template(p *Profile, r *Request) (*x509.Certificate, error) {
	issuer := c.certs[c.Issuer()]
	begin, asked := now().Add(-back), r.Days > 0
	if begin.Before(issuer.NotBefore) {
		begin = issuer.NotBefore
	}
	days := p.Days
	if asked {
		days = r.Days
	}
	if r.Days < 0 || days > maxDays {
		return nil, fmt.Errorf("issue certificate: %w %d: must be 1 to %d", ErrDays, r.Days, maxDays)
	}
	t := &x509.Certificate{Subject: r.Subject, NotBefore: begin, NotAfter: now().AddDate(0, 0, days)}
	if t.NotAfter.After(issuer.NotAfter) {
		if asked {
			return nil, fmt.Errorf("issue certificate: %w %d: valid until %s, longer than its issuer, until %s: ask for fewer days", ErrDays, days, t.NotAfter.Format(time.DateOnly), issuer.NotAfter.Format(time.DateOnly))
		}
		t.NotAfter = issuer.NotAfter
	}
	if !t.NotAfter.After(now()) {
		return nil, errors.New("issue certificate: the issuer's certificate expired")
	}
	names := r.Names
	if r.CSR != nil {
		if len(r.Subject.ToRDNSequence()) == 0 {
			t.RawSubject = r.CSR.RawSubject
		}
		if names.Empty() {
			names = x509.Names{DNS: r.CSR.DNSNames, Emails: r.CSR.EmailAddresses, IPs: r.CSR.IPAddresses, URIs: r.CSR.URIs}
		}
	}
	if len(r.Subject.ToRDNSequence()) == 0 && (t.RawSubject == nil || bytes.Equal(t.RawSubject, []byte{0x30, 0})) {
		return nil, errors.New("issue certificate: the subject has no name")
	}
	names.Put(t)
	for _, name := range p.For {
		u, err := x509.ParseExtended(name)
		if err != nil {
			return nil, err
		}
		t.ExtKeyUsage = append(t.ExtKeyUsage, u)
	}
	if p.CA {
		t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	}
	if c.settings.CRLURL != "" {
		t.CRLDistributionPoints = []string{c.settings.CRLURL}
	}
	return t, nil
}

// sign makes what is asked for, and its entries.
func (c *CA) sign(x *index, p *Profile, r *Request, t *x509.Certificate, pub crypto.PublicKey, key *sm2.PrivateKey, out *Issued) ([]*Entry, error) {
	usage, err := x509.ParseUsages(p.Usages)
	if err != nil {
		return nil, err
	}
	dual := p.Dual || r.Dual
	holder, ours := pub.(*sm2.PublicKey)
	if dual && (!ours || !sm2.IsPublicKey(holder)) {
		return nil, errors.New("issue pair: the key of the request is not of SM2")
	}
	half := ""
	if dual {
		half = "sign"
	}
	if out.Certificate, err = c.create(x, t, usage, pub, key); err != nil {
		return nil, err
	}
	entries := []*Entry{entry(out.Certificate, c.Issuer(), p.Name, half)}
	if !dual {
		return entries, nil
	}
	secret, err := keys.Generate(rng.Reader)
	if err != nil {
		return nil, err
	}
	if out.Encryption, err = c.create(x, t, x509.ForEncryption, secret.Public(), key); err != nil {
		return nil, err
	}
	if r.CSR == nil {
		out.EncryptionKey = secret
	} else if out.Envelope, err = keys.Envelope(rng.Reader, holder, secret); err != nil {
		return nil, err
	}
	second := entry(out.Encryption, c.Issuer(), p.Name, "enc")
	if r.Keep {
		if second.Kept, err = c.keep(secret); err != nil {
			return nil, err
		}
	}
	return append(entries, second), nil
}

// create signs one certificate.
func (c *CA) create(x *index, t *x509.Certificate, usage x509.KeyUsage, pub crypto.PublicKey, key *sm2.PrivateKey) (*x509.Certificate, error) {
	one := *t
	one.KeyUsage = usage
	var err error
	if one.SerialNumber, err = serial(x); err != nil {
		return nil, err
	}
	if one.SubjectKeyId, err = keyID(pub); err != nil {
		return nil, err
	}
	b, err := x509.Create(rng.Reader, &one, c.certs[c.Issuer()], pub, key, c.settings.ID)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(b)
}

// serial gives 128 random bits that are not in the index.
func serial(x *index) (*big.Int, error) {
	for {
		var b [16]byte
		if _, err := rng.Read(b[:]); err != nil {
			return nil, fmt.Errorf("make serial number: %w", err)
		}
		n := new(big.Int).SetBytes(b[:])
		if n.Sign() > 0 && x.at[x509.Serial(n)] == nil {
			return n, nil
		}
	}
}

// keyID is RFC 5280's first method, SHA-1 of the key's bits: by it the tools of IMA find
// a key.
func keyID(pub crypto.PublicKey) ([]byte, error) {
	b, err := keys.MarshalPublic(pub)
	if err != nil {
		return nil, err
	}
	var in cryptobyte.String
	var bits []byte
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.SkipASN1(tag.SEQUENCE) || !in.ReadASN1BitStringAsBytes(&bits) {
		return nil, errors.New("make key ID: the key has no bits")
	}
	sum := sha1.Sum(bits) //nolint:gosec // as above
	return sum[:], nil
}

func entry(c *x509.Certificate, issuer, profile, half string) *Entry {
	return &Entry{Serial: x509.Serial(c.SerialNumber), Issuer: issuer, Profile: profile, Half: half, Subject: x509.Name(c.Subject), Issued: now(), NotAfter: c.NotAfter, DER: c.Raw}
}

// keep envelopes a key for escrow.key, whose public half is at hand without a password.
func (c *CA) keep(k *sm2.PrivateKey) ([]byte, error) {
	b, err := whole.Read(filepath.Join(c.dir, escrow+".pub"), maxSettings)
	if err != nil {
		return nil, err
	}
	pub, err := keys.ParsePublicFile(b)
	if err != nil {
		return nil, fmt.Errorf("read %s.pub: %w", escrow, err)
	}
	to, ok := pub.(*sm2.PublicKey)
	if !ok || !sm2.IsPublicKey(to) {
		return nil, fmt.Errorf("read %s.pub: it is not of SM2", escrow)
	}
	return keys.Envelope(rng.Reader, to, k)
}

// ErrUnknown is of a serial number that was not issued here.
var ErrUnknown = errors.New("no certificate of this serial number was issued here")

// Recover gives a key of encryption that was kept, by its certificate's serial number, as
// ParseSerial reads it.
func (c *CA) Recover(serial string) (*sm2.PrivateKey, error) {
	serial, err := ParseSerial(serial)
	if err != nil {
		return nil, fmt.Errorf("recover key: %w", err)
	}
	all, err := c.List()
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if e.Serial != serial {
			continue
		}
		if e.Kept == nil {
			return nil, errors.New("recover key: it was not kept")
		}
		k, err := c.key(escrow)
		if err != nil {
			return nil, err
		}
		return keys.OpenEnvelope(k, e.Kept)
	}
	return nil, fmt.Errorf("recover key: %s: %w", serial, ErrUnknown)
}
