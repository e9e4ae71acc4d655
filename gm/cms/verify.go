package cms

import (
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/x509"
)

// VerifyOptions say what a signature must be like. The zero value trusts nobody.
type VerifyOptions struct {
	Content      io.Reader      // of a detached message
	Roots        []*Certificate // that are trusted: signers' own, or of those who issued them
	Certificates []*Certificate // that the message may be without
	Unchained    bool           // whose the certificates are is not asked: only what was signed with their keys
	ID           string         // the identity of signers with SM2; "" is sm2.DefaultID
	Plain        bool           // SM2 without attributes covers the content's SM3 alone
	Any          bool           // one good signature is enough
	Time         time.Time      // when certificates must be valid; zero is now
	AnyTime      bool           // when they are valid is not asked
	// Usages are those one of which a signer's certificate must be for, where it says for
	// what it is. One that is among the Roots, and was issued by none of the others, is not
	// asked. None is email protection, as S/MIME has it; x509.ExtKeyUsageAny does not ask.
	Usages []x509.ExtKeyUsage
	// CRLs are looked at where there are any: of an issuer who has some here, one must be
	// current. With Revocation each certificate below the root needs one.
	CRLs       []*x509.Revocations
	Revocation bool
}

// Report is what came out.
type Report struct {
	Content []byte // of the message, nil for a detached one
	Signers []SignerReport
}

// SignerReport is what came out about one signer.
type SignerReport struct {
	*SignerInfo
	Certificate *Certificate // nil where it is not there
	Err         error        // nil: the signature is good
}

// Verify reads a signed message and checks its signatures. Where it gives a Report beside
// an error, that tells which of the signers are at fault.
func Verify(message []byte, o VerifyOptions) (*Report, error) {
	m, err := Parse(message)
	if err != nil {
		return nil, err
	}
	return m.Verify(o)
}

// Verify checks the signatures of a signed message.
func (m *Message) Verify(o VerifyOptions) (*Report, error) {
	switch {
	case m.Kind != Signed:
		return nil, ErrKind
	case m.Detached && o.Content == nil:
		return nil, ErrDetached
	case !m.Detached && o.Content != nil:
		return nil, ErrAttached
	case !m.Detached:
		o.Content = bytes.NewReader(m.Content)
	}
	r, err := m.check(o)
	if r != nil {
		r.Content = m.Content
	}
	return r, err
}

// candidate is a certificate that a signer may have meant.
type candidate struct {
	certificate *Certificate
	sum         hash.Hash // of the content, with what goes before it
	plain       hash.Hash // where sum has Z, the hash without
}

// maxCandidates bounds what two certificates of one issuer and number make us do.
const maxCandidates = 4

// check hashes o.Content, once, and checks each signer.
func (m *Message) check(o VerifyOptions) (*Report, error) {
	if len(m.Signers) == 0 {
		return nil, ErrNoSigner
	}
	content := &contentHash{}
	tries := make([][]candidate, len(m.Signers))
	for i := range m.Signers {
		tries[i] = m.candidates(&m.Signers[i], content, o)
	}
	if _, err := io.Copy(content, o.Content); err != nil {
		return nil, fmt.Errorf("read content: %w", err)
	}
	r := &Report{}
	var first error
	good := 0
	for i := range m.Signers {
		s := SignerReport{SignerInfo: &m.Signers[i], Err: ErrNoCertificate}
		if s.kind == 0 {
			s.Err = ErrUnsupported
		}
		for n, c := range tries[i] {
			err := m.checkSigner(s.SignerInfo, c, content, o)
			if n == 0 || err == nil {
				s.Certificate, s.Err = c.certificate, err
			}
			if err == nil {
				good++
				break
			}
		}
		if first == nil {
			first = s.Err
		}
		r.Signers = append(r.Signers, s)
	}
	if o.Any && good > 0 {
		return r, nil
	}
	return r, first
}

