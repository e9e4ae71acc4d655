package module

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/ca"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/internal/term"
)

func caCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ca",
		Short: "A small certificate authority in a folder",
		Long: `Makes a CA of SM2 in a folder, issues certificates and pairs of them, revokes them
and makes lists of what is revoked. A process that is killed at any moment leaves a
folder that the next one goes on with.`,
	}
	c.AddCommand(caInitCommand(), caIssueCommand(), caRevokeCommand(), caCRLCommand(), caListCommand(), caRecoverCommand())
	return c
}

// folder is the flags of which CA it is.
type folder struct{ dir, pass string }

func (f *folder) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "dir", "ca", "the CA's folder")
	c.Flags().StringVar(&f.pass, "pass", "", "source of the password of the CA's keys: "+sources)
}

func (f *folder) open(cmd *cobra.Command) (*ca.CA, error) {
	if err := secret(); err != nil {
		return nil, err
	}
	c, err := ca.Open(f.dir, reading(cmd, f.pass, f.dir))
	return c, material(err)
}

// asked gives what a CA was asked for and cannot be its exit code.
func asked(err error) error {
	if errors.Is(err, ca.ErrProfile) || errors.Is(err, ca.ErrDays) || errors.Is(err, ca.ErrSerial) {
		return core.Exit(core.ExitUsage, err)
	}
	return refused(err)
}

func caInitCommand() *cobra.Command {
	var dir, name, below, id, url string
	var days int
	var e encryption
	c := &cobra.Command{
		Use:     "init --subject NAME",
		Short:   "Make a CA: a root, and with --intermediate a CA below it that issues",
		Example: `  anole gm ca init --dir ca --subject "C=CN, O=Example, CN=Example Root" --intermediate "C=CN, O=Example, CN=Example CA 1"`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := ca.Options{Days: days, ID: id, CRLURL: url}
			var err error
			if o.Name, err = x509.ParseName(name); err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			if below != "" {
				if o.Intermediate, err = x509.ParseName(below); err != nil {
					return core.Exit(core.ExitUsage, err)
				}
			}
			if o.Password, o.Encryption, err = e.options(cmd, dir); err != nil {
				return err
			}
			if err := secret(); err != nil {
				return err
			}
			made, err := ca.Init(dir, o)
			if err != nil {
				return asked(err)
			}
			env := core.EnvFrom(cmd.Context())
			d := x509.Describe(made.Certificate(ca.Root))
			if env.JSON {
				return env.PrintJSON(map[string]any{"dir": dir, "root": d})
			}
			_, err = fmt.Fprintf(env.Out, "%s: %s, until %s\n", dir, d.Subject, d.NotAfter.Format(time.DateOnly))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "ca", "folder to make it in")
	f.StringVar(&name, "subject", "", `name of the root: "C=CN, O=Name, CN=Root"`)
	f.StringVar(&below, "intermediate", "", "name of the CA below the root; without it the root issues")
	f.IntVar(&days, "days", 20*365, "of the root's validity; the intermediate has half")
	f.StringVar(&id, "distid", "", idText)
	f.StringVar(&url, "crl-url", "", "where its lists will be found: is put into what it issues")
	_ = c.MarkFlagRequired("subject")
	e.flags(c, "the CA's keys")
	return c
}

func caRevokeCommand() *cobra.Command {
	var f folder
	var reason string
	c := &cobra.Command{
		Use:   "revoke SERIAL…",
		Short: "Revoke certificates; the next list has them",
		Long: `Revokes certificates by their serial numbers, as anole gm ca list has them or as
others write them (0A:B1, 0xAB1): all of them or, where one cannot be, none. The halves
of a pair are revoked one by one.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := ca.ParseReason(reason)
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			return asked(c.Revoke(code, args...))
		},
	}
	f.flags(c)
	c.Flags().StringVar(&reason, "reason", "unspecified", "why: unspecified, key-compromise, ca-compromise, affiliation-changed, superseded, cessation-of-operation or privilege-withdrawn")
	return c
}

func caCRLCommand() *cobra.Command {
	var f folder
	var out string
	var days int
	var root, der, force bool
	c := &cobra.Command{
		Use:   "crl",
		Short: "Make a list of what is revoked",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := free(out, force); err != nil {
				return err
			}
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			issuer := c.Issuer()
			if root {
				issuer = ca.Root
			}
			b, err := c.CRL(issuer, days)
			if err != nil {
				return asked(err)
			}
			if !der {
				b = x509.PEM(x509.PEMCRL, b)
			}
			return putNew(core.EnvFrom(cmd.Context()), out, b, 0o644, force)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&out, "out", "-", "file that gets it; - is standard output. The folder keeps one as well, in crl/")
	c.Flags().IntVar(&days, "days", 30, "until when there will be a newer one")
	c.Flags().BoolVar(&root, "root", false, "the root's list, of intermediates")
	c.Flags().BoolVar(&der, "der", false, "DER instead of PEM")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

// issuedText is an entry for people and programs.
type issuedText struct {
	*ca.Entry
	State  string     `json:"state"` // valid, expired or revoked
	Since  *time.Time `json:"revoked,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Kept   bool       `json:"key_kept"`
	// What the entry has of these is left out.
	DER      []byte `json:"der,omitempty"`
	Envelope []byte `json:"kept,omitempty"`
}

func caListCommand() *cobra.Command {
	var f folder
	c := &cobra.Command{
		Use:   "list",
		Short: "What was issued",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			all, err := c.List()
			if err != nil {
				return err
			}
			texts := make([]issuedText, 0, len(all))
			t := term.NewTable("SERIAL", "STATE", "UNTIL", "PROFILE", "SUBJECT")
			for _, e := range all {
				x := issued(e)
				texts = append(texts, x)
				profile := e.Profile
				if e.Half != "" {
					profile += " (" + e.Half + ")"
				}
				t.Row(e.Serial, x.State, e.NotAfter.Format(time.DateOnly), profile, e.Subject)
			}
			if env.JSON {
				return env.PrintJSON(texts)
			}
			return t.Write(env.Out)
		},
	}
	f.flags(c)
	return c
}

func issued(e *ca.Entry) issuedText {
	x := issuedText{Entry: e, State: "valid", Kept: e.Kept != nil}
	switch {
	case e.Revoked != nil:
		x.State, x.Since, x.Reason = "revoked", e.Revoked, ca.Reason(e.Reason)
	case time.Now().After(e.NotAfter):
		x.State = "expired"
	}
	return x
}

func caRecoverCommand() *cobra.Command {
	var f folder
	var out string
	var force bool
	var e encryption
	c := &cobra.Command{
		Use:   "recover SERIAL --out FILE",
		Short: "Give the key of an encryption certificate that was issued with --keep",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out, force); err != nil {
				return err
			}
			c, err := f.open(cmd)
			if err != nil {
				return err
			}
			k, err := c.Recover(args[0])
			if err != nil {
				return asked(err)
			}
			p, o, err := e.options(cmd, out)
			if err != nil {
				return err
			}
			b, err := privatePEM(cmd.Context(), k, p, o)
			if err != nil {
				return err
			}
			return putNew(core.EnvFrom(cmd.Context()), out, b, 0o600, force)
		},
	}
	f.flags(c)
	c.Flags().StringVar(&out, "out", "", "file that gets the key; - is standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	_ = c.MarkFlagRequired("out")
	e.flags(c, "the key")
	return c
}
