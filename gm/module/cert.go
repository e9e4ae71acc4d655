package module

import (
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/x509"
)

func certCommand() *cobra.Command {
	c := &cobra.Command{Use: "cert", Short: "Certificates: show and verify them, alone or in pairs"}
	c.AddCommand(certShowCommand(), certVerifyCommand(), certPairCommand())
	return c
}

func certShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE…",
		Short: "Show certificates, as text for people",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := core.EnvFrom(cmd.Context())
			all, err := certificates(cmd, args)
			if err != nil {
				return err
			}
			texts := make([]x509.Description, 0, len(all))
			for _, c := range all {
				texts = append(texts, x509.Describe(c))
			}
			if env.JSON {
				return env.PrintJSON(texts)
			}
			for i := range texts {
				if i > 0 {
					if _, err := fmt.Fprintln(env.Out); err != nil {
						return fmt.Errorf("write output: %w", err)
					}
				}
				if err := texts[i].Print(env.Out, time.Now()); err != nil {
					return fmt.Errorf("write output: %w", err)
				}
			}
			return nil
		},
	}
}

const (
	crlText     = "file of a revocation list, of an issuer that is given too; may be given again. An issuer's must not all be out of date"
	needCRLText = "say no to a certificate whose issuer has no current list here"
)

// trust is the flags of what certificates are held to.
type trust struct {
	roots, chain, crls []string
	at, id, name, use  string
	need               bool
}

func (v *trust) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&v.roots, "root", nil, "file of certificates that are trusted; may be given again. The system's are not")
	f.StringArrayVar(&v.chain, "chain", nil, "file of certificates between; may be given again")
	f.StringArrayVar(&v.crls, "crl", nil, crlText)
	f.BoolVar(&v.need, "need-crl", false, needCRLText)
	f.StringVar(&v.at, "at", "", atText)
	f.StringVar(&v.id, "distid", "", idText)
	f.StringVar(&v.name, "host", "", "DNS name or IP address that it must be of")
	f.StringVar(&v.use, "for", "", "what it must be for: server, client, code_signing, email, time_stamping or ocsp_signing")
	_ = c.MarkFlagRequired("root")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"server", "client", "code_signing", "email", "time_stamping", "ocsp_signing"}, cobra.ShellCompDirectiveNoFileComp))
}

func (v *trust) options(cmd *cobra.Command) (o x509.Options, err error) {
	o.ID, o.Name, o.Revocation = v.id, v.name, v.need
	if v.use != "" {
		u, err := x509.ParseExtended(v.use)
		if err != nil {
			return o, core.Exit(core.ExitUsage, err)
		}
		o.Usages = []x509.ExtKeyUsage{u}
	}
	if o.Time, err = moment(v.at); err != nil {
		return o, err
	}
	if o.Roots, err = certificates(cmd, v.roots); err != nil {
		return o, err
	}
	if o.Intermediates, err = certificates(cmd, v.chain); err != nil {
		return o, err
	}
	o.CRLs, err = lists(cmd, v.crls, v.id, slices.Concat(o.Intermediates, o.Roots))
	return o, err
}

