package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/internal/yamlx"
)

// Mode is how much room algorithms other than those of ShangMi have.
type Mode string

// The modes.
const (
	Intl      Mode = "intl"
	Hybrid    Mode = "hybrid"
	Preferred Mode = "gm-preferred"
	Only      Mode = "gm-only"
)

var modes = []Mode{Intl, Hybrid, Preferred, Only}

// UnmarshalText takes the name of a mode.
func (m *Mode) UnmarshalText(b []byte) error {
	if !slices.Contains(modes, Mode(b)) {
		return fmt.Errorf("wants one of intl, hybrid, gm-preferred and gm-only, got %q", b)
	}
	*m = Mode(b)
	return nil
}

// Config is a policy as it stands in a configuration file.
type Config struct {
	Mode        Mode     `yaml:"mode" doc:"intl: any algorithm, international ones first. hybrid: any, in the order that they are offered in. gm-preferred: any, SM first. gm-only: SM alone, and no other keys are taken in."`
	MinBits     int      `yaml:"minBits" doc:"The least strength in bits; 128 leaves out RSA of fewer than 3,072 bits, 112 SM9 as well, 100 SHA-1, 3DES and RSA of fewer than 2,048. 0 is any."`
	RejectECB   bool     `yaml:"rejectECB" doc:"Whether to deny block ciphers without chaining, which show where blocks are the same."`
	RequireDual bool     `yaml:"requireDual" doc:"Whether an end of a connection that has SM2 must have two certificates, one to sign with and one to encrypt to."`
	DistIDs     []string `yaml:"distIDs" doc:"The identities that SM2 signatures may be made and accepted under; the usual one is 1234567812345678, and what is signed without any, as labels of files and modules, counts as under that. None is any."`
}

// DefaultConfig lets everything through that has 100 bits of strength: SM9 is of that, and
// all others that pass have 112 or more.
func DefaultConfig() Config { return Config{Mode: Intl, MinBits: sm9Bits} }

const (
	mostBits = 256
	mostID   = 8191 // bytes: its length in bits has 16 bits
)

// problem finds what is wrong, and the key that it is about.
func (c Config) problem() (key, text string) {
	if !slices.Contains(modes, c.Mode) {
		return "mode", fmt.Sprintf("wants one of intl, hybrid, gm-preferred and gm-only, got %q", string(c.Mode))
	}
	if c.MinBits < 0 || c.MinBits > mostBits {
		return "minBits", fmt.Sprintf("wants 0 to %d, got %d", mostBits, c.MinBits)
	}
	if c.Mode == Only && c.MinBits > SM2.Bits(0) {
		return "minBits", fmt.Sprintf("is %d, and no SM algorithm has more than %d: with mode gm-only nothing would be left", c.MinBits, SM2.Bits(0))
	}
	for _, id := range c.DistIDs {
		if id == "" || len(id) > mostID {
			return "distIDs", fmt.Sprintf("an identity has 1 to %d bytes, got one of %d", mostID, len(id))
		}
	}
	return "", ""
}

// Validate says what is wrong.
func (c Config) Validate() error {
	if key, text := c.problem(); text != "" {
		return fmt.Errorf("%s: %s", key, text)
	}
	return nil
}

// Parse reads a Config from YAML, onto DefaultConfig. The error names the line.
func Parse(src []byte, file string) (Config, error) {
	c := DefaultConfig()
	d, err := yamlx.Parse(src, file)
	if err != nil {
		return c, err
	}
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if key, text := c.problem(); text != "" {
		return c, d.Errorf(key, "%s", text)
	}
	return c, nil
}

// Policy is a Config that was checked. It does not change, and is safe for concurrent
// use.
type Policy struct{ c Config }

// New checks a Config.
func New(c Config) (*Policy, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	c.DistIDs = slices.Clone(c.DistIDs)
	return &Policy{c}, nil
}

// Config is what the policy was made of.
func (p *Policy) Config() Config {
	c := p.c
	c.DistIDs = slices.Clone(c.DistIDs)
	return c
}

// DeniedError is of what the policy does not let through. It is a permission that is
// lacking (fs.ErrPermission). It is for whoever runs the node: towards a peer say
// less.
type DeniedError struct {
	Op   Op
	Alg  Alg
	Mode Mode
	Need string // what would be let through, and by what setting this would be
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("policy (mode %s) denies to %s with %s: needs %s", e.Mode, e.Op, strconv.Quote(string(e.Alg)), e.Need)
}

// Is says so of fs.ErrPermission.
func (e *DeniedError) Is(target error) bool { return target == fs.ErrPermission }

// Check gives nil or a *DeniedError. It counts nothing: Gate does.
func (p *Policy) Check(op Op, alg Alg, params Params) error {
	if need := p.need(op, alg, params); need != "" {
		return &DeniedError{op, alg, p.c.Mode, need}
	}
	return nil
}

// need is what is lacking, or empty.
func (p *Policy) need(op Op, alg Alg, params Params) string {
	prop, known := properties[alg]
	switch bits := alg.Bits(params.KeyBits); {
	case !slices.Contains(ops, op):
		return "an operation that the policy knows"
	case !known:
		return "an algorithm that the policy knows"
	case p.c.Mode == Only && !prop.sm && op == Import:
		return "a key of SM2, SM9 or SM4; another mode than gm-only takes in others"
	case p.c.Mode == Only && !prop.sm:
		return "an SM algorithm, or another mode than gm-only"
	case bits < p.c.MinBits && alg == RSA:
		return fmt.Sprintf("a strength of %d bits (minBits), and RSA with %d bits has %d: take a longer key", p.c.MinBits, params.KeyBits, bits)
	case bits < p.c.MinBits:
		return fmt.Sprintf("a strength of %d bits (minBits), and this has %d", p.c.MinBits, bits)
	case p.c.RejectECB && strings.EqualFold(params.Mode, "ecb"):
		return "another mode than ECB, such as GCM, or rejectECB: false"
	case p.c.RequireDual && op == Authenticate && alg == SM2 && !params.Dual:
		return "a certificate to sign with and another to encrypt to, or requireDual: false"
	}
	if alg == SM2 && (op == Sign || op == Verify) && len(p.c.DistIDs) > 0 {
		id := params.DistID
		if id == "" {
			id = sm2.DefaultID
		}
		if !slices.Contains(p.c.DistIDs, id) {
			return fmt.Sprintf("one of the identities in distIDs, and %.64q is none", id)
		}
	}
	return ""
}

// Order gives those of algs that the mode leaves, those first that it has go first, and
// otherwise in the order they have.
func (p *Policy) Order(algs []Alg) (left []Alg) {
	for _, a := range algs {
		if _, known := properties[a]; known && (p.c.Mode != Only || a.IsSM()) {
			left = append(left, a)
		}
	}
	first := func(a Alg) int {
		if a.IsSM() == (p.c.Mode != Intl) {
			return 0
		}
		return 1
	}
	if p.c.Mode != Hybrid {
		slices.SortStableFunc(left, func(a, b Alg) int { return first(a) - first(b) })
	}
	return left
}

// Denied says whether an error is of a policy.
func Denied(err error) bool {
	var d *DeniedError
	return errors.As(err, &d)
}
