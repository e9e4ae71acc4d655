package module

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/kern/authenticode"
	"github.com/anole-os/anole/internal/term"
)

func uefiCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "uefi",
		Short: "Signatures of boot loaders and kernels, for UEFI's Secure Boot",
		Long: `Signs PE images by Authenticode, with RSA and SHA-256, which firmware takes, or with
SM2 and SM3, and verifies, lists and removes signatures.`,
	}
	c.AddCommand(uefiHashCommand(), uefiSignCommand(), uefiVerifyCommand(), uefiListCommand(), uefiRemoveCommand())
	return c
}

func uefiHashCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "hash IMAGE…",
		Short: "What a signature of an image covers",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			h, err := hashNamed(name)
			if err != nil {
				return err
			}
			type sum struct {
				Path string `json:"path"`
				Hash string `json:"hash"`
				Sum  string `json:"sum"`
			}
			all := []sum{}
			env := core.EnvFrom(cmd.Context())
			some := batch{files: len(args), tell: env.Err}
			for _, path := range args {
				file, err := take(cmd, path, maxInput)
				if err != nil {
					some.failed(err)
					continue
				}
				b, err := authenticode.Hash(file, cmp.Or(h, cms.SHA256))
				if err != nil {
					some.failed(fmt.Errorf("%s: %w", path, err))
					continue
				}
				all = append(all, sum{path, h.String(), hex.EncodeToString(b)})
			}
			if env.JSON {
				return errors.Join(some.err(), env.PrintJSON(map[string]any{"images": all}))
			}
			for _, s := range all {
				if err := line(env.Out, "%s  %s", s.Sum, s.Path); err != nil {
					return err
				}
			}
			return some.err()
		},
	}
	c.Flags().StringVar(&name, "hash", "sha256", "sm3, sha256, sha384 or sha512")
	return c
}

func uefiSignCommand() *cobra.Command {
	var s signing
	var chain []string
	var to beside
	o := authenticode.SignOptions{}
	c := &cobra.Command{
		Use:   "sign IMAGE",
		Short: "Add a signature to an image",
		Long: `Adds a signature to an image, in place or to --out, beside those that it has. What
else is in the certificate's file is carried along as its chain.`,
		Example: "  anole gm uefi sign --cert db.pem --key db.key --out signed.efi systemd-bootx64.efi",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			who, above, err := s.read(cmd)
			if err != nil {
				return err
			}
			o.Certificate, o.Key, o.Hash = who.Certificate, who.Key, who.Hash
			more, err := certificates(cmd, chain)
			if err != nil {
				return err
			}
			o.Chain = slices.Concat(above, more)
			to.read = append([]string{s.certificate, s.key}, chain...)
			return rewrite(cmd, args, &to, func(file []byte) ([]byte, error) { return authenticode.Sign(file, o) })
		},
	}
	s.flags(c)
	c.Flags().StringArrayVar(&chain, "chain", nil, "further certificates to carry")
	c.Flags().BoolVar(&o.Replace, "replace", false, "take signatures that are there off")
	to.flags(c, "image")
	return c
}

// imageSignature is a signature as it is shown.
type imageSignature struct {
	Number int    `json:"number"`
	Hash   string `json:"hash"`
	Sum    string `json:"sum"`
	Error  string `json:"error,omitempty"`
	signature
}

func imageSignatures(all []authenticode.Signature) []imageSignature {
	out := []imageSignature{}
	for n := range all {
		s := &all[n]
		one := imageSignature{Number: n, Hash: s.Hash.String(), Sum: hex.EncodeToString(s.Digest)}
		switch {
		case s.Report != nil && len(s.Report.Signers) > 0:
			one.signature = signaturesOf(s.Report)[0]
		case s.Message != nil && len(s.Message.Signers) > 0:
			one.signature = signatureOf(&s.Message.Signers[0], s.Message.CertificateOf(&s.Message.Signers[0]))
		}
		if s.Err != nil {
			one.Error = s.Err.Error()
		}
		out = append(out, one)
	}
	return out
}

