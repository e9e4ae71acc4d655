package module

import (
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/leave"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm3"
)

func keyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Keys: make them, show them, write them in another form",
		Long: `Makes, reads, shows and converts keys of SM2, and of RSA, ECDSA and Ed25519 as far
as the policy lets them in: PKCS#8 (plain or under a password), SEC1, PKCS#1, PKCS#12, GB/T 35276.`,
	}
	c.AddCommand(keyGenCommand(), keyPubCommand(), keyShowCommand(), keyConvCommand(), keyOpenCommand())
	return c
}

// keyText is a key for people and, as JSON, for programs.
type keyText struct {
	File      string `json:"file,omitempty"`
	Algorithm string `json:"algorithm"`
	Private   bool   `json:"private"`
	ID        string `json:"sm3"` // of the SubjectPublicKeyInfo
	Public    string `json:"public"`
}

func describe(file string, key any) (t keyText, err error) {
	pub := key
	if k, ok := key.(keys.Private); ok {
		pub, t.Private = k.Public(), true
	}
	b, err := keys.MarshalPublic(pub)
	if err != nil {
		return t, err
	}
	sum := sm3.Sum(b)
	t.File, t.Algorithm, t.ID, t.Public = file, keys.Algorithm(pub), hex.EncodeToString(sum[:]), hex.EncodeToString(b)
	return t, nil
}

func (t *keyText) print(env *core.Env) error {
	if env.JSON {
		return env.PrintJSON(t)
	}
	kind := "public key"
	if t.Private {
		kind = "private key"
	}
	_, err := fmt.Fprintf(env.Out, "%s of %s, SM3 of its public part %s\n", kind, t.Algorithm, t.ID)
	return err
}

// keyAlgorithms are what key gen makes.
var keyAlgorithms = []string{string(policy.SM2), string(policy.RSA), string(policy.P256), string(policy.P384), string(policy.P521), string(policy.Ed25519)}

// generate makes a key. It leaves off when ctx is done: the primes of a long one of RSA take
// minutes.
func generate(ctx context.Context, alg string, bits int) (keys.Private, error) {
	if !slices.Contains(keyAlgorithms, alg) {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("--alg %q: want one of %s", alg, list(keyAlgorithms)))
	}
	if alg == string(policy.RSA) && (bits < keys.MinRSA || bits > keys.MaxRSA) {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("--bits %d: %d to %d", bits, keys.MinRSA, keys.MaxRSA))
	}
	if err := secret(); err != nil {
		return nil, err
	}
	return leave.Do(ctx, func() (keys.Private, error) { return keys.New(rng.Reader, policy.Alg(alg), bits) })
}

// privatePEM writes a key, under a password where there is one. It leaves off when ctx is
// done.
func privatePEM(ctx context.Context, k keys.Private, p []byte, o keys.Encryption) ([]byte, error) {
	return leave.Do(ctx, func() ([]byte, error) { return keys.PEM(k, p, o) })
}

func keyGenCommand() *cobra.Command {
	var out, alg string
	var bits int
	var force bool
	var e encryption
	c := &cobra.Command{
		Use:     "gen --out FILE",
		Short:   "Make a key, of SM2 where nothing else is said",
		Example: "  anole gm key gen --out server.key\n  anole gm key gen --out test.key --no-pass\n  anole gm key gen --out db.key --alg rsa --bits 3072",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			if err := free(out, force); err != nil {
				return err
			}
			k, err := generate(cmd.Context(), alg, bits)
			if err != nil {
				return err
			}
			p, o, err := e.options(cmd, out)
			if err != nil {
				return err
			}
			b, err := privatePEM(cmd.Context(), k, p, o)
			if err != nil {
				return err
			}
			if err := putNew(env, out, b, 0o600, force); err != nil || out == "-" {
				return err
			}
			t, err := describe(out, k)
			if err != nil {
				return err
			}
			return t.print(env)
		},
	}
	c.Flags().StringVar(&out, "out", "", "file that gets the key as PEM of PKCS#8; - is standard output")
	c.Flags().StringVar(&alg, "alg", string(policy.SM2), list(keyAlgorithms))
	c.Flags().IntVar(&bits, "bits", 3072, "of RSA's modulus")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	_ = c.MarkFlagRequired("out")
	_ = c.RegisterFlagCompletionFunc("alg", cobra.FixedCompletions(keyAlgorithms, cobra.ShellCompDirectiveNoFileComp))
	e.flags(c, "the key")
	return c
}

func keyPubCommand() *cobra.Command {
	var out, pass string
	var force bool
	c := &cobra.Command{
		Use:   "pub FILE",
		Short: "Write a private key's public half",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out, force, args[0]); err != nil {
				return err
			}
			k, err := privateKey(cmd, args[0], pass)
			if err != nil {
				return err
			}
			b, err := keys.PublicPEM(k.Public())
			if err != nil {
				return err
			}
			return putNew(core.EnvFrom(cmd.Context()), out, b, 0o644, force)
		},
	}
	c.Flags().StringVar(&out, "out", "-", "file that gets the key as PEM; - is standard output")
	c.Flags().StringVar(&pass, "pass", "", "source of the file's password: "+sources)
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	return c
}

func keyShowCommand() *cobra.Command {
	var pass string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Say what a key is; the private part is not shown",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := take(cmd, args[0], keys.MaxSize)
			if err != nil {
				return material(err)
			}
			var key any
			if key, err = keys.ParsePublicFile(b); err != nil {
				if key, err = keys.Parse(b, reading(cmd, pass, args[0])); err != nil {
					return material(fmt.Errorf("read key %s: %w", args[0], err))
				}
			}
			t, err := describe(args[0], key)
			if err != nil {
				return err
			}
			return t.print(core.EnvFrom(cmd.Context()))
		},
	}
	c.Flags().StringVar(&pass, "pass", "", "source of the file's password: "+sources)
	return c
}

