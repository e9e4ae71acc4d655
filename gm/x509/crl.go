package x509

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"math/big"
	"time"
)

// Extensions of RFC 5280, 4.2 and 5.2.
var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidDeltaCRL         = asn1.ObjectIdentifier{2, 5, 29, 27}
)

// What is wrong with a revocation list.
var (
	ErrCRLIssuer = errors.New("the revocation list is not from this issuer")
	ErrCRLForm   = errors.New("the revocation list is of a kind that is not understood: a delta, an indirect or a partial one")
	ErrCRLStale  = errors.New("the revocation list is not current")
)

// CheckCRL checks that a list was signed by an issuer, and that it is whole: not a delta,
// not of some reasons only. Whether it is current is not looked at.
func CheckCRL(l *RevocationList, issuer *Certificate, id string) error {
	if !bytes.Equal(l.RawIssuer, issuer.RawSubject) || issuer.KeyUsage != 0 && issuer.KeyUsage&KeyUsageCRLSign == 0 {
		return ErrCRLIssuer
	}
	for _, e := range l.Extensions {
		if e.Critical || e.Id.Equal(oidDeltaCRL) {
			return ErrCRLForm
		}
	}
	for _, entry := range l.RevokedCertificateEntries {
		for _, e := range entry.Extensions {
			if e.Critical {
				return ErrCRLForm
			}
		}
	}
	return check(issuer.PublicKey, l.SignatureAlgorithm, l.RawTBSRevocationList, l.Signature, id)
}

// Revocations is a list that was checked, to look certificates up in.
type Revocations struct {
	List   *RevocationList
	issuer *Certificate
	id     string
	at     map[string]int
}

// NewRevocations checks a list, as CheckCRL does.
func NewRevocations(l *RevocationList, issuer *Certificate, id string) (*Revocations, error) {
	if err := CheckCRL(l, issuer, id); err != nil {
		return nil, err
	}
	r := &Revocations{List: l, issuer: issuer, id: id, at: make(map[string]int, len(l.RevokedCertificateEntries))}
	for i := range l.RevokedCertificateEntries {
		r.at[string(l.RevokedCertificateEntries[i].SerialNumber.Bytes())] = i
	}
	return r, nil
}

// Lookup gives the entry of a serial number; nil where there is none.
func (r *Revocations) Lookup(serial *big.Int) *RevocationListEntry {
	if i, ok := r.at[string(serial.Bytes())]; ok {
		return &r.List.RevokedCertificateEntries[i]
	}
	return nil
}

// Current says with ErrCRLStale that a list was made later than now or that there should
// be a newer one.
func (r *Revocations) Current(now time.Time) error {
	if now.Before(r.List.ThisUpdate) || !r.List.NextUpdate.IsZero() && now.After(r.List.NextUpdate) {
		return ErrCRLStale
	}
	return nil
}

// of says whether the list is that of an issuer.
func (r *Revocations) of(issuer *Certificate) bool {
	return bytes.Equal(r.issuer.RawSubject, issuer.RawSubject) && bytes.Equal(r.issuer.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo)
}

// revoked looks a chain up in the lists.
func revoked(chain []*Certificate, o *Options, which string) error {
	for i, c := range chain[:len(chain)-1] {
		if i > 0 {
			which = Issuer
		}
		told, some := false, false
		for _, r := range o.CRLs {
			if !r.of(chain[i+1]) {
				continue
			}
			some = true
			// What a stale list says to be revoked stays so.
			if e := r.Lookup(c.SerialNumber); e != nil && !o.now().Before(e.RevocationTime) {
				return &Problem{which, ErrRevoked}
			}
			told = told || r.Current(o.now()) == nil
		}
		// Lists that are all too old are no answer: somebody may keep the newer one back.
		if (o.Revocation || some) && !told {
			return &Problem{which, ErrNotTold}
		}
	}
	return trustedRevoked(chain, o, which)
}

// trustedRevoked looks up the certificate that is trusted itself, where the list of who
// issued it is here: being trusted does not undo that it was revoked.
func trustedRevoked(chain []*Certificate, o *Options, which string) error {
	c := chain[len(chain)-1]
	if len(chain) > 1 {
		which = Issuer
	}
	for _, r := range o.CRLs {
		e := r.Lookup(c.SerialNumber)
		if e == nil || o.now().Before(e.RevocationTime) || !bytes.Equal(c.RawIssuer, r.issuer.RawSubject) {
			continue
		}
		if CheckCertificate(c, r.issuer, o.ID) == nil {
			return &Problem{which, ErrRevoked}
		}
	}
	return nil
}
