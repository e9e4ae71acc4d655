package module

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/emmansun/gmsm/smx509"
	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/sm2"
)

// Bounds of what verbs read, in bytes.
const (
	maxMaterial = 16 << 20 // of certificates and keys
	maxInput    = 1 << 30
)

// readInput reads a file, or standard input for "-", of at most so many bytes.
func readInput(cmd *cobra.Command, path string, most int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("read %s: it is larger than %d bytes", path, most)
	}
	return b, nil
}

// certificatesIn reads certificates: files of PEM, with one or more, or of DER.
func certificatesIn(cmd *cobra.Command, paths []string) (all []*cms.Certificate, err error) {
	for _, path := range paths {
		b, err := readInput(cmd, path, maxMaterial)
		if err != nil {
			return nil, core.Exit(core.ExitUsage, err)
		}
		some, err := parseCertificates(b)
		if err != nil {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("read certificate %s: %w", path, err))
		}
		all = append(all, some...)
	}
	return all, nil
}

func parseCertificates(b []byte) (all []*cms.Certificate, err error) {
	if !bytes.Contains(b, []byte("-----BEGIN")) {
		c, err := smx509.ParseCertificate(b)
		if err != nil {
			return nil, err
		}
		return []*cms.Certificate{c}, nil
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := smx509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no CERTIFICATE in it")
	}
	return all, nil
}

// keyIn reads a private key: PKCS #8, SEC 1 or PKCS #1, of PEM or DER.
func keyIn(cmd *cobra.Command, path string) (crypto.Signer, error) {
	b, err := readInput(cmd, path, maxMaterial)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, err)
	}
	der := b
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: it is encrypted: decrypt it first", path))
		}
		if der = block.Bytes; block.Type != "EC PARAMETERS" {
			break
		}
	}
	key, err := parseKey(der)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("read key %s: %w", path, err))
	}
	return key, nil
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := smx509.ParsePKCS8PrivateKey(der); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
	}
	if k, err := smx509.ParseTypedECPrivateKey(der); err == nil {
		if s, ok := k.(crypto.Signer); ok {
			return s, nil
		}
	}
	if k, err := smx509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("it is no private key of PKCS #8, SEC 1 or PKCS #1")
}

// signerOf is the key with SM2's fast way to sign.
func signerOf(key crypto.Signer) crypto.Signer {
	if k, ok := key.(*sm2.PrivateKey); ok {
		return sm2.NewSigner(k)
	}
	return key
}