// conversion is the flags of key conv.
type conversion struct {
	out, pass, to, name string
	certs               []string
	der, force          bool
	e                   encryption
}

func keyConvCommand() *cobra.Command {
	var v conversion
	c := &cobra.Command{
		Use:   "conv FILE --to FORM --out FILE",
		Short: "Write a private key in another form, or under another password",
		Long: `Reads a private key in any form and writes it as pkcs8, sec1 (which has no
password) or pkcs12 (with the certificates of --cert, the key's own first).`,
		Example: "  anole gm key conv old.key --to pkcs8 --out new.key\n  anole gm key conv a.key --to pkcs12 --cert a.crt --cert chain.pem --prf sha256 --out a.p12",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&v.to, "to", "pkcs8", "pkcs8, sec1 or pkcs12")
	f.StringVar(&v.out, "out", "", "file that gets the key; - is standard output")
	f.StringVar(&v.pass, "pass", "", "source of FILE's password: "+sources)
	f.BoolVar(&v.der, "der", false, "DER instead of PEM; pkcs12 always is")
	f.StringArrayVar(&v.certs, "cert", nil, "file of certificates for pkcs12; may be given again")
	f.StringVar(&v.name, "name", "", "name for people in pkcs12")
	f.BoolVar(&v.force, "force", false, "write over a file that is there")
	_ = c.MarkFlagRequired("out")
	_ = c.RegisterFlagCompletionFunc("to", cobra.FixedCompletions([]string{"pkcs8", "sec1", "pkcs12"}, cobra.ShellCompDirectiveNoFileComp))
	v.e.flags(c, "the new file")
	return c
}

func (v *conversion) run(cmd *cobra.Command, path string) error {
	if v.to != "pkcs8" && v.to != "sec1" && v.to != "pkcs12" {
		return core.Exit(core.ExitUsage, fmt.Errorf("--to %q: pkcs8, sec1 or pkcs12", v.to))
	}
	if v.to == "sec1" && !v.e.open {
		return core.Exit(core.ExitUsage, errors.New("sec1 has no password: say so with --no-pass"))
	}
	if v.to == "pkcs12" && v.e.open {
		return core.Exit(core.ExitUsage, errors.New("pkcs12 is not written without a password"))
	}
	// In place it is the same key under another password.
	if err := free(v.out, v.force, v.certs...); err != nil {
		return err
	}
	k, err := privateKey(cmd, path, v.pass)
	if err != nil {
		return err
	}
	p, o, err := v.e.options(cmd, v.out)
	if err != nil {
		return err
	}
	b, err := leave.Do(cmd.Context(), func() ([]byte, error) { return v.form(cmd, k, p, o) })
	if err != nil {
		return err
	}
	return putNew(core.EnvFrom(cmd.Context()), v.out, b, 0o600, v.force)
}

// form writes a key.
func (v *conversion) form(cmd *cobra.Command, k keys.Private, p []byte, o keys.Encryption) (b []byte, err error) {
	kind := keys.PEMPrivate
	switch {
	case v.to == "pkcs12":
		bundle := &keys.Bundle{Name: v.name, Key: k}
		all, err := certificates(cmd, v.certs)
		if err != nil {
			return nil, err
		}
		for i, c := range all {
			if i == 0 && !keys.Equal(c.PublicKey, k.Public()) {
				return nil, core.Exit(core.ExitUsage, errors.New("the first certificate is not of this key"))
			}
			bundle.Certificates = append(bundle.Certificates, c.Raw)
		}
		return keys.MarshalPKCS12(rng.Reader, bundle, p, o)
	case v.to == "sec1":
		kind = keys.PEMEC
		b, err = keys.MarshalSEC1(k)
	case p == nil:
		b, err = keys.MarshalPKCS8(k)
	default:
		kind = keys.PEMEncrypted
		b, err = keys.EncryptPKCS8(rng.Reader, k, p, o)
	}
	if err != nil || v.der {
		return b, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), nil
}

func keyOpenCommand() *cobra.Command {
	var key, pass, out string
	var force bool
	var e encryption
	c := &cobra.Command{
		Use:   "open ENVELOPE --key FILE --out FILE",
		Short: "Take the key of encryption that a CA made out of its envelope (GB/T 35276)",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := free(out, force, args[0], key); err != nil {
				return err
			}
			k, err := sm2Key(cmd, key, pass)
			if err != nil {
				return err
			}
			b, err := take(cmd, args[0], keys.MaxSize)
			if err != nil {
				return err
			}
			if p, _ := pem.Decode(b); p != nil && p.Type == pemEnvelope {
				b = p.Bytes
			}
			secret, err := keys.OpenEnvelope(k, b)
			if err != nil {
				return fmt.Errorf("open %s: %w", args[0], err)
			}
			p, o, err := e.options(cmd, out)
			if err != nil {
				return err
			}
			text, err := privatePEM(cmd.Context(), secret, p, o)
			if err != nil {
				return err
			}
			return putNew(core.EnvFrom(cmd.Context()), out, text, 0o600, force)
		},
	}
	c.Flags().StringVar(&key, "key", "", "the key of the signing certificate")
	c.Flags().StringVar(&pass, "pass", "", "source of its password: "+sources)
	c.Flags().StringVar(&out, "out", "", "file that gets the key of encryption; - is standard output")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	_ = c.MarkFlagRequired("key")
	_ = c.MarkFlagRequired("out")
	e.flags(c, "the key of encryption")
	return c
}

// pemEnvelope is the type of PEM of an SM2EnvelopedKey.
const pemEnvelope = "SM2 ENVELOPED KEY"
