package x509

import (
	"errors"
	"slices"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/policy"
)

// What can be wrong with a certificate. A Problem says with which.
var (
	ErrExpired    = errors.New("expired")
	ErrEarly      = errors.New("is not valid yet")
	ErrUntrusted  = errors.New("is not from an issuer that is trusted")
	ErrUsage      = errors.New("is not for this use")
	ErrName       = errors.New("is for another name")
	ErrRevoked    = errors.New("was revoked")
	ErrNotTold    = errors.New("has no revocation list of its issuer that is current")
	ErrConstraint = errors.New("breaks a constraint of its chain, or has one that is not understood")
)

// Which certificate it is that a Problem is about.
const (
	Leaf       = "certificate"
	Signing    = "signing certificate"
	Encryption = "encryption certificate"
	Issuer     = "issuer's certificate"
)

// Problem is of a certificate that is not to be trusted. Its text is constant for Which
// and Err: it may be shown to the other side.
type Problem struct {
	Which string // Leaf, Signing, Encryption or Issuer
	Err   error  // ErrExpired, …
}

func (p *Problem) Error() string { return "the " + p.Which + " " + p.Err.Error() }

// Unwrap gives Err.
func (p *Problem) Unwrap() error { return p.Err }

// Options is what a certificate is held to.
type Options struct {
	Roots         []*Certificate // whoever they signed is trusted; the system's are not taken
	Intermediates []*Certificate
	Time          time.Time     // zero is now
	AnyTime       bool          // when certificates are valid is not asked; lists are still held to Time
	KeyUsage      KeyUsage      // the certificate must have one of these; 0 does not ask
	Usages        []ExtKeyUsage // one of which the chain must allow; none does not ask
	Name          string        // DNS name or IP address that it must be of; "" does not ask
	ID            string        // signers' identity; "" is the standard one
	// CRLs are looked at where there are any: of an issuer who has some here, one must be
	// current. With Revocation each certificate below the root needs one.
	CRLs       []*Revocations
	Revocation bool
}

func (o *Options) now() time.Time {
	if o.Time.IsZero() {
		return time.Now()
	}
	return o.Time
}

// valid says what is wrong with a certificate's time.
func (o *Options) valid(c *Certificate) error {
	if o.AnyTime {
		return nil
	}
	return valid(c, o.now())
}

// Verify checks a certificate and gives a chain from it to a root, all of whose keys and
// hashes policy.Default lets through. The error is a *Problem, or a *policy.DeniedError.
func Verify(c *Certificate, o Options) ([]*Certificate, error) { return verify(c, &o, Leaf) }

