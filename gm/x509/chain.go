package x509

import "slices"

// Bounds of a search for a chain among foreign certificates.
const (
	maxChain      = 10
	maxSignatures = 100
)

// search looks for a chain whose signatures are under another identity than the standard
// one, which smx509 cannot check. It knows RFC 5280's basic constraints, usages and
// times, and refuses what it does not know: constraints on names and policies.
type search struct {
	o      *Options
	left   int   // signatures that may still be checked
	failed error // the last *Problem that kept a chain from being one
}

func identifiedChain(c *Certificate, o *Options, which string) ([][]*Certificate, error) {
	if len(c.UnhandledCriticalExtensions) > 0 {
		return nil, &Problem{which, ErrConstraint}
	}
	if !allows(c, o.Usages) {
		return nil, &Problem{which, ErrUsage}
	}
	s := search{o: o, left: maxSignatures}
	if chain := s.from([]*Certificate{c}); chain != nil {
		return [][]*Certificate{chain}, nil
	}
	if s.failed != nil {
		return nil, s.failed
	}
	return nil, &Problem{which, ErrUntrusted}
}

// from goes on at the end of a chain.
func (s *search) from(chain []*Certificate) []*Certificate {
	last := chain[len(chain)-1]
	for _, r := range s.o.Roots {
		if r.Equal(last) {
			return chain
		}
	}
	if len(chain) == maxChain {
		return nil
	}
	for _, pool := range [][]*Certificate{s.o.Roots, s.o.Intermediates} {
		for _, p := range pool {
			if string(p.RawSubject) != string(last.RawIssuer) || slices.ContainsFunc(chain, p.Equal) || s.left == 0 {
				continue
			}
			s.left--
			if CheckCertificate(last, p, s.o.ID) != nil {
				continue
			}
			if err := s.issuer(p, len(chain)-1); err != nil {
				s.failed = &Problem{Issuer, err}
				continue
			}
			if found := s.from(append(slices.Clone(chain), p)); found != nil {
				return found
			}
		}
	}
	return nil
}

// issuer checks a certificate that signs, with so many of issuers below it.
func (s *search) issuer(p *Certificate, below int) error {
	if err := s.o.valid(p); err != nil {
		return err
	}
	switch {
	case !p.BasicConstraintsValid || !p.IsCA, p.KeyUsage != 0 && p.KeyUsage&KeyUsageCertSign == 0:
		return ErrUsage
	case !allows(p, s.o.Usages):
		return ErrUsage
	case p.MaxPathLen > 0 && below > p.MaxPathLen, p.MaxPathLenZero && below > 0:
		return ErrConstraint
	case len(p.UnhandledCriticalExtensions) > 0, p.PermittedDNSDomainsCritical:
		return ErrConstraint
	}
	for _, e := range p.Extensions {
		if e.Critical && !e.Id.Equal(oidBasicConstraints) && !e.Id.Equal(oidKeyUsage) && !e.Id.Equal(oidExtKeyUsage) {
			return ErrConstraint
		}
		if e.Id.Equal(oidNameConstraints) {
			return ErrConstraint
		}
	}
	return nil
}

// allows says whether a certificate is for one of the usages.
func allows(c *Certificate, usages []ExtKeyUsage) bool {
	if len(usages) == 0 || len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true
	}
	for _, u := range usages {
		if u == ExtKeyUsageAny || slices.Contains(c.ExtKeyUsage, u) {
			return true
		}
	}
	return slices.Contains(c.ExtKeyUsage, ExtKeyUsageAny)
}
