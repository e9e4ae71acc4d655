package authenticode

import (
	"bytes"
	encoding "encoding/asn1"
	"errors"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/x509"
)

// Errors about signatures. Their text is constant.
var (
	ErrUnsigned = errors.New("authenticode: the image is not signed")
	ErrKind     = errors.New("authenticode: the signature is not of PKCS #7, or not of an image")
	ErrHash     = errors.New("authenticode: the image is not what was signed")
)

// VerifyOptions say whom to trust.
type VerifyOptions struct {
	Roots        []*cms.Certificate // as firmware's db: signers' own, or of those who issued them
	Certificates []*cms.Certificate // that signatures may be without
	All          bool               // all signatures must be good; else, as for firmware, one
	Time         time.Time          // when certificates must be valid; zero: as firmware, which does not ask
	// Usages are as those of cms.VerifyOptions; none is code signing.
	Usages     []x509.ExtKeyUsage
	CRLs       []*x509.Revocations // as those of cms.VerifyOptions, held to what is current at Time or now
	Revocation bool                // each certificate below the root needs a list
}

// Signature is one of an image's.
type Signature struct {
	Message *cms.Message // nil where it cannot be read
	Hash    cms.Hash     // of the image; 0: not supported
	Digest  []byte       // that was signed
	Report  *cms.Report  // of Verify
	Err     error        // nil: it can be read and, after Verify, is good
}

// List reads an image's signatures, and compares their hash with the image's.
func List(file []byte) ([]Signature, error) {
	i, err := parse(file)
	if err != nil {
		return nil, err
	}
	var all []Signature
	for _, e := range i.entries {
		all = append(all, i.read(e))
	}
	return all, nil
}

func (i *image) read(e entry) (s Signature) {
	if !e.isPKCS() {
		s.Err = ErrKind
		return s
	}
	if s.Message, s.Err = cms.Parse(e.data); s.Err != nil {
		return s
	}
	if s.Message.Kind != cms.Signed || !s.Message.ContentType.Equal(oidIndirectData) || s.Message.Detached {
		s.Err = ErrKind
		return s
	}
	var ok bool
	if s.Hash, s.Digest, ok = readIndirect(s.Message.Content); !ok {
		s.Err = ErrKind
		return s
	}
	switch {
	case s.Hash == 0:
		s.Err = cms.ErrUnsupported
	case !bytes.Equal(i.hash(s.Hash), s.Digest):
		s.Err = ErrHash
	}
	return s
}

// readIndirect reads what is in a SpcIndirectDataContent.
func readIndirect(content []byte) (h cms.Hash, digest []byte, ok bool) {
	in := cryptobyte.String(content)
	var data, info, alg, sum cryptobyte.String
	var kind, id encoding.ObjectIdentifier
	ok = in.ReadASN1(&data, asn1.SEQUENCE) && data.ReadASN1ObjectIdentifier(&kind) && kind.Equal(oidPEImageData) &&
		in.ReadASN1(&info, asn1.SEQUENCE) && in.Empty() && info.ReadASN1(&alg, asn1.SEQUENCE) && alg.ReadASN1ObjectIdentifier(&id) &&
		info.ReadASN1(&sum, asn1.OCTET_STRING) && info.Empty()
	return cms.HashOf(id), sum, ok
}

// Verify checks an image's signatures. Beside an error it gives what it found out, where
// there is something.
func Verify(file []byte, o VerifyOptions) ([]Signature, error) {
	all, err := List(file)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, ErrUnsigned
	}
	if len(o.Usages) == 0 {
		o.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	var first error
	good := 0
	for n := range all {
		s := &all[n]
		if s.Err == nil {
			s.Report, s.Err = s.Message.Verify(cms.VerifyOptions{
				Roots: o.Roots, Certificates: o.Certificates, Time: o.Time, AnyTime: o.Time.IsZero(),
				Usages: o.Usages, CRLs: o.CRLs, Revocation: o.Revocation,
			})
		}
		if s.Err == nil {
			good++
		} else if first == nil {
			first = s.Err
		}
	}
	if good == len(all) || good > 0 && !o.All {
		return all, nil
	}
	return all, first
}
