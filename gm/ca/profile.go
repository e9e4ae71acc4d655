package ca

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/x509"
)

//go:embed profiles.json
var builtin []byte

// Profile is a kind of certificate.
type Profile struct {
	Name   string   `json:"name"`
	About  string   `json:"about,omitempty"`
	Days   int      `json:"days"`           // of validity, where none are asked for
	Usages []string `json:"usages"`         // of the key; of a pair: of the signing key
	For    []string `json:"for,omitempty"`  // extended key usages
	CA     bool     `json:"ca,omitempty"`   // may issue, but no further CA
	Dual   bool     `json:"dual,omitempty"` // a pair
}

// maxDays bounds a validity: to the end of RFC 5280's time it is less.
const maxDays = 100 * 366

// What is asked for and cannot be, whatever the CA has issued.
var (
	ErrProfile = errors.New("profile that is not known")
	ErrDays    = errors.New("number of days")
	ErrSerial  = errors.New("serial number")
)

// parseProfiles reads profiles strictly: an unknown key is an error.
func parseProfiles(b []byte) ([]Profile, error) {
	var all []Profile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more behind the list")
	}
	seen := map[string]bool{}
	for _, p := range all {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("profile %q: %w", p.Name, err)
		}
		if seen[p.Name] {
			return nil, fmt.Errorf("profile %q is there twice", p.Name)
		}
		seen[p.Name] = true
	}
	return all, nil
}

func (p *Profile) check() error {
	usage, err := x509.ParseUsages(p.Usages)
	if err != nil {
		return err
	}
	for _, name := range p.For {
		if _, err := x509.ParseExtended(name); err != nil {
			return err
		}
	}
	issues := usage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0
	switch {
	case p.Name == "":
		return errors.New("it has no name")
	case p.Days < 1 || p.Days > maxDays:
		return fmt.Errorf("days: %d: must be 1 to %d", p.Days, maxDays)
	case usage == 0:
		return errors.New("usages: there is none")
	case issues != p.CA:
		return errors.New("cert_sign and crl_sign go with ca: true, and it with them")
	case p.Dual && p.CA:
		return errors.New("a CA has no pair")
	}
	return nil
}

// find gives a profile by name.
func find(all []Profile, name string) (*Profile, error) {
	var names []string
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
		names = append(names, all[i].Name)
	}
	return nil, fmt.Errorf("%w: %q: there are %s", ErrProfile, name, strings.Join(names, ", "))
}

// maxSettings bounds the files of settings.
const maxSettings = 1 << 20

func loadProfiles(dir string) ([]Profile, error) {
	path := filepath.Join(dir, "profiles.json")
	b, err := whole.Read(path, maxSettings)
	if err != nil {
		return nil, err
	}
	all, err := parseProfiles(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return all, nil
}
