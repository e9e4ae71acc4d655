package module

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/seal"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
	"github.com/anole-os/anole/internal/term"
)

// suffix is of sealed files.
const suffix = ".gms"

func encCommand() *cobra.Command {
	var out, pass string
	var to []string
	var word, force bool
	var iterations int
	c := &cobra.Command{
		Use:   "enc FILE",
		Short: "Encrypt a file under a password, or for holders of SM2 keys",
		Long: `Encrypts with SM4-GCM, so that the file opens whole and unchanged or not at all.
Without --to it is under a password. - is standard input or output.`,
		Example: "  anole gm enc backup.tar\n  anole gm enc backup.tar --to alice.pub --to bob.crt\n  tar c /etc | anole gm enc - --to alice.pub --out etc.tar.gms",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				if out = args[0] + suffix; args[0] == "-" {
					out = "-"
				}
			}
			if iterations < 1000 || iterations > keys.MaxIterations {
				return core.Exit(core.ExitUsage, fmt.Errorf("--iterations %d: 1000 to %d", iterations, keys.MaxIterations))
			}
			if err := free(out, force, append([]string{args[0]}, to...)...); err != nil {
				return err
			}
			o := seal.Options{Iterations: iterations}
			var err error
			if o.Recipients, err = recipients(cmd, to); err != nil {
				return err
			}
			if word || pass != "" || len(to) == 0 {
				if o.Password, err = writing(cmd, pass, out); err != nil {
					return err
				}
			}
			if err := secret(); err != nil {
				return err
			}
			return encrypt(cmd, out, args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&out, "out", "", "file that gets it; FILE"+suffix+" without")
	f.StringArrayVar(&to, "to", nil, "public key or certificate of SM2 for whose holder it is; may be given again")
	f.BoolVar(&word, "password", false, "under a password as well, beside --to")
	f.StringVar(&pass, "new-pass", "", "source of the password: "+sources)
	f.IntVar(&iterations, "iterations", keys.Iterations, "of PBKDF2")
	f.BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

func encrypt(cmd *cobra.Command, to, from string, o seal.Options) error {
	ctx := cmd.Context()
	return transfer(cmd, to, from, "encrypting", passage{
		file: func(done func(int64)) error { return seal.EncryptFile(ctx, to, from, o, done) },
		out:  func(r io.Reader) error { return seal.Encrypt(ctx, core.EnvFrom(ctx).Out, r, o) },
		in:   func(r io.Reader) error { return seal.EncryptStream(ctx, to, r, o) },
	})
}

// passage is what is done from a file to a file, to standard output, and from a stream to a
// file.
type passage struct {
	file    func(done func(int64)) error
	out, in func(io.Reader) error
}

func transfer(cmd *cobra.Command, to, from, label string, p passage) error {
	if from != "-" && to != "-" {
		bar, done := progress(core.EnvFrom(cmd.Context()), label, from)
		defer done()
		return p.file(bar)
	}
	src, err := source(cmd, from)
	if err != nil {
		return err
	}
	defer src.Close()
	if to == "-" {
		return p.out(src)
	}
	return p.in(src)
}

// progress shows how far a file's reading is, where there is a terminal.
func progress(env *core.Env, label, path string) (set func(int64), done func()) {
	s, err := os.Stat(path)
	if err != nil || !term.IsTerminal(env.Err) || !s.Mode().IsRegular() {
		return nil, func() {}
	}
	bar := term.NewProgress(env.Err, label, s.Size())
	return bar.Set, bar.Done
}

// recipients reads public keys and certificates.
func recipients(cmd *cobra.Command, paths []string) (all []*sm2.PublicKey, err error) {
	for _, path := range paths {
		some, err := publics(cmd, []string{path})
		if err != nil {
			return nil, err
		}
		// What follows in the file is of a certificate's chain.
		if c := some[0].certificate; c != nil {
			if err := encrypts(c); err != nil {
				return nil, core.Exit(core.ExitNo, fmt.Errorf("%s: %w", path, err))
			}
		}
		k, ok := some[0].key.(*sm2.PublicKey)
		if !ok || !sm2.IsPublicKey(k) {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("%s: a key of %s; it must be of SM2", path, keys.Algorithm(some[0].key)))
		}
		all = append(all, k)
	}
	return all, nil
}

// encrypts says whether one may encrypt for a certificate now.
func encrypts(c *x509.Certificate) error {
	switch {
	case c.KeyUsage != 0 && c.KeyUsage&x509.ForEncryption == 0:
		return &x509.Problem{Which: x509.Encryption, Err: x509.ErrUsage}
	case time.Now().After(c.NotAfter):
		return &x509.Problem{Which: x509.Encryption, Err: x509.ErrExpired}
	}
	return nil
}

func decCommand() *cobra.Command {
	var out, pass, key string
	var force bool
	c := &cobra.Command{
		Use:   "dec FILE",
		Short: "Decrypt a file of anole gm enc; exit code 3 if it is none, or was changed, cut or extended",
		Long: `Decrypts with a password, or with --key. Nothing is written, not even to standard
output or into a device or a pipe, before all of the file was found to be genuine.`,
		Example: "  anole gm dec backup.tar.gms\n  anole gm dec etc.tar.gms --key alice.key --out - | tar t",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				var ok bool
				if out, ok = strings.CutSuffix(args[0], suffix); !ok || out == "" {
					return core.Exit(core.ExitUsage, fmt.Errorf("say with --out where to: the name %s does not end with %s", args[0], suffix))
				}
			}
			if err := free(out, force, args[0], key); err != nil {
				return err
			}
			o := seal.Opener{}
			err := secret()
			if err != nil {
				return err
			}
			if key != "" {
				if o.Key, err = sm2Key(cmd, key, pass); err != nil {
					return err
				}
			} else {
				o.Password = reading(cmd, pass, args[0])
			}
			return opened(decrypt(cmd, out, args[0], o))
		},
	}
	c.Flags().StringVar(&out, "out", "", "file that gets it; FILE without "+suffix+" if not given; - is standard output")
	c.Flags().StringVar(&key, "key", "", "private key of SM2 that it was encrypted for")
	c.Flags().StringVar(&pass, "pass", "", "source of the password, of the file or of --key: "+sources)
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

func decrypt(cmd *cobra.Command, to, from string, o seal.Opener) error {
	ctx := cmd.Context()
	return transfer(cmd, to, from, "decrypting", passage{
		file: func(done func(int64)) error { return seal.DecryptFile(ctx, to, from, o, done) },
		out:  func(r io.Reader) error { return seal.DecryptChecked(ctx, core.EnvFrom(ctx).Out, r, o) },
		in:   func(r io.Reader) error { return seal.DecryptStream(ctx, to, r, o) },
	})
}

// opened gives what does not open its exit code.
func opened(err error) error {
	switch {
	case errors.Is(err, seal.ErrDamaged), errors.Is(err, seal.ErrMalformed):
		return core.Exit(core.ExitNo, err)
	case errors.Is(err, seal.ErrPassword), errors.Is(err, seal.ErrKey), errors.Is(err, keys.ErrPassword):
		return core.Exit(core.ExitDenied, err)
	}
	return err
}