// lists reads revocation lists of issuers.
func lists(cmd *cobra.Command, paths []string, id string, issuers []*x509.Certificate) (all []*x509.Revocations, err error) {
	for _, path := range paths {
		r, err := revocations(cmd, path, id, issuers)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// revocations reads a list and finds who signed it.
func revocations(cmd *cobra.Command, path, id string, issuers []*x509.Certificate) (*x509.Revocations, error) {
	b, err := take(cmd, path, x509.MaxSize)
	if err != nil {
		return nil, material(err)
	}
	l, err := x509.ReadCRL(b)
	if err != nil {
		return nil, material(fmt.Errorf("read revocation list %s: %w", path, err))
	}
	err = x509.ErrCRLIssuer
	for _, c := range issuers {
		if string(c.RawSubject) != string(l.RawIssuer) {
			continue
		}
		var r *x509.Revocations
		if r, err = x509.NewRevocations(l, c, id); err == nil {
			return r, nil
		}
	}
	return nil, core.Exit(core.ExitNo, fmt.Errorf("check %s: %w", path, err))
}

// verdict is what verify and pair say with -o json.
type verdict struct {
	OK      bool     `json:"ok"`
	Problem string   `json:"problem,omitempty"`
	Chain   []string `json:"chain,omitempty"` // subjects
}

func (v *verdict) tell(env *core.Env, good string, err error) error {
	if v.OK = err == nil; err != nil {
		v.Problem = err.Error()
		err = judged(err)
	}
	if env.JSON {
		if e := env.PrintJSON(v); e != nil {
			return e
		}
		return err
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, good)
	return err
}

func certVerifyCommand() *cobra.Command {
	var v trust
	c := &cobra.Command{
		Use:     "verify FILE --root FILE",
		Short:   "Verify a certificate up to a root; exit code 3 if it is not to be trusted",
		Long:    "Verifies the first certificate of FILE; those behind it are taken as --chain.",
		Example: "  anole gm cert verify server.crt --root root.crt --chain intermediate.crt --host www.example.com --for server",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := v.options(cmd)
			if err != nil {
				return err
			}
			all, err := certificates(cmd, args)
			if err != nil {
				return err
			}
			o.Intermediates = append(o.Intermediates, all[1:]...)
			chain, err := x509.Verify(all[0], o)
			var t verdict
			for _, c := range chain {
				t.Chain = append(t.Chain, x509.Name(c.Subject))
			}
			good := args[0] + ": good"
			for _, s := range t.Chain {
				good += "\n  " + s
			}
			return t.tell(core.EnvFrom(cmd.Context()), good, err)
		},
	}
	v.flags(c)
	return c
}

func certPairCommand() *cobra.Command {
	var v trust
	var signKey, encKey, pass string
	c := &cobra.Command{
		Use:   "pair SIGN ENC --root FILE",
		Short: "Verify a signing and an encryption certificate, as TLCP has them; exit code 3 if they will not do",
		Long: `Verifies that two certificates are a pair of one subject from one issuer, that
their usages are right and not swapped, and each up to a root. With --sign-key and
--enc-key, that the keys are theirs.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := v.options(cmd)
			if err != nil {
				return err
			}
			sign, err := certificates(cmd, args[:1])
			if err != nil {
				return err
			}
			enc, err := certificates(cmd, args[1:])
			if err != nil {
				return err
			}
			o.Intermediates = append(append(o.Intermediates, sign[1:]...), enc[1:]...)
			p, err := x509.NewSignEncPair(sign[0], enc[0])
			if err == nil {
				err = p.Verify(o)
			}
			if err == nil && signKey != "" {
				if err, other := fits(cmd, p, signKey, encKey, pass); other != nil {
					return other
				} else if err != nil {
					return (&verdict{}).tell(core.EnvFrom(cmd.Context()), "", err)
				}
			}
			return (&verdict{}).tell(core.EnvFrom(cmd.Context()), "the pair is good", err)
		},
	}
	v.flags(c)
	c.Flags().StringVar(&signKey, "sign-key", "", "key of the signing certificate")
	c.Flags().StringVar(&encKey, "enc-key", "", "key of the encryption certificate")
	c.Flags().StringVar(&pass, "pass", "", "source of the keys' password: "+sources)
	c.MarkFlagsRequiredTogether("sign-key", "enc-key")
	return c
}

// fits checks the keys of a pair; other is an error of reading them.
func fits(cmd *cobra.Command, p *x509.SignEncPair, signKey, encKey, pass string) (no, other error) {
	sign, err := privateKey(cmd, signKey, pass)
	if err != nil {
		return nil, err
	}
	enc, err := privateKey(cmd, encKey, pass)
	if err != nil {
		return nil, err
	}
	return p.Fits(sign, enc), nil
}
