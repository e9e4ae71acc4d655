package module

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/x509"
)

// imaSigner reads a key. How labels tell of it is by its certificate, which may be in the
// same file, and else by the key.
func imaSigner(cmd *cobra.Command, path, pass, cert string, a ima.Algo) (*ima.Signer, error) {
	key, err := privateKey(cmd, path, pass)
	if err != nil {
		return nil, err
	}
	s, err := ima.NewSigner(key, a)
	if err != nil {
		return nil, material(err)
	}
	c, err := imaCertificate(cmd, path, cert)
	if err != nil || c == nil {
		return s, err
	}
	if !keys.Equal(key.Public(), c.PublicKey) {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("the certificate of %s is of another key than %s", c.Subject, path))
	}
	if id, err := ima.KeyIDOf(c.SubjectKeyId); err == nil {
		s = s.WithKeyID(id)
	}
	return s, nil
}

// imaCertificate reads a certificate: of its own file, or of the key's where that has one.
func imaCertificate(cmd *cobra.Command, key, cert string) (*x509.Certificate, error) {
	if cert == "" {
		if key == "-" {
			return nil, nil //nolint:nilnil // there may be none
		}
		b, err := take(cmd, key, x509.MaxSize)
		if err != nil {
			return nil, material(err)
		}
		if !bytes.Contains(b, []byte("-----BEGIN "+x509.PEMCertificate+"-----")) {
			return nil, nil //nolint:nilnil // there may be none
		}
		cert = key
	}
	all, err := certificates(cmd, []string{cert})
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// imaKeyring reads certificates and public keys.
func imaKeyring(cmd *cobra.Command, paths []string) (*ima.Keyring, error) {
	all, err := publics(cmd, paths)
	if err != nil {
		return nil, err
	}
	ring := &ima.Keyring{}
	for _, p := range all {
		if err := ring.Add(p.key, p.subjectKeyID()); err != nil {
			return nil, material(err)
		}
	}
	return ring, nil
}
