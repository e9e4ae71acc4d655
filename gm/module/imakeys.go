package module

import (
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima"
)

// maxIMAKeys bounds a file of keys or certificates, in bytes.
const maxIMAKeys = 1 << 20

// imaBlocks reads a file of PEM, or of DER as one block without a type.
func imaBlocks(path string) ([]*pem.Block, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key: %w", err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxIMAKeys+1))
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	if len(b) > maxIMAKeys {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: it is larger than %d bytes", path, maxIMAKeys))
	}
	var blocks []*pem.Block
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		blocks = []*pem.Block{{Bytes: b}}
	}
	return blocks, nil
}

// imaPrivate reads a private key of any of the usual forms.
func imaPrivate(der []byte) (crypto.Signer, error) {
	for _, parse := range []func([]byte) (any, error){
		smx509.ParsePKCS8PrivateKey,
		smx509.ParseTypedECPrivateKey,
		func(b []byte) (any, error) { return smx509.ParsePKCS1PrivateKey(b) },
	} {
		if k, err := parse(der); err == nil {
			if s, ok := k.(crypto.Signer); ok {
				return s, nil
			}
		}
	}
	return nil, errors.New("it is no private key for SM2, ECDSA or RSA, or it is encrypted: openssl pkey decrypts it")
}

// imaSigner reads a key. How labels tell of it is by the certificate, which may be in the
// same file, and else by the key.
func imaSigner(path, cert string, a ima.Algo) (*ima.Signer, error) {
	blocks, err := imaBlocks(path)
	if err != nil {
		return nil, err
	}
	var key crypto.Signer
	var skid []byte
	for _, b := range blocks {
		switch c, err := smx509.ParseCertificate(b.Bytes); {
		case err == nil:
			skid = c.SubjectKeyId
		case key == nil && !strings.HasSuffix(b.Type, " PARAMETERS"):
			if key, err = imaPrivate(b.Bytes); err != nil {
				return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: %w", path, err))
			}
		}
	}
	if key == nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: there is no private key in it", path))
	}
	s, err := ima.NewSigner(key, a)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, err)
	}
	if cert != "" {
		c, err := imaCertificate(cert)
		if err != nil {
			return nil, err
		}
		if k, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !k.Equal(c.PublicKey) {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("the certificate %s is of another key than %s", cert, path))
		}
		skid = c.SubjectKeyId
	}
	if id, err := ima.KeyIDOf(skid); err == nil {
		s = s.WithKeyID(id)
	}
	return s, nil
}

func imaCertificate(path string) (*smx509.Certificate, error) {
	blocks, err := imaBlocks(path)
	if err != nil {
		return nil, err
	}
	c, err := smx509.ParseCertificate(blocks[0].Bytes)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("read certificate %s: %w", path, err))
	}
	return c, nil
}

// imaKeyring reads certificates and public keys.
func imaKeyring(paths []string) (*ima.Keyring, error) {
	ring := &ima.Keyring{}
	for _, path := range paths {
		blocks, err := imaBlocks(path)
		if err != nil {
			return nil, err
		}
		for _, b := range blocks {
			if err := addIMAKey(ring, b.Bytes); err != nil {
				return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: %w", path, err))
			}
		}
	}
	return ring, nil
}

func addIMAKey(ring *ima.Keyring, der []byte) error {
	if c, err := smx509.ParseCertificate(der); err == nil {
		return ring.Add(c.PublicKey, c.SubjectKeyId)
	}
	k, err := smx509.ParsePKIXPublicKey(der)
	if err != nil {
		return errors.New("it is neither a certificate nor a public key")
	}
	return ring.Add(k, nil)
}
