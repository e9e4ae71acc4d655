package module

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/internal/term"
)

// signing is the flags of who signs a thing.
type signing struct{ certificate, key, pass, hash string }

func (s *signing) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.certificate, "cert", "", "the signer's certificate, PEM or DER")
	c.Flags().StringVar(&s.key, "key", "", "its private key")
	c.Flags().StringVar(&s.pass, "pass", "", "source of the key's password: "+sources)
	hashFlag(c, &s.hash)
	_ = c.MarkFlagRequired("cert")
	_ = c.MarkFlagRequired("key")
}

func hashFlag(c *cobra.Command, hash *string) {
	c.Flags().StringVar(hash, "hash", "", "sm3, sha256, sha384 or sha512; without, the one that goes with the key")
	_ = c.RegisterFlagCompletionFunc("hash", cobra.FixedCompletions([]string{"sm3", "sha256", "sha384", "sha512"}, cobra.ShellCompDirectiveNoFileComp))
}

// read reads the material; chain is what follows the certificate in its file.
func (s *signing) read(cmd *cobra.Command) (who cms.Signer, chain []*x509.Certificate, err error) {
	if who.Hash, err = hashNamed(s.hash); err != nil {
		return who, nil, err
	}
	all, err := certificates(cmd, []string{s.certificate})
	if err != nil {
		return who, nil, err
	}
	k, err := privateKey(cmd, s.key, s.pass)
	if err != nil {
		return who, nil, err
	}
	who.Certificate, who.Key = all[0], keys.Signer(k)
	return who, all[1:], nil
}

func hashNamed(name string) (cms.Hash, error) {
	switch strings.ToLower(strings.ReplaceAll(name, "-", "")) {
	case "":
		return 0, nil
	case "sm3":
		return cms.SM3, nil
	case "sha256":
		return cms.SHA256, nil
	case "sha384":
		return cms.SHA384, nil
	case "sha512":
		return cms.SHA512, nil
	}
	return 0, core.Exit(core.ExitUsage, fmt.Errorf("--hash: %q is none of sm3, sha256, sha384, sha512", name))
}

// held is the flags of what the certificates of signers are held to, beside who issued
// them.
type held struct {
	use  string
	crls []string
	need bool
}

func (h *held) flags(c *cobra.Command, use string) {
	c.Flags().StringVar(&h.use, "for", use, "what a signer's certificate must be for, if it says for what it is and is not trusted for itself alone: "+strings.Join(purposes, ", "))
	c.Flags().StringArrayVar(&h.crls, "crl", nil, crlText)
	c.Flags().BoolVar(&h.need, "need-crl", false, needCRLText)
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(purposes, cobra.ShellCompDirectiveNoFileComp))
}

var purposes = []string{"email", "code_signing", "server", "client", "time_stamping", "ocsp_signing", "any"}

// read reads the lists, which some of the issuers made.
func (h *held) read(cmd *cobra.Command, id string, issuers ...[]*x509.Certificate) (usages []x509.ExtKeyUsage, crls []*x509.Revocations, err error) {
	u, err := x509.ParseExtended(h.use)
	if err != nil {
		return nil, nil, core.Exit(core.ExitUsage, fmt.Errorf("--for: %w", err))
	}
	crls, err = lists(cmd, h.crls, id, slices.Concat(issuers...))
	return []x509.ExtKeyUsage{u}, crls, err
}

// signature is a signer as it is shown.
type signature struct {
	Signer    string     `json:"signer,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	Serial    string     `json:"serial,omitempty"`
	KeyID     string     `json:"key_id,omitempty"`
	Algorithm string     `json:"algorithm"`
	Time      *time.Time `json:"signed_at,omitempty"`
	Good      *bool      `json:"good,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// signatureOf shows what is said of a signer; c may be nil.
func signatureOf(s *cms.SignerInfo, c *cms.Certificate) signature {
	out := signature{Issuer: s.Issuer(), Serial: s.Serial(), KeyID: s.KeyID(), Algorithm: s.Algorithm()}
	if !s.Time.IsZero() {
		out.Time = &s.Time
	}
	if c != nil {
		out.Signer = c.Subject.String()
	}
	return out
}

// signaturesOf shows a report.
func signaturesOf(r *cms.Report) []signature {
	out := []signature{}
	if r == nil {
		return out
	}
	for i := range r.Signers {
		s := signatureOf(r.Signers[i].SignerInfo, r.Signers[i].Certificate)
		good := r.Signers[i].Err == nil
		s.Good = &good
		if !good {
			s.Reason = r.Signers[i].Err.Error()
		}
		out = append(out, s)
	}
	return out
}

// who names a signer as well as can be.
func (s *signature) who() string {
	switch {
	case s.Signer != "":
		return s.Signer
	case s.KeyID != "":
		return "key " + s.KeyID
	}
	return "number " + s.Serial + " of " + s.Issuer
}

// row is a signature's line in a table of signatureTable.
func (s *signature) row(t *term.Table) {
	state, when := "not checked", "-"
	if s.Good != nil {
		state = map[bool]string{true: "good", false: "bad: " + s.Reason}[*s.Good]
	}
	if s.Time != nil {
		when = s.Time.Format(time.RFC3339)
	}
	t.Row(s.who(), s.Algorithm, when, state)
}

func signatureTable(all []signature) *term.Table {
	t := term.NewTable("SIGNER", "ALGORITHM", "SIGNED AT", "SIGNATURE")
	for i := range all {
		all[i].row(t)
	}
	return t
}

// line prints a line, one of whose values somebody else may have written.
func line(w io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintln(w, term.Clean(fmt.Sprintf(format, args...))); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
