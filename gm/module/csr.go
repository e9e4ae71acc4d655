package module

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/x509"
)

func csrCommand() *cobra.Command {
	c := &cobra.Command{Use: "csr", Short: "Requests for certificates (PKCS#10)"}
	c.AddCommand(csrMakeCommand(), csrShowCommand())
	return c
}

// subject is the flags of who a certificate is of.
type subject struct {
	name  string
	names []string
}

func (s *subject) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.name, "subject", "", `who it is of, in the order of the certificate: "C=CN, O=Name, CN=host"`)
	c.Flags().StringArrayVar(&s.names, "name", nil, "another name: a DNS name, IP address, address of mail or URI; with DNS:, IP:, email: or URI: in front where that is not plain; may be given again")
}

func csrMakeCommand() *cobra.Command {
	var key, pass, out, id string
	var der, force bool
	var s subject
	c := &cobra.Command{
		Use:     "make --key FILE --subject NAME",
		Short:   "Make a request",
		Example: `  anole gm csr make --key server.key --subject "C=CN, O=Example, CN=www.example.com" --name www.example.com --out server.csr`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := x509.ParseName(s.name)
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			names, err := x509.ParseNames(s.names)
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			if err := free(out, force, key); err != nil {
				return err
			}
			k, err := privateKey(cmd, key, pass)
			if err != nil {
				return err
			}
			r := &x509.CertificateRequest{Subject: name}
			names.PutRequest(r)
			b, err := x509.CreateRequest(rng.Reader, r, k, id)
			if err != nil {
				return err
			}
			if !der {
				b = x509.PEM(x509.PEMRequest, b)
			}
			return putNew(core.EnvFrom(cmd.Context()), out, b, 0o644, force)
		},
	}
	s.flags(c)
	c.Flags().StringVar(&key, "key", "", "file of the private key")
	c.Flags().StringVar(&pass, "pass", "", "source of its password: "+sources)
	c.Flags().StringVar(&out, "out", "-", "file that gets the request; - is standard output")
	c.Flags().StringVar(&id, "distid", "", idText)
	c.Flags().BoolVar(&der, "der", false, "DER instead of PEM")
	c.Flags().BoolVar(&force, "force", false, "write over a file that is there")
	_ = c.MarkFlagRequired("key")
	_ = c.MarkFlagRequired("subject")
	return c
}

// requestText is a request for people and programs.
type requestText struct {
	Subject string   `json:"subject"`
	Names   []string `json:"names,omitempty"`
	Key     string   `json:"key"`
	Good    bool     `json:"signature_ok"`
}

func csrShowCommand() *cobra.Command {
	var id string
	c := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a request and check its signature; exit code 3 if that is wrong",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			env := core.EnvFrom(cmd.Context())
			b, err := take(cmd, args[0], x509.MaxSize)
			if err != nil {
				return err
			}
			r, err := x509.ReadRequest(b)
			if err != nil {
				return fmt.Errorf("read request %s: %w", args[0], err)
			}
			bad := x509.CheckRequest(r, id)
			d := x509.Describe(&x509.Certificate{Subject: r.Subject, PublicKey: r.PublicKey, DNSNames: r.DNSNames, EmailAddresses: r.EmailAddresses, IPAddresses: r.IPAddresses, URIs: r.URIs})
			t := requestText{d.Subject, d.Names, keys.Algorithm(r.PublicKey), bad == nil}
			if env.JSON {
				err = env.PrintJSON(t)
			} else {
				_, err = fmt.Fprintf(env.Out, "subject  %s\nkey      %s\nnames    %s\n", t.Subject, t.Key, list(t.Names))
			}
			if err == nil && bad != nil {
				err = core.Exit(core.ExitNo, fmt.Errorf("check request %s: %w", args[0], bad))
			}
			return err
		},
	}
	c.Flags().StringVar(&id, "distid", "", idText)
	return c
}
