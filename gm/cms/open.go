package cms

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/rsa"
	"crypto/subtle"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm4"
)

// OpenOptions say who opens. The Key is needed.
type OpenOptions struct {
	Key         crypto.Decrypter // a *sm2.PrivateKey or a *rsa.PrivateKey
	Certificate *Certificate     // the recipient's; nil tries the first 32 with SM2, or one with RSA
	Verify      VerifyOptions    // for signed and enveloped messages
}

// Opened is what was in an envelope.
type Opened struct {
	Content []byte
	Report  *Report // of signed and enveloped messages
}

// Open reads an enveloped message, or a signed and enveloped one, whose signatures it
// checks. Every way in which a key or a padding may be wrong is the same ErrOpen; but
// since nothing in an envelope tells that it was not changed, whoever may ask for a
// thousand messages to be opened and learns which did can read one.
func Open(message []byte, o OpenOptions) (*Opened, error) {
	m, err := Parse(message)
	if err != nil {
		return nil, err
	}
	return m.Open(o)
}

// Open opens an enveloped message.
func (m *Message) Open(o OpenOptions) (*Opened, error) {
	if m.Kind == Signed {
		return nil, ErrKind
	}
	if o.Key == nil {
		return nil, ErrOpen
	}
	if !m.cipher.Equal(oidSM4CBC) && !m.cipher.Equal(oidSM4) {
		return nil, ErrUnsupported
	}
	if err := policy.CheckKey(policy.Decrypt, o.Key.Public(), ""); err != nil {
		return nil, err
	}
	if err := policy.Check(policy.Decrypt, policy.SM4, policy.Params{Mode: "cbc"}); err != nil {
		return nil, err
	}
	content, err := m.decrypt(o)
	if err != nil {
		return nil, err
	}
	out := &Opened{Content: content}
	if m.Kind == SignedAndEnveloped {
		o.Verify.Content = bytes.NewReader(content)
		if out.Report, err = m.check(o.Verify); err != nil {
			return &Opened{Report: out.Report}, err
		}
	}
	return out, nil
}

// maxTries bounds how many recipients a key without a certificate is tried for.
const maxTries = 32

func (m *Message) decrypt(o OpenOptions) ([]byte, error) {
	kind := kindOf(o.Key.Public())
	if kind == kindRSA && o.Certificate == nil && m.count(kind) > 1 {
		// A key of RSA that is not meant gives a random key, which opens one message
		// in 256 to nonsense.
		return nil, ErrRecipients
	}
	tried := 0
	for i := range m.Recipients {
		r := &m.Recipients[i]
		if r.kind != kind || kind == 0 || o.Certificate != nil && !r.is(o.Certificate) {
			continue
		}
		if tried++; tried > maxTries {
			break
		}
		key, ok := contentKey(o.Key, kind, r.key)
		if !ok {
			continue
		}
		content, ok := m.unseal(key)
		clear(key)
		if ok {
			return content, nil
		}
	}
	if tried == 0 {
		return nil, ErrNoRecipient
	}
	return nil, ErrOpen
}

// count is how many recipients have keys of a kind.
func (m *Message) count(kind keyKind) (n int) {
	for i := range m.Recipients {
		if m.Recipients[i].kind == kind {
			n++
		}
	}
	return n
}

// contentKey decrypts a content's key. With RSA a padding that is wrong gives a random
// key, in the same time.
func contentKey(k crypto.Decrypter, kind keyKind, sealed []byte) ([]byte, bool) {
	var o crypto.DecrypterOpts
	if kind == kindRSA {
		//nolint:staticcheck // what RFC 3370 has every writer know; a failure does not show
		o = &rsa.PKCS1v15DecryptOptions{SessionKeyLen: sm4.KeySize}
	}
	key, err := k.Decrypt(rng.Reader, sealed, o)
	return key, err == nil && len(key) == sm4.KeySize
}

