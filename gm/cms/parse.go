package cms

import (
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/x509"
)

// Tags within messages: RFC 5652.
var (
	tag0  = asn1.Tag(0).ContextSpecific().Constructed()
	tag1  = asn1.Tag(1).ContextSpecific().Constructed()
	tag0p = asn1.Tag(0).ContextSpecific()
)

// Parse reads a message: DER, BER or PEM. The Message shares memory with it.
func Parse(message []byte) (*Message, error) {
	b, err := fromPEM(message)
	if err != nil {
		return nil, err
	}
	if b, err = definite(b); err != nil {
		return nil, err
	}
	in := cryptobyte.String(b)
	var info, content cryptobyte.String
	var kind oid
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !in.Empty() || !info.ReadASN1ObjectIdentifier(&kind) ||
		!info.ReadASN1(&content, tag0) || !info.Empty() {
		return nil, ErrMalformed
	}
	var body cryptobyte.String
	if !content.ReadASN1(&body, asn1.SEQUENCE) || !content.Empty() {
		return nil, ErrMalformed
	}
	for _, f := range []family{rfc, gmt} {
		m := &Message{GMT: f.data.Equal(gmt.data)}
		switch {
		case kind.Equal(f.signed):
			m.Kind, err = Signed, m.signed(body)
		case kind.Equal(f.enveloped):
			m.Kind, err = Enveloped, m.enveloped(body)
		case kind.Equal(f.both):
			m.Kind, err = SignedAndEnveloped, m.both(body)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		return m, nil
	}
	return nil, ErrKind
}

// version reads a version in [low, high].
func version(in *cryptobyte.String, low, high int64) error {
	var v int64
	if !in.ReadASN1Integer(&v) {
		return ErrMalformed
	}
	if v < low || v > high {
		return ErrUnsupported
	}
	return nil
}

// signed reads a SignedData: RFC 5652, clause 5.1; GM/T 0010, clause 8.
func (m *Message) signed(in cryptobyte.String) error {
	if err := version(&in, 1, 5); err != nil {
		return err
	}
	var digests, content, element cryptobyte.String
	var there bool
	if !in.ReadASN1(&digests, asn1.SET) || !in.ReadASN1(&content, asn1.SEQUENCE) ||
		!content.ReadASN1ObjectIdentifier(&m.ContentType) ||
		!content.ReadOptionalASN1(&element, &there, tag0) || !content.Empty() {
		return ErrMalformed
	}
	m.Detached = !there
	if there {
		// An octet string; before CMS, of PKCS #7, any element, whose contents are signed.
		var body cryptobyte.String
		var tag asn1.Tag
		if !element.ReadAnyASN1(&body, &tag) || !element.Empty() {
			return ErrMalformed
		}
		m.Content = append([]byte{}, body...)
	}
	if err := m.readCertificates(&in); err != nil {
		return err
	}
	return m.readSigners(&in)
}

// readCertificates reads certificates and passes over lists of revoked ones. Those that
// cannot be read are left out: a signer's then is not there.
func (m *Message) readCertificates(in *cryptobyte.String) error {
	var all cryptobyte.String
	var there bool
	if !in.ReadOptionalASN1(&all, &there, tag0) || !in.SkipOptionalASN1(tag1) {
		return ErrMalformed
	}
	for n := 0; !all.Empty(); n++ {
		var one cryptobyte.String
		var tag asn1.Tag
		if n == maxCertificates || !all.ReadAnyASN1Element(&one, &tag) {
			return ErrMalformed
		}
		if tag != asn1.SEQUENCE {
			continue // attribute certificates and the like
		}
		if c, err := x509.ParseCertificate(one); err == nil {
			m.Certificates = append(m.Certificates, c)
		}
	}
	return nil
}

func (m *Message) readSigners(in *cryptobyte.String) error {
	var all cryptobyte.String
	if !in.ReadASN1(&all, asn1.SET) || !in.Empty() {
		return ErrMalformed
	}
	for !all.Empty() {
		var one cryptobyte.String
		if len(m.Signers) == maxSigners || !all.ReadASN1(&one, asn1.SEQUENCE) {
			return ErrMalformed
		}
		s, err := readSigner(one)
		if err != nil {
			return err
		}
		m.Signers = append(m.Signers, s)
	}
	return nil
}

// readIdentity reads an issuer and a number, or a key's identifier.
func readIdentity(in *cryptobyte.String) (i identity, ok bool) {
	if in.PeekASN1Tag(tag0p) {
		var id cryptobyte.String
		ok = in.ReadASN1(&id, tag0p)
		i.keyID = id
		return i, ok
	}
	var both, name cryptobyte.String
	i.serial = new(big.Int)
	ok = in.ReadASN1(&both, asn1.SEQUENCE) && both.ReadASN1Element(&name, asn1.SEQUENCE) &&
		both.ReadASN1Integer(i.serial) && both.Empty()
	i.issuer = name
	return i, ok
}

// readAlgorithm reads an AlgorithmIdentifier; parameters is an element or empty.
func readAlgorithm(in *cryptobyte.String) (id oid, parameters cryptobyte.String, ok bool) {
	var alg cryptobyte.String
	if !in.ReadASN1(&alg, asn1.SEQUENCE) || !alg.ReadASN1ObjectIdentifier(&id) {
		return nil, nil, false
	}
	var tag asn1.Tag
	if !alg.Empty() && !alg.ReadAnyASN1Element(&parameters, &tag) || !alg.Empty() {
		return nil, nil, false
	}
	return id, parameters, true
}

// noParameters says whether parameters are absent or NULL.
func noParameters(p cryptobyte.String) bool {
	return len(p) == 0 || len(p) == 2 && p[0] == 0x05 && p[1] == 0
}

// readSigner reads a SignerInfo: RFC 5652, clause 5.3.
func readSigner(in cryptobyte.String) (s SignerInfo, err error) {
	if err := version(&in, 1, 3); err != nil {
		return s, err
	}
	var ok bool
	if s.identity, ok = readIdentity(&in); !ok {
		return s, ErrMalformed
	}
	digest, dp, ok := readAlgorithm(&in)
	if !ok {
		return s, ErrMalformed
	}
	if in.PeekASN1Tag(tag0) {
		var attrs cryptobyte.String
		if !in.ReadASN1Element(&attrs, tag0) {
			return s, ErrMalformed
		}
		s.attrs = append([]byte{byte(asn1.SET)}, attrs[1:]...)
		s.Attributes = true
		if err := s.readAttributes(); err != nil {
			return s, err
		}
	}
	alg, ap, ok := readAlgorithm(&in)
	var signature cryptobyte.String
	if !ok || !in.ReadASN1(&signature, asn1.OCTET_STRING) || !in.SkipOptionalASN1(tag1) || !in.Empty() {
		return s, ErrMalformed
	}
	s.Signature = signature
	if noParameters(dp) && noParameters(ap) {
		if s.Hash = HashOf(digest); s.Hash != 0 {
			s.kind = schemeOf(alg, s.Hash)
		}
	}
	return s, nil
}

// readAttributes reads those that are signed. Each may be there once, with one value.
func (s *SignerInfo) readAttributes() error {
	set := cryptobyte.String(s.attrs)
	var all cryptobyte.String
	if !set.ReadASN1(&all, asn1.SET) || all.Empty() {
		return ErrMalformed
	}
	var timed bool
	for n := 0; !all.Empty(); n++ {
		var one, values cryptobyte.String
		var id oid
		if n == maxAttributes || !all.ReadASN1(&one, asn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&id) ||
			!one.ReadASN1(&values, asn1.SET) || !one.Empty() {
			return ErrMalformed
		}
		ok := true
		switch {
		case id.Equal(oidContentType):
			ok = s.contentType == nil && values.ReadASN1ObjectIdentifier(&s.contentType) && values.Empty()
		case id.Equal(oidMessageDigest):
			ok = s.digest == nil && values.ReadASN1Bytes(&s.digest, asn1.OCTET_STRING) && values.Empty()
		case id.Equal(oidSigningTime):
			ok = !timed && readTime(&values, &s.Time) && values.Empty()
			timed = true
		}
		if !ok {
			return ErrMalformed
		}
	}
	if s.contentType == nil || s.digest == nil {
		return ErrMalformed
	}
	return nil
}

func readTime(in *cryptobyte.String, t *time.Time) bool {
	if in.PeekASN1Tag(asn1.UTCTime) {
		return in.ReadASN1UTCTime(t)
	}
	return in.ReadASN1GeneralizedTime(t)
}
