package module

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/kern/modsign"
	"github.com/anole-os/anole/internal/term"
)

func modsignCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "modsign",
		Short: "Signatures of kernel modules",
		Long: `Signs kernel modules as the kernel's own scripts/sign-file does, with SM2 and SM3
or with RSA and SHA-2, and verifies such signatures where the kernel cannot.`,
	}
	c.AddCommand(modsignSignCommand(), modsignVerifyCommand(), modsignShowCommand(), modsignStripCommand(), modsignLoadCommand())
	return c
}

// beside is the flags of a verb that changes files in place, or with --out leaves them.
type beside struct {
	out   string
	force bool
	read  []string // what else must not be written over
}

func (b *beside) flags(c *cobra.Command, what string) {
	c.Flags().StringVar(&b.out, "out", "", "write to this file, and leave the "+what+" as it is")
	c.Flags().BoolVar(&b.force, "force", false, "write over a file that is there at --out")
}

// rewrite replaces files by what change makes of them, or writes what it makes of one to
// another, which is none of those that are read.
func rewrite(cmd *cobra.Command, paths []string, to *beside, change func([]byte) ([]byte, error)) error {
	out := to.out
	if out != "" && len(paths) > 1 {
		return core.Exit(core.ExitUsage, errors.New("--out: it takes one file, there are several"))
	}
	if err := free(out, to.force, slices.Concat(paths, to.read)...); err != nil {
		return err
	}
	env := core.EnvFrom(cmd.Context())
	for _, path := range paths {
		file, err := take(cmd, path, maxInput)
		if err == nil {
			if file, err = change(file); err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
		}
		switch {
		case err != nil:
		case out != "":
			err = putNew(env, out, file, 0o644, to.force)
		case path == "-":
			err = put(env, "-", file, 0o644)
		default:
			err = whole.Replace(path, file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func modsignSignCommand() *cobra.Command {
	var s signing
	var to beside
	var detached bool
	o := modsign.SignOptions{}
	c := &cobra.Command{
		Use:   "sign MODULE…",
		Short: "Sign modules, in place",
		Long: `Puts a signature behind each module; mode, owner and extended attributes of the
files stay. A module that is signed already is left alone, unless you say what is to
become of that signature.`,
		Example: "  anole gm modsign sign --cert signing_key.x509 --key signing_key.pem *.ko",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			who, _, err := s.read(cmd)
			if err != nil {
				return err
			}
			o.Certificate, o.Key, o.Hash = who.Certificate, who.Key, who.Hash
			if detached && to.out == "" {
				return core.Exit(core.ExitUsage, errors.New("--detached: say with --out where the message goes"))
			}
			to.read = []string{s.certificate, s.key}
			return rewrite(cmd, args, &to, func(file []byte) ([]byte, error) {
				if detached {
					return modsign.Detached(file, o)
				}
				return modsign.Sign(file, o)
			})
		},
	}
	s.flags(c)
	c.Flags().BoolVar(&o.Resign, "resign", false, "replace signatures that are there")
	c.Flags().BoolVar(&o.Append, "append", false, "sign over signatures that are there")
	c.Flags().BoolVar(&detached, "detached", false, "write the message alone, to --out")
	to.flags(c, "module")
	c.MarkFlagsMutuallyExclusive("resign", "append")
	return c
}

func modsignStripCommand() *cobra.Command {
	var to beside
	c := &cobra.Command{
		Use:   "strip MODULE…",
		Short: "Take the signatures off modules, in place",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return rewrite(cmd, args, &to, func(file []byte) ([]byte, error) {
				if modsign.Compression(file) != "" {
					return nil, modsign.ErrPacked
				}
				return modsign.Strip(file)
			})
		},
	}
	to.flags(c, "module")
	return c
}

// moduleReport is one module's line.
type moduleReport struct {
	Path        string      `json:"path"`
	Compression string      `json:"compression,omitempty"`
	Bytes       int         `json:"module_bytes,omitempty"`
	Signatures  []signature `json:"signatures"`
	Error       string      `json:"error,omitempty"`
}

func (r *moduleReport) rows(t *term.Table) {
	name := r.Path
	if r.Compression != "" {
		name += " (" + r.Compression + ")"
	}
	if len(r.Signatures) == 0 {
		t.Row(name, "-", "-", r.Error)
	}
	for i := range r.Signatures {
		s := &r.Signatures[i]
		state := "not checked"
		if s.Good != nil {
			state = map[bool]string{true: "good", false: "bad: " + s.Reason}[*s.Good]
		}
		t.Row(name, s.who(), s.Algorithm, state)
	}
}

func printModules(cmd *cobra.Command, all []moduleReport) error {
	env := core.EnvFrom(cmd.Context())
	if env.JSON {
		return env.PrintJSON(map[string]any{"modules": all})
	}
	t := term.NewTable("MODULE", "SIGNER", "ALGORITHM", "SIGNATURE")
	for i := range all {
		all[i].rows(t)
	}
	return t.Write(env.Out)
}

func modsignVerifyCommand() *cobra.Command {
	var trusted []string
	c := &cobra.Command{
		Use:   "verify MODULE…",
		Short: "Check the signatures of modules",
		Long: `Checks modules by certificates, as a kernel would that has those in its keyring.
Modules that are compressed are looked into. Exit code 3: one is not signed well.`,
		Example: "  anole gm modsign verify --cert signing_key.x509 /lib/modules/$(uname -r)/extra/*.ko",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			roots, err := certificates(cmd, trusted)
			if err != nil {
				return err
			}
			all := []moduleReport{}
			var first error
			for _, path := range args {
				file, err := take(cmd, path, maxInput)
				if err != nil {
					return err
				}
				var r *cms.Report
				if r, err = modsign.Verify(file, roots); err != nil && first == nil {
					first = fmt.Errorf("%s: %w", path, err)
				}
				one := moduleReport{Path: path, Compression: modsign.Compression(file), Signatures: signaturesOf(r)}
				if err != nil {
					one.Error = err.Error()
				}
				all = append(all, one)
			}
			return errors.Join(judged(first), printModules(cmd, all))
		},
	}
	c.Flags().StringArrayVar(&trusted, "cert", nil, "certificates to trust: signers' own, or of those who issued them")
	_ = c.MarkFlagRequired("cert")
	return c
}

func modsignShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show MODULE…",
		Short: "Who signed modules, unchecked",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all := []moduleReport{}
			for _, path := range args {
				file, err := take(cmd, path, maxInput)
				if err != nil {
					return err
				}
				r := moduleReport{Path: path, Compression: modsign.Compression(file), Signatures: []signature{}}
				info, err := modsign.Show(file)
				if err != nil {
					r.Error = err.Error()
				} else {
					r.Bytes, r.Signatures = info.ModuleSize, show(info.Message).Signatures
				}
				all = append(all, r)
			}
			return printModules(cmd, all)
		},
	}
}

func modsignLoadCommand() *cobra.Command {
	var trusted []string
	c := &cobra.Command{
		Use:   "load MODULE [PARAMETER=VALUE…]",
		Short: "Check a module's signature and have the kernel load it",
		Long: `Has the kernel load a module if its signature is good; exit code 3 if it is not.
What was checked is what is loaded. Modules that this one needs are not loaded, and
the kernel goes by its own keyring beside.`,
		Example: "  anole gm modsign load --cert signing_key.x509 ./driver.ko debug=1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			roots, err := certificates(cmd, trusted)
			if err != nil {
				return err
			}
			file, err := take(cmd, args[0], maxInput)
			if err != nil {
				return err
			}
			if _, err := modsign.Verify(file, roots); err != nil {
				return judged(fmt.Errorf("%s: %w", args[0], err))
			}
			return modsign.Load(file, roots, strings.Join(args[1:], " "))
		},
	}
	c.Flags().StringArrayVar(&trusted, "cert", nil, "certificates to trust: signers' own, or of those who issued them")
	_ = c.MarkFlagRequired("cert")
	return c
}
