package ca

import (
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/x509"
)

// reasons are those of RFC 5280, 5.3.1 that are for whole lists.
var reasons = []struct {
	code int
	name string
}{
	{0, "unspecified"}, {1, "key-compromise"}, {2, "ca-compromise"}, {3, "affiliation-changed"}, {4, "superseded"}, {5, "cessation-of-operation"}, {9, "privilege-withdrawn"},
}

// ParseReason reads the name of a reason, as "key-compromise".
func ParseReason(name string) (int, error) {
	var all []string
	for _, r := range reasons {
		if r.name == name {
			return r.code, nil
		}
		all = append(all, r.name)
	}
	return 0, fmt.Errorf("reason %q is not known: there are %s", name, strings.Join(all, ", "))
}

// Reason names a reason.
func Reason(code int) string {
	for _, r := range reasons {
		if r.code == code {
			return r.name
		}
	}
	return fmt.Sprintf("number %d", code)
}

// ErrRevoked is of a certificate that is revoked already.
var ErrRevoked = errors.New("it is revoked already")

// maxSerial bounds the digits of a serial number: RFC 5280 has 20 bytes, and others' zeros
// may go before them.
const maxSerial = 256

// ParseSerial reads a serial number as people and other programs write it: hexadecimal
// digits of either case, with 0x before them, colons or spaces between them, and zeros or
// not. It gives it as the index has it. The error wraps ErrSerial.
func ParseSerial(text string) (string, error) {
	digits := strings.NewReplacer(":", "", " ", "").Replace(strings.ToLower(strings.TrimSpace(text)))
	digits = strings.TrimPrefix(digits, "0x")
	if digits == "" || len(digits) > maxSerial || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w %q: it must have hexadecimal digits", ErrSerial, text)
	}
	return x509.Serial(serialOf(digits)), nil
}

// Revoke revokes certificates by their serial numbers, as ParseSerial reads them: all of
// them or, where one cannot be, none. The next list has them. Of a pair each half is revoked by itself.
func (c *CA) Revoke(reason int, serials ...string) error {
	if strings.HasPrefix(Reason(reason), "number ") {
		return fmt.Errorf("revoke certificate: reason %d is not one for a list", reason)
	}
	return c.locked(func(file *os.File, x *index) error {
		seen := map[string]bool{}
		r := &record{}
		for _, s := range serials {
			s, err := ParseSerial(s)
			if err != nil {
				return fmt.Errorf("revoke certificate: %w", err)
			}
			e := x.at[s]
			switch {
			case e == nil:
				return fmt.Errorf("revoke certificate %s: %w", s, ErrUnknown)
			case e.Revoked != nil || seen[s]:
				return fmt.Errorf("revoke certificate %s: %w", s, ErrRevoked)
			}
			seen[s] = true
			r.Revoke = append(r.Revoke, revoke{s, now(), reason})
		}
		if len(r.Revoke) == 0 {
			return nil
		}
		return c.add(file, x, r)
	})
}

// CRL makes an issuer's list, to be renewed in so many days, writes it into the folder
// and gives its DER. Each has a number of its own, greater than those before, and has what
// the one in the folder has and did not expire, else the error is ErrRollback.
func (c *CA) CRL(issuer string, days int) ([]byte, error) {
	cert := c.certs[issuer]
	if cert == nil {
		return nil, fmt.Errorf("make revocation list: there is no issuer %q", issuer)
	}
	if days < 1 || days > maxDays {
		return nil, fmt.Errorf("make revocation list: %w %d: must be 1 to %d", ErrDays, days, maxDays)
	}
	key, err := c.key(issuer)
	if err != nil {
		return nil, err
	}
	var der []byte
	err = c.locked(func(file *os.File, x *index) error {
		number := x.lists[issuer] + 1
		if err := c.follows(x, issuer, number); err != nil {
			return fmt.Errorf("make revocation list: %w", err)
		}
		begin := now()
		t := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 0, days), RevokedCertificateEntries: revoked(x, issuer, begin)}
		var err error
		if der, err = x509.CreateCRL(rng.Reader, t, cert, key, c.settings.ID); err != nil {
			return err
		}
		// Its number first: one that was not published is not missed.
		if err := c.add(file, x, &record{List: &list{issuer, number, begin}}); err != nil {
			return err
		}
		return whole.Write(filepath.Join(c.dir, "crl", issuer+".crl"), x509.PEM(x509.PEMCRL, der), 0o644)
	})
	if err != nil {
		return nil, err
	}
	return der, nil
}

// revoked are the entries of an issuer's list. One that expired stays in it: signatures
// of its time are still looked at.
func revoked(x *index, issuer string, now time.Time) []x509.RevocationListEntry {
	var all []x509.RevocationListEntry
	for _, e := range x.entries {
		if e.Issuer != issuer || e.Revoked == nil {
			continue
		}
		at := *e.Revoked
		if at.After(now) { // the clock was set back
			at = now
		}
		all = append(all, x509.RevocationListEntry{SerialNumber: serialOf(e.Serial), RevocationTime: at, ReasonCode: e.Reason})
	}
	return all
}
