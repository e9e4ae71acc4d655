package module

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
)

func cmsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "cms",
		Short: "Signed and enveloped messages: GM/T 0010 and RFC 5652",
		Long: `Signs, verifies, encrypts and decrypts messages of the cryptographic message
syntax, with SM2, SM3 and SM4; RSA and ECDSA with SHA-2 are known too. Messages are
read as DER, BER or PEM of either standard.`,
	}
	c.AddCommand(cmsSignCommand(), cmsVerifyCommand(), cmsEncryptCommand(), cmsDecryptCommand(), cmsShowCommand())
	return c
}

// signers reads pairs of certificates and keys, whose passwords are of one source; what
// follows a certificate in its file is of its chain.
func signers(cmd *cobra.Command, certificates, keys []string, pass, hash string) (all []cms.Signer, chain []*cms.Certificate, err error) {
	if len(certificates) != len(keys) {
		return nil, nil, core.Exit(core.ExitUsage, fmt.Errorf("there are %d certificates and %d keys: give them in pairs", len(certificates), len(keys)))
	}
	for i := range keys {
		s := signing{certificates[i], keys[i], pass, hash}
		who, rest, err := s.read(cmd)
		if err != nil {
			return nil, nil, err
		}
		all, chain = append(all, who), append(chain, rest...)
	}
	return all, chain, nil
}

// output is the flags of where a message goes.
type output struct {
	path     string
	pem, der bool
	force    bool
}

func (o *output) flags(c *cobra.Command) {
	c.Flags().StringVar(&o.path, "out", "", "the file to write; standard output without")
	c.Flags().BoolVar(&o.pem, "pem", false, "write PEM, as is done anyway to standard output")
	c.Flags().BoolVar(&o.der, "der", false, "write DER, as is done anyway to a file")
	c.MarkFlagsMutuallyExclusive("pem", "der")
	forceFlag(c, &o.force)
}

func (o *output) write(cmd *cobra.Command, der []byte) error {
	if o.pem || !o.der && (o.path == "" || o.path == "-") {
		der = cms.PEM(der)
	}
	return putNew(core.EnvFrom(cmd.Context()), o.path, der, 0o644, o.force)
}

// input names the file that a verb without arguments reads: standard input.
func input(args []string) string {
	if len(args) == 0 {
		return "-"
	}
	return args[0]
}

func cmsSignCommand() *cobra.Command {
	var certs, keys, chain []string
	var pass, hash string
	var to output
	o := cms.SignOptions{}
	c := &cobra.Command{
		Use:   "sign [FILE]",
		Short: "Sign a file",
		Long: `Signs a file, or standard input. Each --cert goes with a --key; what else is in
a certificate's file is carried along as its chain.

With --detached a file may be of any length; without, all of it is kept in memory, and
it is of 1 GiB at most.`,
		Example: "  anole gm cms sign --cert alice.pem --key alice.key --out letter.p7m letter.txt\n" +
			"  anole gm cms sign --detached --gmt --cert alice.pem --key alice.key --out letter.p7s letter.txt",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := free(to.path, to.force, slices.Concat([]string{input(args)}, certs, keys, chain)...); err != nil {
				return err
			}
			if o.Signers, o.Chain, err = signers(cmd, certs, keys, pass, hash); err != nil {
				return err
			}
			more, err := certificates(cmd, chain)
			if err != nil {
				return err
			}
			o.Chain = append(o.Chain, more...)
			der, err := signFile(cmd, input(args), o)
			if err != nil {
				return err
			}
			return to.write(cmd, der)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&certs, "cert", nil, "a signer's certificate, PEM or DER; once for each")
	f.StringArrayVar(&keys, "key", nil, "its private key; once for each")
	f.StringVar(&pass, "pass", "", "source of the keys' password: "+sources)
	f.StringArrayVar(&chain, "chain", nil, "further certificates to carry")
	hashFlag(c, &hash)
	f.BoolVar(&o.Detached, "detached", false, "leave the content out")
	f.BoolVar(&o.NoAttributes, "no-attributes", false, "sign the content itself, without time and type")
	f.BoolVar(&o.NoCertificates, "no-certs", false, "carry no certificates")
	f.BoolVar(&o.Plain, "plain", false, "with --no-attributes and SM2: leave the signer's identity out, as OpenSSL and Linux do")
	f.BoolVar(&o.GMT, "gmt", false, "identifiers of GM/T 0010 instead of RFC 5652")
	f.StringVar(&o.ID, "distid", "", idText)
	to.flags(c)
	_ = c.MarkFlagRequired("cert")
	_ = c.MarkFlagRequired("key")
	return c
}

