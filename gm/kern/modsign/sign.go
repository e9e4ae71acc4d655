package modsign

import (
	"bytes"
	"crypto"
	"debug/elf"
	"fmt"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/x509"
)

// SignOptions say how to sign. Certificate and Key are needed.
type SignOptions struct {
	Certificate *cms.Certificate
	Key         crypto.Signer // of sm2.NewSigner, or of RSA or ECDSA
	Hash        cms.Hash      // zero: SM3 with SM2, SHA-256 with RSA
	Resign      bool          // replace signatures that are there
	Append      bool          // sign over signatures that are there
}

// Sign signs a module and gives the file to be.
func Sign(file []byte, o SignOptions) ([]byte, error) {
	if Compression(file) != "" {
		return nil, ErrPacked
	}
	if !bytes.HasPrefix(file, []byte(elf.ELFMAG)) {
		return nil, ErrNoModule
	}
	if bytes.HasSuffix(file, []byte(magic)) && !o.Append {
		if !o.Resign {
			return nil, ErrSigned
		}
		var err error
		if file, err = Strip(file); err != nil {
			return nil, err
		}
	}
	message, err := Detached(file, o)
	if err != nil {
		return nil, err
	}
	return Join(file, message), nil
}

// Detached makes the message that goes behind a module. With SM2 a module that begins with
// Z of the signer's key is refused, as cms.Sign does.
func Detached(module []byte, o SignOptions) ([]byte, error) {
	message, err := cms.Sign(bytes.NewReader(module), cms.SignOptions{
		Signers:  []cms.Signer{{Certificate: o.Certificate, Key: o.Key, Hash: o.Hash}},
		Detached: true, NoAttributes: true, NoCertificates: true, Plain: true,
	})
	if err != nil {
		return nil, fmt.Errorf("sign module: %w", err)
	}
	return message, nil
}

// Strip takes all signatures off.
func Strip(file []byte) ([]byte, error) {
	module, _, err := Split(file)
	for err == nil && bytes.HasSuffix(module, []byte(magic)) {
		module, _, err = Split(module)
	}
	return module, err
}

// parts are of a module that may be compressed.
func parts(file []byte) (module, message []byte, err error) {
	plain, err := Decompress(file)
	if err != nil {
		return nil, nil, err
	}
	return Split(plain)
}

// VerifyOptions say whom to trust. The zero value trusts nobody.
type VerifyOptions struct {
	Roots        []*cms.Certificate // the signers' own, or those of who issued them
	Certificates []*cms.Certificate // the signers', which are not with modules, where the Roots are others
	// Usages are as those of cms.VerifyOptions; none is code signing.
	Usages     []x509.ExtKeyUsage
	CRLs       []*x509.Revocations // as those of cms.VerifyOptions, held to what is current now
	Revocation bool                // each certificate below the root needs a list
}

// Verify checks a module's signature, the last if there are several, by certificates that
// are trusted. As with kernels, the time does not matter. A module that is compressed is
// looked into.
func Verify(file []byte, o VerifyOptions) (*cms.Report, error) {
	module, message, err := parts(file)
	if err != nil {
		return nil, err
	}
	if len(o.Usages) == 0 {
		o.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	}
	return cms.Verify(message, cms.VerifyOptions{
		Content: bytes.NewReader(module), Roots: o.Roots, Certificates: o.Certificates, Plain: true, AnyTime: true, Usages: o.Usages, CRLs: o.CRLs, Revocation: o.Revocation,
	})
}

// Info is what a signature says of itself.
type Info struct {
	Compression   string // "", "gzip", "zstd" or "xz"
	ModuleSize    int    // in bytes, without the signature
	SignatureSize int    // in bytes, of the message alone
	Message       *cms.Message
}

// Show reads a module's signature and checks nothing.
func Show(file []byte) (*Info, error) {
	module, message, err := parts(file)
	if err != nil {
		return nil, err
	}
	m, err := cms.Parse(message)
	if err != nil {
		return nil, err
	}
	return &Info{Compression(file), len(module), len(message), m}, nil
}
