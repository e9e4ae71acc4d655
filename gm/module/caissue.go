package module

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/ca"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/x509"
)

// issuing is the flags of ca issue.
type issuing struct {
	folder
	subject
	profile, csr, csrID, out string
	days                     int
	dual, keep, force        bool
	e                        encryption
}

func caIssueCommand() *cobra.Command {
	var v issuing
	c := &cobra.Command{
		Use:   "issue --out FILES",
		Short: "Issue a certificate, or with --dual a pair of them",
		Long: `Issues a certificate for the key of a request (--csr), or makes a key as well
(--subject). Files are named after --out:

  FILES.crt      the certificate, and those above it but the root's
  FILES.key      its key, without --csr
  FILES-enc.crt  of a pair: the encryption certificate
  FILES-enc.key  and its key, without --csr
  FILES-enc.env  and its key with --csr, in an envelope (GB/T 35276) for the key of
                 the request: anole gm key open takes it out

The profiles are in the folder's profiles.json; --profile has their names.`,
		Example: "  anole gm ca issue --profile server --csr www.csr --out www\n  anole gm ca issue --profile dual --subject \"CN=gw.example\" --name gw.example --out gw --no-pass",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return v.run(cmd) },
	}
	v.folder.flags(c)
	v.subject.flags(c)
	f := c.Flags()
	f.StringVar(&v.profile, "profile", "server", "what kind of certificate")
	f.StringVar(&v.csr, "csr", "", "file of a request; --subject and --name go before what it has")
	f.StringVar(&v.csrID, "csr-distid", "", "identity under which the request was signed; by default the standard one")
	f.StringVar(&v.out, "out", "", "what the names of the files begin with")
	f.IntVar(&v.days, "days", 0, "of validity; 0 is the profile's")
	f.BoolVar(&v.dual, "dual", false, "a pair: one certificate to sign, one to encrypt")
	f.BoolVar(&v.keep, "keep", false, "keep the key of encryption for anole gm ca recover")
	f.BoolVar(&v.force, "force", false, "write over files that are there")
	_ = c.MarkFlagRequired("out")
	c.MarkFlagsOneRequired("csr", "subject")
	v.e.flags(c, "the new keys")
	return c
}

func (v *issuing) run(cmd *cobra.Command) error {
	r := ca.Request{Profile: v.profile, Dual: v.dual, CSRID: v.csrID, Days: v.days, Keep: v.keep}
	var err error
	if v.name != "" {
		if r.Subject, err = x509.ParseName(v.name); err != nil {
			return core.Exit(core.ExitUsage, err)
		}
	}
	if r.Names, err = x509.ParseNames(v.names); err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	if v.csr != "" {
		b, err := take(cmd, v.csr, x509.MaxSize)
		if err != nil {
			return err
		}
		if r.CSR, err = x509.ReadRequest(b); err != nil {
			return fmt.Errorf("read request %s: %w", v.csr, err)
		}
	}
	ends := []string{".crt", "-enc.crt", ".key", "-enc.key"}
	if v.csr != "" {
		ends = []string{".crt", "-enc.crt", "-enc.env"}
	}
	for _, end := range ends {
		if err := free(v.out+end, v.force, v.csr); err != nil {
			return err
		}
	}
	// What can fail comes before the certificate is there.
	if s, err := os.Stat(filepath.Dir(v.out)); err != nil || !s.IsDir() {
		return core.Exit(core.ExitUsage, fmt.Errorf("--out %s: there is no folder %s", v.out, filepath.Dir(v.out)))
	}
	c, err := v.open(cmd)
	if err != nil {
		return err
	}
	var p []byte
	var o keys.Encryption
	if v.csr == "" {
		if p, o, err = v.e.options(cmd, v.out+".key"); err != nil {
			return err
		}
	}
	issued, err := c.Issue(r)
	if err != nil {
		return asked(err)
	}
	if err := v.write(cmd, issued, p, o); err != nil {
		return fmt.Errorf("certificate %s is issued, but not all of its files are written: %w", x509.Serial(issued.Certificate.SerialNumber), err)
	}
	return v.tell(cmd, issued)
}

// write writes the files of what was issued, keys first.
func (v *issuing) write(cmd *cobra.Command, out *ca.Issued, p []byte, o keys.Encryption) error {
	env := core.EnvFrom(cmd.Context())
	above := out.Chain[:len(out.Chain)-1]
	crt := func(c *x509.Certificate) []byte {
		all := [][]byte{c.Raw}
		for _, i := range above {
			all = append(all, i.Raw)
		}
		return x509.PEM(x509.PEMCertificate, all...)
	}
	key := func(end string, k keys.Private) error {
		b, err := keys.PEM(k, p, o)
		if err != nil {
			return err
		}
		return putNew(env, v.out+end, b, 0o600, v.force)
	}
	if out.Key != nil {
		if err := key(".key", out.Key); err != nil {
			return err
		}
	}
	if out.EncryptionKey != nil {
		if err := key("-enc.key", out.EncryptionKey); err != nil {
			return err
		}
	}
	if out.Envelope != nil {
		if err := putNew(env, v.out+"-enc.env", x509.PEM(pemEnvelope, out.Envelope), 0o600, v.force); err != nil {
			return err
		}
	}
	if out.Encryption != nil {
		if err := putNew(env, v.out+"-enc.crt", crt(out.Encryption), 0o644, v.force); err != nil {
			return err
		}
	}
	return putNew(env, v.out+".crt", crt(out.Certificate), 0o644, v.force)
}

func (v *issuing) tell(cmd *cobra.Command, out *ca.Issued) error {
	env := core.EnvFrom(cmd.Context())
	all := []x509.Description{x509.Describe(out.Certificate)}
	if out.Encryption != nil {
		all = append(all, x509.Describe(out.Encryption))
	}
	if env.JSON {
		return env.PrintJSON(all)
	}
	for i, end := range []string{".crt", "-enc.crt"}[:len(all)] {
		if _, err := fmt.Fprintf(env.Out, "%s: %s, serial %s, until %s\n", v.out+end, all[i].Subject, all[i].Serial, all[i].NotAfter.Format(time.DateOnly)); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return nil
}