// unseal decrypts the content and takes its padding off.
func (m *Message) unseal(key []byte) ([]byte, bool) {
	if len(m.iv) != sm4.BlockSize || len(m.sealed) == 0 || len(m.sealed)%sm4.BlockSize != 0 {
		return nil, false
	}
	block, err := sm4.NewCipher(key)
	if err != nil {
		return nil, false
	}
	out := make([]byte, len(m.sealed))
	cipher.NewCBCDecrypter(block, m.iv).CryptBlocks(out, m.sealed)
	n := int(out[len(out)-1])
	good := subtle.ConstantTimeLessOrEq(1, n) & subtle.ConstantTimeLessOrEq(n, sm4.BlockSize)
	for i := 1; i <= sm4.BlockSize; i++ {
		in := subtle.ConstantTimeLessOrEq(i, n)
		good &= subtle.ConstantTimeSelect(in, subtle.ConstantTimeByteEq(out[len(out)-i], byte(n)), 1)
	}
	if good != 1 {
		clear(out)
		return nil, false
	}
	return out[:len(out)-n], true
}

// enveloped reads an EnvelopedData: RFC 5652, clause 6.1; GM/T 0010, clause 9.
func (m *Message) enveloped(in cryptobyte.String) error {
	if err := version(&in, 0, 4); err != nil {
		return err
	}
	if !in.SkipOptionalASN1(tag0) { // OriginatorInfo
		return ErrMalformed
	}
	if err := m.readRecipients(&in); err != nil {
		return err
	}
	if err := m.readSealed(&in); err != nil {
		return err
	}
	if !in.SkipOptionalASN1(tag1) || !in.Empty() {
		return ErrMalformed
	}
	return nil
}

// both reads a SignedAndEnvelopedData: GM/T 0010, clause 10.
func (m *Message) both(in cryptobyte.String) error {
	if err := version(&in, 1, 1); err != nil {
		return err
	}
	if err := m.readRecipients(&in); err != nil {
		return err
	}
	var digests cryptobyte.String
	if !in.ReadASN1(&digests, asn1.SET) {
		return ErrMalformed
	}
	if err := m.readSealed(&in); err != nil {
		return err
	}
	if err := m.readCertificates(&in); err != nil {
		return err
	}
	return m.readSigners(&in)
}

// readRecipients reads those who are given the key by encrypting it to theirs; others,
// who share a secret, are passed over.
func (m *Message) readRecipients(in *cryptobyte.String) error {
	var all cryptobyte.String
	if !in.ReadASN1(&all, asn1.SET) {
		return ErrMalformed
	}
	for n := 0; !all.Empty(); n++ {
		var one cryptobyte.String
		var tag asn1.Tag
		if n == maxRecipients || !all.ReadAnyASN1(&one, &tag) {
			return ErrMalformed
		}
		if tag != asn1.SEQUENCE {
			continue
		}
		r, err := readRecipient(one)
		if err != nil {
			return err
		}
		m.Recipients = append(m.Recipients, r)
	}
	return nil
}

func readRecipient(in cryptobyte.String) (r RecipientInfo, err error) {
	if err := version(&in, 0, 2); err != nil {
		return r, err
	}
	var ok bool
	if r.identity, ok = readIdentity(&in); !ok {
		return r, ErrMalformed
	}
	alg, parameters, ok := readAlgorithm(&in)
	var key cryptobyte.String
	if !ok || !in.ReadASN1(&key, asn1.OCTET_STRING) || !in.Empty() {
		return r, ErrMalformed
	}
	r.key = key
	switch {
	case !noParameters(parameters):
	case alg.Equal(oidSM2Encrypt), alg.Equal(oidSM2):
		r.kind = kindSM2
	case alg.Equal(oidRSA):
		r.kind = kindRSA
	}
	return r, nil
}

// readSealed reads an EncryptedContentInfo.
func (m *Message) readSealed(in *cryptobyte.String) error {
	var info cryptobyte.String
	if !in.ReadASN1(&info, asn1.SEQUENCE) || !info.ReadASN1ObjectIdentifier(&m.ContentType) {
		return ErrMalformed
	}
	alg, parameters, ok := readAlgorithm(&info)
	if !ok {
		return ErrMalformed
	}
	m.cipher = alg
	var iv cryptobyte.String
	if parameters.ReadASN1(&iv, asn1.OCTET_STRING) && parameters.Empty() {
		m.iv = iv
	}
	switch {
	case info.PeekASN1Tag(tag0p):
		var sealed cryptobyte.String
		ok = info.ReadASN1(&sealed, tag0p)
		m.sealed = sealed
	case info.PeekASN1Tag(tag0): // in pieces
		var pieces cryptobyte.String
		if ok = info.ReadASN1(&pieces, tag0); ok {
			m.sealed, ok = joined(pieces)
		}
	}
	if !ok || !info.Empty() {
		return ErrMalformed
	}
	return nil
}
