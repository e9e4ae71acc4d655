package module

import (
	"errors"
	"fmt"
	"io"
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
	some := batch{files: len(paths), tell: env.Err}
	for _, path := range paths {
		if err := cmd.Context().Err(); err != nil {
			return fmt.Errorf("stopped before %s: %w", path, err)
		}
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
			some.failed(err)
		}
	}
	return some.err()
}

// batch is a number of files of which each is done, whatever becomes of others.
type batch struct {
	files int
	tell  io.Writer // where what is wrong with one of several is told at once; nil: nowhere
	bad   int
	worst error
}

// failed counts a file that failed.
func (b *batch) failed(err error) {
	// That something came in the way is worse than an answer that is no.
	if b.worst == nil || core.ExitCode(b.worst) == core.ExitNo && core.ExitCode(err) != core.ExitNo {
		b.worst = err
	}
	if b.bad++; b.tell != nil && b.files > 1 {
		_, _ = fmt.Fprintln(b.tell, term.Clean(err.Error()))
	}
}

// err has the worst exit code of all.
func (b *batch) err() error {
	if b.worst == nil || b.files == 1 {
		return b.worst
	}
	return core.Exit(core.ExitCode(b.worst), fmt.Errorf("%d of %d files failed", b.bad, b.files))
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
become of that signature. Where one of several fails the others are done all the same;
the exit code is of the worst.`,
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

// moduleReports is what show and verify say with -o json.
type moduleReports struct {
	OK      *bool          `json:"ok,omitempty"` // of verify
	Modules []moduleReport `json:"modules"`
}

func printModules(cmd *cobra.Command, all []moduleReport, ok *bool) error {
	env := core.EnvFrom(cmd.Context())
	if env.JSON {
		return env.PrintJSON(moduleReports{ok, all})
	}
	t := term.NewTable("MODULE", "SIGNER", "ALGORITHM", "SIGNATURE")
	for i := range all {
		all[i].rows(t)
	}
	return t.Write(env.Out)
}

func modsignVerifyCommand() *cobra.Command {
	var t moduleTrust
	c := &cobra.Command{
		Use:   "verify MODULE…",
		Short: "Check the signatures of modules",
		Long: `Checks modules by certificates, as a kernel would that has those in its keyring.
Modules that are compressed are looked into. What a kernel does not ask: that a
certificate which says for what it is, is for signing code, or for what --for names,
and with --crl that it was not revoked. Exit code 3: one is not signed well; 1: one
could not be read. The others are checked all the same.`,
		Example: "  anole gm modsign verify --cert signing_key.x509 /lib/modules/$(uname -r)/extra/*.ko",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := t.read(cmd)
			if err != nil {
				return err
			}
			all := []moduleReport{}
			some := batch{files: len(args)}
			for _, path := range args {
				one := moduleReport{Path: path, Signatures: []signature{}}
				file, err := take(cmd, path, maxInput)
				if err != nil {
					some.failed(err)
				} else {
					var r *cms.Report
					if r, err = modsign.Verify(file, o); err != nil {
						some.failed(judged(fmt.Errorf("%s: %w", path, err)))
					}
					one.Compression, one.Signatures = modsign.Compression(file), signaturesOf(r)
				}
				if err != nil {
					one.Error = err.Error()
				}
				all = append(all, one)
			}
			ok := some.err() == nil
			return errors.Join(some.err(), printModules(cmd, all, &ok))
		},
	}
	t.flags(c)
	return c
}

// moduleTrust is the flags of whose modules are believed.
type moduleTrust struct {
	certs, chain []string
	held         held
}

func (t *moduleTrust) flags(c *cobra.Command) {
	c.Flags().StringArrayVar(&t.certs, "cert", nil, "certificates to trust: signers' own, or of those who issued them")
	c.Flags().StringArrayVar(&t.chain, "chain", nil, "certificates that are not trusted themselves, as of signers, which modules are without")
	_ = c.MarkFlagRequired("cert")
	t.held.flags(c, "code_signing")
}

func (t *moduleTrust) read(cmd *cobra.Command) (o modsign.VerifyOptions, err error) {
	if o.Roots, err = certificates(cmd, t.certs); err != nil {
		return o, err
	}
	if o.Certificates, err = certificates(cmd, t.chain); err != nil {
		return o, err
	}
	o.Revocation = t.held.need
	o.Usages, o.CRLs, err = t.held.read(cmd, "", o.Roots, o.Certificates)
	return o, err
}

func modsignShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show MODULE…",
		Short: "Who signed modules, unchecked",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			all := []moduleReport{}
			some := batch{files: len(args)}
			for _, path := range args {
				r := moduleReport{Path: path, Signatures: []signature{}}
				file, err := take(cmd, path, maxInput)
				if err != nil {
					some.failed(err)
					r.Error = err.Error()
					all = append(all, r)
					continue
				}
				r.Compression = modsign.Compression(file)
				info, err := modsign.Show(file)
				if err != nil {
					r.Error = err.Error()
				} else {
					r.Bytes, r.Signatures = info.ModuleSize, show(info.Message).Signatures
				}
				all = append(all, r)
			}
			return errors.Join(some.err(), printModules(cmd, all, nil))
		},
	}
}

func modsignLoadCommand() *cobra.Command {
	var t moduleTrust
	c := &cobra.Command{
		Use:   "load MODULE [PARAMETER=VALUE…]",
		Short: "Check a module's signature and have the kernel load it",
		Long: `Has the kernel load a module if its signature is good; exit code 3 if it is not.
What was checked is what is loaded. Modules that this one needs are not loaded, and
the kernel goes by its own keyring beside.`,
		Example: "  anole gm modsign load --cert signing_key.x509 ./driver.ko debug=1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := t.read(cmd)
			if err != nil {
				return err
			}
			file, err := take(cmd, args[0], maxInput)
			if err != nil {
				return err
			}
			if r, err := modsign.Verify(file, o); err != nil {
				no := judged(fmt.Errorf("%s: %w", args[0], err))
				if !core.EnvFrom(cmd.Context()).JSON {
					return no
				}
				one := moduleReport{Path: args[0], Compression: modsign.Compression(file), Signatures: signaturesOf(r), Error: err.Error()}
				return errors.Join(no, printModules(cmd, []moduleReport{one}, new(bool)))
			}
			return modsign.Load(file, o, strings.Join(args[1:], " "))
		},
	}
	t.flags(c)
	return c
}
