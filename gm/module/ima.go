package module

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/internal/term"
)

func imaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "ima",
		Short: "Label files for the kernel's integrity subsystem, and check the labels",
		Long: `Labels files as Linux' integrity subsystem reads it: security.ima has a signature
over the content, or its digest; security.evm a signature over owner, mode and the
other security attributes. On a file system that has no such attributes, labels are
in files beside: FILE.sig. evmctl reads and writes the same.

Without SM2 and SM3 in the kernel it does not check the labels itself: see enforce.`,
	}
	c.AddCommand(imaSignCommand(), imaVerifyCommand(), imaLabelCommand(), imaHashCommand(), imaClearCommand(), imaShowCommand(), imaEnforceCommand())
	return c
}

func imaSignCommand() *cobra.Command {
	var w imaWalk
	var key, pass, cert, algo string
	var evm bool
	c := &cobra.Command{
		Use:   "sign FILE…",
		Short: "Sign files",
		Long: `Signs files. What the same key has signed already, and has not changed since, is
left as it is: one that was interrupted goes on when it is started again.
anole gm ima clear takes the labels away. Let a key for labels sign nothing else; a file
that would have it sign a message or a certificate by SM2 is refused.`,
		Example: "  anole gm ima sign --key ima.pem -r /usr/bin /usr/lib\n  anole gm ima sign --key ima.pem --sigfile boot.img",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := imaAlgo(algo)
			if err != nil {
				return err
			}
			s, err := imaSigner(cmd, key, pass, cert, a)
			if err != nil {
				return err
			}
			return w.run(cmd, args, ima.SignWork{Signer: s, EVM: evm})
		},
	}
	w.flags(c)
	c.Flags().StringVar(&key, "key", "", "private key, PEM or DER; a certificate in the same file is taken as --cert")
	c.Flags().StringVar(&pass, "pass", "", "source of its password: "+sources)
	c.Flags().StringVar(&cert, "cert", "", "its certificate, by whose subject key identifier labels tell of the key")
	c.Flags().StringVar(&algo, "hash", "sm3", "sm3, which SM2 takes; or sha256 and others for RSA and ECDSA")
	c.Flags().BoolVar(&evm, "evm", false, "sign owner, mode and security attributes too: security.evm, portable")
	_ = c.MarkFlagRequired("key")
	return c
}

func imaAlgo(name string) (ima.Algo, error) {
	a, err := ima.ParseAlgo(name)
	if err != nil {
		return 0, core.Exit(core.ExitUsage, err)
	}
	return a, policy.Check(policy.Hash, a.Alg(), policy.Params{})
}

func imaVerifyCommand() *cobra.Command {
	var w imaWalk
	var keys []string
	var digests, evm bool
	c := &cobra.Command{
		Use:   "verify FILE…",
		Short: "Check files against their labels",
		Long: `Checks files against their labels. With keys, labels must be signatures of one of
them; without, they must be digests. The exit code is 3 where a file is not as its
label says, or has none.`,
		Example: "  anole gm ima verify --key ima.crt -r /usr/bin",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ring, err := imaKeyring(cmd, keys)
			if err != nil {
				return err
			}
			w.check = true
			return w.run(cmd, args, ima.VerifyWork{Keys: ring, Digests: digests, EVM: evm})
		},
	}
	w.flags(c)
	c.Flags().StringArrayVar(&keys, "key", nil, "certificates or public keys, PEM or DER")
	c.Flags().BoolVar(&digests, "digests", false, "labels that are digests, which anybody can make, will do too")
	c.Flags().BoolVar(&evm, "evm", false, "security.evm must be there and right")
	return c
}

func imaLabelCommand() *cobra.Command {
	var w imaWalk
	var algo string
	c := &cobra.Command{
		Use:   "label FILE…",
		Short: "Label files with their digests, unsigned",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := imaAlgo(algo)
			if err != nil {
				return err
			}
			return w.run(cmd, args, ima.LabelWork{Algo: a})
		},
	}
	w.flags(c)
	c.Flags().StringVar(&algo, "hash", "sm3", "the hash")
	return c
}

func imaHashCommand() *cobra.Command {
	var w imaWalk
	var algo string
	c := &cobra.Command{
		Use:   "hash FILE…",
		Short: "Write the labels that ima label would give, and label nothing",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := imaAlgo(algo)
			if err != nil {
				return err
			}
			w.list = true
			return w.run(cmd, args, ima.HashWork{Algo: a})
		},
	}
	w.flags(c)
	c.Flags().StringVar(&algo, "hash", "sm3", "the hash")
	return c
}

func imaClearCommand() *cobra.Command {
	var w imaWalk
	c := &cobra.Command{
		Use:   "clear FILE…",
		Short: "Take the labels away, security.evm too",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return w.run(cmd, args, ima.ClearWork{})
		},
	}
	w.flags(c)
	return c
}

// shownLabel is a label for people and programs.
type shownLabel struct {
	Path      string `json:"path"`
	Where     string `json:"where"` // the attribute, or the file's name
	Kind      string `json:"kind,omitempty"`
	Hash      string `json:"hash,omitempty"`
	KeyID     string `json:"key_id,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Signature string `json:"signature,omitempty"`
	Error     string `json:"error,omitempty"`
}

func imaShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE…",
		Short: "What a file's labels say, unchecked",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := core.EnvFrom(cmd.Context())
			all := []shownLabel{}
			for _, p := range args {
				some, err := showLabels(p)
				if err != nil {
					return err
				}
				all = append(all, some...)
			}
			if env.JSON {
				return env.PrintJSON(map[string]any{"labels": all})
			}
			t := term.NewTable("FILE", "LABEL", "KIND", "HASH", "KEY", "VALUE")
			for _, l := range all {
				t.Row(l.Path, l.Where, l.Kind, l.Hash, l.KeyID, l.Digest+l.Signature+l.Error)
			}
			return t.Write(env.Out)
		},
	}
}

func showLabels(path string) (all []shownLabel, err error) {
	for _, name := range []string{ima.Attr, ima.AttrEVM, ima.AttrUser} {
		b := make([]byte, ima.MaxLabel)
		n, err := unix.Lgetxattr(path, name, b)
		switch {
		case err == nil:
			all = append(all, showLabel(path, name, b[:n]))
		case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP):
			return nil, fmt.Errorf("read %s of %s: %w", name, path, err)
		}
	}
	sig := path + ima.SigSuffix
	if st, err := os.Lstat(sig); err == nil && st.Mode().IsRegular() && st.Size() <= ima.MaxLabel {
		b, err := os.ReadFile(filepath.Clean(sig))
		if err != nil {
			return nil, fmt.Errorf("read label: %w", err)
		}
		all = append(all, showLabel(path, filepath.Base(sig), b))
	}
	if len(all) == 0 {
		all = append(all, shownLabel{Path: path, Error: ima.ErrUnlabelled.Error()})
	}
	return all, nil
}

func showLabel(path, where string, b []byte) shownLabel {
	l, err := ima.Parse(b)
	s := shownLabel{Path: path, Where: where}
	if err != nil {
		s.Error = err.Error()
		return s
	}
	s.Hash = l.Algo.String()
	if l.Type == ima.TypeDigest {
		s.Kind, s.Digest = "digest", hex.EncodeToString(l.Digest)
		return s
	}
	s.Kind, s.KeyID, s.Signature = "signature", fmt.Sprintf("%08x", l.KeyID), hex.EncodeToString(l.Signature)
	if l.Type == ima.TypePortable {
		s.Kind = "portable signature"
	}
	return s
}