// candidates finds certificates, those that the caller knows first, and has the content
// hashed for each.
func (m *Message) candidates(s *SignerInfo, content *contentHash, o VerifyOptions) (out []candidate) {
	if s.kind == 0 {
		return nil
	}
	var seen []*Certificate
	for _, list := range [][]*Certificate{o.Roots, o.Certificates, m.Certificates} {
		for _, c := range list {
			if !s.is(c) || len(seen) == maxCandidates || contains(seen, c) {
				continue
			}
			seen = append(seen, c)
			one := candidate{certificate: c, sum: content.with(s.Hash)}
			if !s.Attributes && s.kind == kindSM2 && !o.Plain {
				one.plain = one.sum
				one.sum = content.withZ(c.PublicKey, o.ID)
			}
			out = append(out, one)
		}
	}
	return out
}

func contains(list []*Certificate, c *Certificate) bool {
	for _, v := range list {
		if v.Equal(c) {
			return true
		}
	}
	return false
}

func (m *Message) checkSigner(s *SignerInfo, c candidate, content *contentHash, o VerifyOptions) error {
	pub := c.certificate.PublicKey
	if c.sum == nil || kindOf(pub) != s.kind {
		return ErrSignature
	}
	if err := permitted(policy.Verify, pub, s.Hash, o.ID); err != nil {
		return err
	}
	sum := c.sum.Sum(nil)
	switch {
	case s.Attributes:
		if !s.contentType.Equal(m.ContentType) || !bytes.Equal(s.digest, sum) {
			return ErrDigest
		}
		h := &contentHash{}
		covered := h.with(s.Hash)
		if s.kind == kindSM2 {
			covered = h.withZ(pub, o.ID)
		}
		_, _ = h.Write(s.attrs)
		sum = covered.Sum(nil)
	case !m.ContentType.Equal(familyOf(m.GMT).data) && !m.ContentType.Equal(rfc.data) || content.attributes():
		// RFC 5652, clause 5.3. And attributes of a message must not pass for the
		// content of another.
		return ErrMalformed
	case o.Plain && rawsign.Check(pub, content.start, o.ID) != nil:
		return ErrMalformed // nor what is hashed with Z for one without
	}
	if !fits(pub, s.Hash, sum, s.Signature) {
		if c.plain != nil && fits(pub, s.Hash, c.plain.Sum(nil), s.Signature) {
			return ErrPlain
		}
		return ErrSignature
	}
	if !signs(c.certificate) {
		return ErrUsage
	}
	return m.trusted(c.certificate, o)
}

// signs says whether a certificate's key may sign messages.
func signs(c *Certificate) bool {
	return c.KeyUsage == 0 || c.KeyUsage&x509.ForSigning != 0
}

// trusted looks for a way from a certificate to the roots.
func (m *Message) trusted(c *Certificate, o VerifyOptions) error {
	root := contains(o.Roots, c)
	asked := !root || o.issued(c)
	if o.Unchained || o.AnyTime && !asked && len(o.CRLs) == 0 {
		return nil
	}
	held := x509.Options{
		Roots: o.Roots, Intermediates: slices.Concat(o.Certificates, m.Certificates), Time: o.Time, AnyTime: o.AnyTime,
		CRLs: o.CRLs, Revocation: o.Revocation,
	}
	if asked {
		held.Usages = o.Usages
		if len(held.Usages) == 0 {
			held.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}
		}
	}
	_, err := x509.Verify(c, held)
	if p, ok := errors.AsType[*x509.Problem](err); ok {
		return fmt.Errorf("%w: %w", ErrUntrusted, p)
	}
	return err
}

// issued says whether another of the roots issued a certificate: it is then by that one
// that it is trusted.
func (o *VerifyOptions) issued(c *Certificate) bool {
	return slices.ContainsFunc(o.Roots, func(p *Certificate) bool {
		return bytes.Equal(p.RawSubject, c.RawIssuer) && !p.Equal(c) && x509.CheckCertificate(c, p, "") == nil
	})
}