// signFile signs a file: as a stream, however long, if it is to be detached.
func signFile(cmd *cobra.Command, path string, o cms.SignOptions) ([]byte, error) {
	if !o.Detached {
		b, err := take(cmd, path, maxInput)
		if err != nil {
			return nil, err
		}
		return cms.Sign(bytes.NewReader(b), o)
	}
	f, err := source(cmd, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return cms.Sign(f, o)
}

// signerTrust is the flags of whom a verb believes.
type signerTrust struct {
	roots, certs []string
	at           string
	held         held
	options      cms.VerifyOptions
}

func (t *signerTrust) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&t.roots, "root", nil, "certificates to trust: signers' own, or of those who issued them")
	f.StringArrayVar(&t.certs, "cert", nil, "certificates that the message may be without")
	f.BoolVar(&t.options.Unchained, "no-chain", false, "do not ask whose the certificates are")
	f.StringVar(&t.options.ID, "distid", "", idText)
	f.BoolVar(&t.options.Plain, "plain", false, "SM2 without attributes: the signature covers the content alone, as of OpenSSL and Linux")
	f.BoolVar(&t.options.Any, "any", false, "one good signature is enough")
	f.StringVar(&t.at, "at", "", atText)
	t.held.flags(c, "email")
	for _, name := range []string{"crl", "need-crl", "for"} {
		c.MarkFlagsMutuallyExclusive("no-chain", name)
	}
}

func (t *signerTrust) read(cmd *cobra.Command) (o cms.VerifyOptions, err error) {
	o = t.options
	if o.Time, err = moment(t.at); err != nil {
		return o, err
	}
	if o.Roots, err = certificates(cmd, t.roots); err != nil {
		return o, err
	}
	if o.Certificates, err = certificates(cmd, t.certs); err != nil {
		return o, err
	}
	o.Revocation = t.held.need
	o.Usages, o.CRLs, err = t.held.read(cmd, "", o.Roots, o.Certificates)
	return o, err
}

func cmsVerifyCommand() *cobra.Command {
	var t signerTrust
	var content, out string
	var force bool
	c := &cobra.Command{
		Use:   "verify [MESSAGE]",
		Short: "Check the signatures of a message",
		Long: `Checks every signature of a message and says who signed. The content is written
to --out only if all is well. Exit code 3: the message is not to be believed. A
certificate that says for what it is must be for email, or for what --for names. With
-o json a verdict comes in any case, on standard error where --out is standard output.`,
		Example: "  anole gm cms verify --root ca.pem --out letter.txt letter.p7m\n  anole gm cms verify --root ca.pem --content letter.txt letter.p7s",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out, force, slices.Concat([]string{input(args), content}, t.roots, t.certs)...); err != nil {
				return err
			}
			o, err := t.read(cmd)
			if err != nil {
				return err
			}
			message, err := take(cmd, input(args), maxInput)
			if err != nil {
				return err
			}
			if content != "" {
				f, err := source(cmd, content)
				if err != nil {
					return err
				}
				defer f.Close()
				o.Content = f
			}
			r, no := cms.Verify(message, o)
			if no == nil && out != "" {
				if r.Content == nil {
					return core.Exit(core.ExitUsage, errors.New("--out: the message is detached, its content is yours already"))
				}
				err = putNew(core.EnvFrom(cmd.Context()), out, r.Content, 0o644, force)
			}
			return errors.Join(judged(no), err, printReport(cmd, r, no, out == "-"))
		},
	}
	t.flags(c)
	c.Flags().StringVar(&content, "content", "", "the content of a detached message")
	c.Flags().StringVar(&out, "out", "", "write the content that was signed; - is standard output")
	forceFlag(c, &force)
	return c
}

// signedVerdict is what a verb says with -o json of what was signed.
type signedVerdict struct {
	OK         bool   `json:"ok"`
	Problem    string `json:"problem,omitempty"`
	Signatures any    `json:"signatures"`
}

func verdictOf(no error, signatures any) signedVerdict {
	v := signedVerdict{OK: no == nil, Signatures: signatures}
	if no != nil {
		v.Problem = no.Error()
	}
	return v
}

// printReport prints a report, which is nil where there was nothing to read; taken: the
// content has standard output.
func printReport(cmd *cobra.Command, r *cms.Report, no error, taken bool) error {
	env := *core.EnvFrom(cmd.Context())
	if env.JSON {
		if taken {
			env.Out = env.Err
		}
		return env.PrintJSON(verdictOf(no, signaturesOf(r)))
	}
	if r == nil || taken {
		return nil
	}
	return signatureTable(signaturesOf(r)).Write(env.Out)
}
