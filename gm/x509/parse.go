package x509

import (
	"bytes"
	"encoding/pem"
	"errors"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/keys"
)

// MaxSize is how many bytes a file of certificates, or a revocation list, may have.
const MaxSize = 64 << 20

// What foreign bytes are refused with.
var (
	ErrMalformed = errors.New("x509: not in a form that is read here")
	ErrKey       = errors.New("x509: the public key is not valid or of a kind that is not supported")
	ErrNone      = errors.New("x509: there is none in the file")
)

// PEM's names of what is here.
const (
	PEMCertificate = "CERTIFICATE"
	PEMRequest     = "CERTIFICATE REQUEST"
	PEMCRL         = "X509 CRL"
)

// ParseCertificate reads the DER of a certificate.
func ParseCertificate(b []byte) (*Certificate, error) {
	if len(b) > MaxSize || der.Check(b) != nil {
		return nil, ErrMalformed
	}
	c, err := smx509.ParseCertificate(b)
	if err != nil {
		return nil, ErrMalformed
	}
	// Its reader leaves the parameters of explicit curves and longer algorithms alone.
	if _, err := keys.ParsePublic(c.RawSubjectPublicKeyInfo); err != nil {
		return nil, ErrKey
	}
	return c, nil
}

// ParseRequest reads the DER of a request. It does not check its signature.
func ParseRequest(b []byte) (*CertificateRequest, error) {
	if len(b) > MaxSize || der.Check(b) != nil {
		return nil, ErrMalformed
	}
	r, err := smx509.ParseCertificateRequest(b)
	if err != nil {
		return nil, ErrMalformed
	}
	if _, err := keys.ParsePublic(r.RawSubjectPublicKeyInfo); err != nil {
		return nil, ErrKey
	}
	return r, nil
}

// ParseCRL reads the DER of a revocation list. It does not check its signature.
func ParseCRL(b []byte) (*RevocationList, error) {
	if len(b) > MaxSize || der.Check(b) != nil {
		return nil, ErrMalformed
	}
	l, err := smx509.ParseRevocationList(b)
	if err != nil {
		return nil, ErrMalformed
	}
	return l, nil
}

// ReadCertificates reads a file: PEM, of which other blocks are left out, or the DER of
// one certificate.
func ReadCertificates(b []byte) ([]*Certificate, error) {
	return readAll(b, ParseCertificate, PEMCertificate)
}

// ReadCertificate reads a file and gives its first certificate.
func ReadCertificate(b []byte) (*Certificate, error) { return first(ReadCertificates(b)) }

// ReadRequest reads a file with a request, as PEM or DER.
func ReadRequest(b []byte) (*CertificateRequest, error) {
	return first(readAll(b, ParseRequest, PEMRequest, "NEW CERTIFICATE REQUEST"))
}

// ReadCRL reads a file with a revocation list, as PEM or DER.
func ReadCRL(b []byte) (*RevocationList, error) { return first(readAll(b, ParseCRL, PEMCRL)) }

func first[T any](all []*T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// readAll reads all blocks of PEM of some kinds, or one value of DER. It gives one at
// least, or an error.
func readAll[T any](b []byte, parse func([]byte) (*T, error), kinds ...string) ([]*T, error) {
	if len(b) > MaxSize {
		return nil, ErrMalformed
	}
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		v, err := parse(b)
		if err != nil {
			return nil, err
		}
		return []*T{v}, nil
	}
	var all []*T
	for {
		var p *pem.Block
		if p, b = pem.Decode(b); p == nil {
			break
		}
		for _, kind := range kinds {
			if p.Type != kind {
				continue
			}
			v, err := parse(p.Bytes)
			if err != nil {
				return nil, err
			}
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, ErrNone
	}
	return all, nil
}

// PEM writes DER: of certificates as PEMCertificate, and so on.
func PEM(kind string, ders ...[]byte) []byte {
	var b bytes.Buffer
	for _, d := range ders {
		_ = pem.Encode(&b, &pem.Block{Type: kind, Bytes: d}) // a Buffer takes all
	}
	return b.Bytes()
}
