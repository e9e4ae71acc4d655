package cms

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/anole-os/anole/gm/x509"
)

// Certificate is a certificate, whose key may be of SM2.
type Certificate = x509.Certificate

// Kind is what a message is.
type Kind uint8

// The kinds of messages.
const (
	Signed Kind = iota + 1
	Enveloped
	SignedAndEnveloped
)

// String names the kind, as "signed".
func (k Kind) String() string {
	switch k {
	case Signed:
		return "signed"
	case Enveloped:
		return "enveloped"
	case SignedAndEnveloped:
		return "signed and enveloped"
	}
	return "unknown"
}

// Bounds of what a message may hold.
const (
	maxSigners      = 32
	maxRecipients   = 1024
	maxCertificates = 256
	maxAttributes   = 64
)

// Message is a message that was read, and nothing of it checked.
type Message struct {
	Kind         Kind
	GMT          bool                  // its identifiers are of GM/T 0010, not of RFC 5652
	ContentType  asn1.ObjectIdentifier // of what is inside
	Content      []byte                // of a signed message that is not detached
	Detached     bool
	Certificates []*Certificate // those that it carries and can be read
	Signers      []SignerInfo
	Recipients   []RecipientInfo

	cipher     oid
	iv, sealed []byte
}

// identity is how a message names a certificate: RFC 5652, clause 5.3.
type identity struct {
	issuer []byte // DER of a Name, nil where there is a key identifier
	serial *big.Int
	keyID  []byte
}

func (i identity) is(c *Certificate) bool {
	if i.issuer == nil {
		return len(i.keyID) > 0 && bytes.Equal(i.keyID, c.SubjectKeyId)
	}
	return i.serial.Cmp(c.SerialNumber) == 0 && bytes.Equal(i.issuer, c.RawIssuer)
}

// Issuer is the issuer's name as of RFC 4514, empty where the message names a key.
func (i identity) Issuer() string {
	var name pkix.RDNSequence
	if rest, err := asn1.Unmarshal(i.issuer, &name); err != nil || len(rest) > 0 {
		return ""
	}
	return name.String()
}

// Serial is the certificate's number in hexadecimal, empty where the message names a key.
func (i identity) Serial() string {
	if i.serial == nil {
		return ""
	}
	return i.serial.Text(16)
}

// KeyID is the key's identifier in hexadecimal, empty where the message names an issuer.
func (i identity) KeyID() string { return hex.EncodeToString(i.keyID) }

// SignerInfo is what a message says of a signer.
type SignerInfo struct {
	identity
	Hash       Hash      // 0: not supported
	Time       time.Time // that the signer claims, zero without
	Attributes bool      // attributes are signed, and by them the content
	Signature  []byte

	kind        keyKind // 0: not supported
	attrs       []byte  // as signed: the DER of a SET
	contentType oid
	digest      []byte
}

// Algorithm names what was signed with, as "SM2 with SM3".
func (s *SignerInfo) Algorithm() string {
	if s.kind == 0 {
		return "unknown"
	}
	return kindNames[s.kind] + " with " + s.Hash.String()
}

// RecipientInfo is what a message says of a recipient.
type RecipientInfo struct {
	identity
	kind keyKind // 0: not supported
	key  []byte  // the content's, encrypted
}

// Algorithm names what the content's key is encrypted with, as "SM2".
func (r *RecipientInfo) Algorithm() string {
	if r.kind == 0 {
		return "unknown"
	}
	return kindNames[r.kind]
}

// CertificateOf is the certificate that the message carries for a signer, nil where it
// carries none. Nothing of it is checked.
func (m *Message) CertificateOf(s *SignerInfo) *Certificate {
	for _, c := range m.Certificates {
		if s.is(c) {
			return c
		}
	}
	return nil
}

// PEM is the armour of a message.
func PEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der}) }

// fromPEM gives what is in the armour, or b where it has none.
func fromPEM(b []byte) ([]byte, error) {
	if len(b) > 0 && b[0] == 0x30 {
		return b, nil
	}
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		return b, nil
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, ErrMalformed
	}
	switch block.Type {
	case "CMS", "PKCS7", "PKCS #7", "PKCS#7", "SIGNED MESSAGE":
		return block.Bytes, nil
	}
	return nil, ErrKind
}