func verify(c *Certificate, o *Options, which string) ([]*Certificate, error) {
	if err := o.valid(c); err != nil {
		return nil, &Problem{which, err}
	}
	if o.KeyUsage != 0 && c.KeyUsage&o.KeyUsage == 0 {
		return nil, &Problem{which, ErrUsage}
	}
	if o.Name != "" && c.VerifyHostname(o.Name) != nil {
		return nil, &Problem{which, ErrName}
	}
	chains, err := chains(c, o, which)
	if err != nil {
		return nil, err
	}
	var first error
	for _, chain := range chains {
		err := revoked(chain, o, which)
		if err == nil {
			err = allowed(chain, o.ID)
		}
		if err == nil {
			return chain, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

// hashes are those of signatures; what is not here, the policy denies.
var hashes = map[SignatureAlgorithm]policy.Alg{
	smx509.SHA1WithRSA: policy.SHA1, smx509.ECDSAWithSHA1: policy.SHA1,
	smx509.SHA256WithRSA: policy.SHA256, smx509.SHA256WithRSAPSS: policy.SHA256, smx509.ECDSAWithSHA256: policy.SHA256,
	smx509.SHA384WithRSA: policy.SHA384, smx509.SHA384WithRSAPSS: policy.SHA384, smx509.ECDSAWithSHA384: policy.SHA384,
	smx509.SHA512WithRSA: policy.SHA512, smx509.SHA512WithRSAPSS: policy.SHA512, smx509.ECDSAWithSHA512: policy.SHA512, smx509.PureEd25519: policy.SHA512,
	SM2WithSM3: policy.SM3,
}

// allowed asks the policy about a chain. How its root was signed does not count.
func allowed(chain []*Certificate, id string) error {
	for i, c := range chain {
		if err := policy.CheckKey(policy.Verify, c.PublicKey, id); err != nil {
			return err
		}
		if i == len(chain)-1 {
			break
		}
		if err := policy.Check(policy.Hash, hashes[c.SignatureAlgorithm], policy.Params{}); err != nil {
			return err
		}
	}
	return nil
}

// CheckTime says with a *Problem of Which that a certificate is not valid at a time.
func CheckTime(c *Certificate, at time.Time, which string) error {
	if err := valid(c, at); err != nil {
		return &Problem{which, err}
	}
	return nil
}

func valid(c *Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return ErrEarly
	case now.After(c.NotAfter):
		return ErrExpired
	}
	return nil
}

// chains finds at least one chain.
func chains(c *Certificate, o *Options, which string) ([][]*Certificate, error) {
	if !standard(o.ID) {
		return identifiedChain(c, o, which)
	}
	now, meant := o.now(), func(c *Certificate) *Certificate { return c }
	if o.AnyTime {
		meant = ageless(now)
	}
	v := smx509.VerifyOptions{Roots: pool(o.Roots, meant), Intermediates: pool(o.Intermediates, meant), CurrentTime: now, KeyUsages: o.Usages}
	if len(v.KeyUsages) == 0 {
		v.KeyUsages = []ExtKeyUsage{ExtKeyUsageAny}
	}
	all, err := meant(c).Verify(v)
	if err != nil {
		return nil, problem(err, c, o, which)
	}
	// smx509 lets an SM2 key sign by ECDSA.
	var good [][]*Certificate
	for _, chain := range all {
		if o.own(chain, c); unmixed(chain) {
			good = append(good, chain)
		}
	}
	if len(good) == 0 {
		return nil, &Problem{which, ErrUntrusted}
	}
	return good, nil
}

// ageless makes copies of certificates that are valid at a time: there need be none at
// which all of a chain are, as where an issuer's was renewed after the other expired.
func ageless(now time.Time) func(*Certificate) *Certificate {
	return func(c *Certificate) *Certificate {
		one := *c
		one.NotBefore, one.NotAfter = now, now
		return &one
	}
}

// own puts the certificates that were given in the place of copies.
func (o *Options) own(chain []*Certificate, leaf *Certificate) {
	chain[0] = leaf
	for i, c := range chain[1:] {
		for _, p := range slices.Concat(o.Roots, o.Intermediates) {
			if p.Equal(c) {
				chain[i+1] = p
				break
			}
		}
	}
}

// unmixed says whether SM2's keys signed by SM2 with SM3 and others did not.
func unmixed(chain []*Certificate) bool {
	for i, c := range chain[:len(chain)-1] {
		if isSM2(chain[i+1].PublicKey) != (c.SignatureAlgorithm == SM2WithSM3) {
			return false
		}
	}
	return true
}

func pool(all []*Certificate, meant func(*Certificate) *Certificate) *smx509.CertPool {
	p := smx509.NewCertPool()
	for _, c := range all {
		p.AddCert(meant(c))
	}
	return p
}

// problem says what smx509 found.
func problem(err error, c *Certificate, o *Options, which string) error {
	if invalid, ok := errors.AsType[smx509.CertificateInvalidError](err); ok {
		if invalid.Cert != nil && !invalid.Cert.Equal(c) {
			which = Issuer
		}
		switch invalid.Reason {
		case smx509.Expired:
			if invalid.Cert != nil && o.now().Before(invalid.Cert.NotBefore) {
				return &Problem{which, ErrEarly}
			}
			return &Problem{which, ErrExpired}
		case smx509.IncompatibleUsage:
			return &Problem{which, ErrUsage}
		case smx509.NotAuthorizedToSign, smx509.NameMismatch:
			return &Problem{which, ErrUntrusted}
		}
		return &Problem{which, ErrConstraint}
	}
	if _, ok := errors.AsType[smx509.UnhandledCriticalExtension](err); ok {
		return &Problem{which, ErrConstraint}
	}
	if e := issuersTime(c, o); e != nil {
		return &Problem{Issuer, e}
	}
	return &Problem{which, ErrUntrusted}
}

// issuersTime tells of an issuer at hand that would do but for its time: smx509 then says
// only that there is none.
func issuersTime(c *Certificate, o *Options) error {
	for _, p := range append(append([]*Certificate(nil), o.Intermediates...), o.Roots...) {
		if string(p.RawSubject) == string(c.RawIssuer) && CheckCertificate(c, p, o.ID) == nil {
			return o.valid(p)
		}
	}
	return nil
}