// printVerdict prints what came out of checking an image.
func printVerdict(cmd *cobra.Command, all []authenticode.Signature, no error) error {
	if env := core.EnvFrom(cmd.Context()); env.JSON {
		return env.PrintJSON(verdictOf(no, imageSignatures(all)))
	}
	if all == nil {
		return nil
	}
	return printImage(cmd, all, true)
}

// printImage prints signatures; checked: they were, and not only compared with the image.
func printImage(cmd *cobra.Command, all []authenticode.Signature, checked bool) error {
	env := core.EnvFrom(cmd.Context())
	list := imageSignatures(all)
	if env.JSON {
		return env.PrintJSON(map[string]any{"signatures": list})
	}
	if len(list) == 0 {
		return line(env.Out, "the image is not signed")
	}
	t := term.NewTable("NO", "SIGNER", "ALGORITHM", "SIGNATURE")
	for _, s := range list {
		state := "of this image, not checked"
		if checked {
			state = "good"
		}
		if s.Error != "" {
			state = "bad: " + term.Clean(s.Error)
		}
		algorithm := s.Algorithm
		if algorithm == "" {
			algorithm = "-"
		}
		t.Row(strconv.Itoa(s.Number), s.who(), algorithm, state)
	}
	return t.Write(env.Out)
}

func uefiVerifyCommand() *cobra.Command {
	var roots, more []string
	var h held
	o := authenticode.VerifyOptions{}
	c := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "Check the signatures of an image",
		Long: `Checks an image as firmware would whose db has the --cert: one good signature is
enough, and when certificates are valid is not asked. What firmware does not ask: that
a certificate which says for what it is, is for signing code, or for what --for names,
and with --crl that it was not revoked. Exit code 3: the image is not to be booted.`,
		Example: "  anole gm uefi verify --cert db.pem signed.efi",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Roots, err = certificates(cmd, roots); err != nil {
				return err
			}
			if o.Certificates, err = certificates(cmd, more); err != nil {
				return err
			}
			if o.Usages, o.CRLs, err = h.read(cmd, "", o.Roots, o.Certificates); err != nil {
				return err
			}
			o.Revocation = h.need
			file, err := take(cmd, args[0], maxInput)
			if err != nil {
				return err
			}
			all, err := authenticode.Verify(file, o)
			return errors.Join(judged(err), printVerdict(cmd, all, err))
		},
	}
	c.Flags().StringArrayVar(&roots, "cert", nil, "certificates to trust: signers' own, or of those who issued them")
	c.Flags().StringArrayVar(&more, "chain", nil, "certificates that signatures may be without")
	c.Flags().BoolVar(&o.All, "all", false, "all signatures must be good")
	h.flags(c, "code_signing")
	_ = c.MarkFlagRequired("cert")
	return c
}

func uefiListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list IMAGE",
		Short: "Who signed an image, and whether it is the one that was signed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := take(cmd, args[0], maxInput)
			if err != nil {
				return err
			}
			all, err := authenticode.List(file)
			if err != nil {
				return err
			}
			return printImage(cmd, all, false)
		},
	}
}

func uefiRemoveCommand() *cobra.Command {
	var to beside
	var number int
	var all bool
	c := &cobra.Command{
		Use:   "remove IMAGE",
		Short: "Take a signature, or all, off an image",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !all && number < 0 {
				return core.Exit(core.ExitUsage, errors.New("say which with --number, as uefi list has them, or --all"))
			}
			n := number
			if all {
				n = -1
			}
			return rewrite(cmd, args, &to, func(file []byte) ([]byte, error) { return authenticode.Remove(file, n) })
		},
	}
	c.Flags().IntVar(&number, "number", -1, "the one to take off; the first is 0")
	c.Flags().BoolVar(&all, "all", false, "take all off")
	to.flags(c, "image")
	c.MarkFlagsMutuallyExclusive("number", "all")
	return c
}
