package keys

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"fmt"
	"os"

	"github.com/anole-os/anole/gm/internal/whole"
)

// Password gives the password of what is under one; it is asked only where there is
// need. nil has none.
type Password func() ([]byte, error)

// Types of PEM blocks.
const (
	PEMPrivate   = "PRIVATE KEY"
	PEMEncrypted = "ENCRYPTED PRIVATE KEY"
	PEMEC        = "EC PRIVATE KEY"
	PEMPublic    = "PUBLIC KEY"
)

// Parse reads a private key in any form that is read here: PEM or DER; PKCS#8, plain or
// under a password, SEC1, PKCS#1 of RSA, or PKCS#12. Whether it may be taken in,
// policy.Default is asked.
func Parse(b []byte, password Password) (Private, error) {
	if err := ready("read key"); err != nil {
		return nil, err
	}
	return taken(parse(b, password))
}

func parse(b []byte, password Password) (Private, error) {
	if len(b) > MaxSize {
		return nil, ErrMalformed
	}
	kind, der := block(b)
	switch kind {
	case PEMPrivate:
		return parsePKCS8(der)
	case PEMEncrypted:
		return ask(password, der, openPKCS8)
	case PEMEC, "SM2 PRIVATE KEY":
		return readSEC1(der)
	case "RSA PRIVATE KEY":
		return parsePKCS1(der)
	case "":
		return parseDER(der, password)
	}
	return nil, ErrMalformed
}

// block gives the first block of PEM that is a private key's, without which b itself is
// DER.
func block(b []byte) (kind string, der []byte) {
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		return "", b
	}
	for rest := b; ; {
		var p *pem.Block
		if p, rest = pem.Decode(rest); p == nil {
			return "none", nil
		}
		if bytes.HasSuffix([]byte(p.Type), []byte(PEMPrivate)) && len(p.Headers) == 0 {
			return p.Type, p.Bytes
		}
	}
}

func ask[T any](password Password, der []byte, parse func(der, password []byte) (T, error)) (none T, err error) {
	if password == nil {
		return none, ErrNeeded
	}
	p, err := password()
	if err != nil {
		return none, err
	}
	defer clear(p)
	return parse(der, p)
}

// parsePKCS1 reads a key of RSA as what PKCS#8 would hold.
func parsePKCS1(der []byte) (Private, error) { return parsePKCS8(wrapRSA(der)) }

// parseDER tries the forms one by one: each begins in another way.
func parseDER(der []byte, password Password) (Private, error) {
	if _, err := parseInfo(der); err == nil {
		return parsePKCS8(der)
	}
	if _, err := parseSEC1(der); err == nil {
		return readSEC1(der)
	}
	if looksEncrypted(der) {
		return ask(password, der, openPKCS8)
	}
	if looksPKCS12(der) {
		b, err := ask(password, der, openPKCS12)
		if err != nil {
			return nil, err
		}
		return b.Key, nil
	}
	return parsePKCS1(der)
}

// ParsePublicFile reads a public key of PEM or DER.
func ParsePublicFile(b []byte) (crypto.PublicKey, error) {
	if len(b) > MaxSize {
		return nil, ErrMalformed
	}
	if !bytes.Contains(b, []byte("-----BEGIN ")) {
		return ParsePublic(b)
	}
	p, _ := pem.Decode(b)
	if p == nil || p.Type != PEMPublic {
		return nil, ErrMalformed
	}
	return ParsePublic(p.Bytes)
}

// OpenError is of a file of a private key that others than its owner may read.
type OpenError struct {
	Path string
	Mode os.FileMode
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("%s: others than its owner may read this private key (mode %04o): chmod 600 %s", e.Path, e.Mode.Perm(), e.Path)
}

// CheckMode checks that only its owner may read a file: else an *OpenError.
func CheckMode(path string) error {
	s, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read key: %w", err)
	}
	if s.Mode().IsRegular() && s.Mode().Perm()&0o077 != 0 {
		return &OpenError{path, s.Mode()}
	}
	return nil
}

// Load reads a file with a private key. The key is given beside an *OpenError: whether
// that is borne is the caller's.
func Load(path string, password Password) (Private, error) {
	b, err := whole.Read(path, MaxSize)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	key, err := Parse(b, password)
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	return key, CheckMode(path)
}

// Save writes a private key as PEM of PKCS#8, under a password if there is one, into a
// file that only its owner may read.
func Save(path string, key Private, password []byte, e Encryption) error {
	b, err := PEM(key, password, e)
	if err != nil {
		return err
	}
	defer clear(b)
	return whole.Write(path, b, 0o600)
}
