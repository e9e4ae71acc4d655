package module

import (
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/x509"
)

func cmsEncryptCommand() *cobra.Command {
	var to, certs, keys []string
	var pass, at string
	var isGMT bool
	var out output
	c := &cobra.Command{
		Use:   "encrypt [FILE]",
		Short: "Encrypt a file for those who have certificates",
		Long: `Encrypts a file, or standard input, with SM4 under a key that each --to can read.
With --sign-cert and --sign-key it is signed too, in a way that only they can check.
All of it is kept in memory, and it is of 1 GiB at most: anole gm enc takes longer ones.
Exit code 3: a certificate is not valid, or its key is not for this; whether it was
revoked, and who issued it, anole gm cert verify tells.`,
		Example: "  anole gm cms encrypt --to bob.pem --to carol.pem --out letter.p7m letter.txt",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out.path, out.force, slices.Concat([]string{input(args)}, to, certs, keys)...); err != nil {
				return err
			}
			recipients, err := certificates(cmd, to)
			if err != nil {
				return err
			}
			who, chain, err := signers(cmd, certs, keys, pass, "")
			if err != nil {
				return err
			}
			content, err := take(cmd, input(args), maxInput)
			if err != nil {
				return err
			}
			o := cms.EnvelopOptions{Recipients: recipients, GMT: isGMT}
			if o.Time, err = moment(at); err != nil {
				return err
			}
			var der []byte
			if len(who) > 0 {
				der, err = cms.SignAndEnvelop(content, cms.SignOptions{Signers: who, Chain: chain}, o)
			} else {
				der, err = cms.Envelop(content, o)
			}
			if _, no := errors.AsType[*x509.Problem](err); no || errors.Is(err, cms.ErrUsage) {
				return core.Exit(core.ExitNo, err)
			}
			if err != nil {
				return err
			}
			return out.write(cmd, der)
		},
	}
	c.Flags().StringArrayVar(&to, "to", nil, "a recipient's certificate; once for each")
	c.Flags().StringArrayVar(&certs, "sign-cert", nil, "a signer's certificate; once for each")
	c.Flags().StringArrayVar(&keys, "sign-key", nil, "its private key; once for each")
	c.Flags().StringVar(&pass, "pass", "", "source of the keys' password: "+sources)
	c.Flags().StringVar(&at, "at", "", atText)
	c.Flags().BoolVar(&isGMT, "gmt", false, "identifiers of GM/T 0010 instead of RFC 5652")
	out.flags(c)
	_ = c.MarkFlagRequired("to")
	return c
}

func cmsDecryptCommand() *cobra.Command {
	var t signerTrust
	var key, pass, certificate, out string
	var force bool
	c := &cobra.Command{
		Use:   "decrypt [MESSAGE]",
		Short: "Decrypt a message, and check it where it is signed too",
		Long: `Decrypts a message with the key of one of its recipients. Where it is signed too,
the content is written only if the signatures are good. Exit code 3: the key does
not open it, or it is not to be believed, of which anole gm cms verify tells more.`,
		Example: "  anole gm cms decrypt --key bob.key --out letter.txt letter.p7m",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out, force, slices.Concat([]string{input(args), key, certificate}, t.roots, t.certs)...); err != nil {
				return err
			}
			v, err := t.read(cmd)
			if err != nil {
				return err
			}
			k, err := privateKey(cmd, key, pass)
			if err != nil {
				return err
			}
			d, ok := k.(crypto.Decrypter)
			if !ok {
				return core.Exit(core.ExitUsage, errors.New("--key: a key of its kind does not decrypt: take SM2 or RSA"))
			}
			o := cms.OpenOptions{Key: d, Verify: v}
			if certificate != "" {
				all, err := certificates(cmd, []string{certificate})
				if err != nil {
					return err
				}
				o.Certificate = all[0]
			}
			message, err := take(cmd, input(args), maxInput)
			if err != nil {
				return err
			}
			opened, err := cms.Open(message, o)
			if err != nil {
				return judged(err)
			}
			return putNew(core.EnvFrom(cmd.Context()), out, opened.Content, 0o600, force) // it was secret
		},
	}
	t.flags(c)
	c.Flags().StringVar(&key, "key", "", "the recipient's private key")
	c.Flags().StringVar(&pass, "pass", "", "source of its password: "+sources)
	c.Flags().StringVar(&certificate, "recipient", "", "the recipient's certificate; without, all are tried")
	c.Flags().StringVar(&out, "out", "", "the file to write, for you alone to read; standard output without")
	forceFlag(c, &force)
	_ = c.MarkFlagRequired("key")
	return c
}

// shown is a message as cms show prints it.
type shown struct {
	Kind         string      `json:"kind"`
	Standard     string      `json:"standard"`
	ContentType  string      `json:"content_type"`
	Detached     bool        `json:"detached"`
	ContentBytes int         `json:"content_bytes"`
	Certificates []string    `json:"certificates"`
	Signatures   []signature `json:"signatures"`
	Recipients   []recipient `json:"recipients"`
}

type recipient struct {
	Issuer    string `json:"issuer,omitempty"`
	Serial    string `json:"serial,omitempty"`
	KeyID     string `json:"key_id,omitempty"`
	Algorithm string `json:"algorithm"`
}

func show(m *cms.Message) shown {
	s := shown{
		Kind: m.Kind.String(), Standard: "RFC 5652", ContentType: m.ContentType.String(), Detached: m.Detached, ContentBytes: len(m.Content),
		Certificates: []string{}, Signatures: []signature{}, Recipients: []recipient{},
	}
	if m.GMT {
		s.Standard = "GM/T 0010"
	}
	for _, c := range m.Certificates {
		s.Certificates = append(s.Certificates, c.Subject.String())
	}
	for i := range m.Signers {
		s.Signatures = append(s.Signatures, signatureOf(&m.Signers[i], m.CertificateOf(&m.Signers[i])))
	}
	for i := range m.Recipients {
		r := &m.Recipients[i]
		s.Recipients = append(s.Recipients, recipient{r.Issuer(), r.Serial(), r.KeyID(), r.Algorithm()})
	}
	return s
}

func cmsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show [MESSAGE]",
		Short: "What is in a message, unchecked",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			message, err := take(cmd, input(args), maxInput)
			if err != nil {
				return err
			}
			m, err := cms.Parse(message)
			if err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			s := show(m)
			if env.JSON {
				return env.PrintJSON(s)
			}
			return s.print(env)
		},
	}
}

func (s *shown) print(env *core.Env) error {
	content := ""
	switch {
	case s.Kind != cms.Signed.String():
	case s.Detached:
		content = ", detached"
	default:
		content = fmt.Sprintf(", its content is %d bytes", s.ContentBytes)
	}
	if err := line(env.Out, "%s message of %s%s", s.Kind, s.Standard, content); err != nil {
		return err
	}
	for _, c := range s.Certificates {
		if err := line(env.Out, "certificate %s", c); err != nil {
			return err
		}
	}
	for _, r := range s.Recipients {
		who := signature{Issuer: r.Issuer, Serial: r.Serial, KeyID: r.KeyID}
		if err := line(env.Out, "for %s, by %s", who.who(), r.Algorithm); err != nil {
			return err
		}
	}
	if len(s.Signatures) == 0 {
		return nil
	}
	return signatureTable(s.Signatures).Write(env.Out)
}
