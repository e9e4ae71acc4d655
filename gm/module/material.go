package module

import (
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/x509"
)

// maxInput bounds what is signed, encrypted or read as a message in one piece, in bytes.
const maxInput = 1 << 30

// take reads a file of at most so many bytes, or standard input for -.
func take(cmd *cobra.Command, path string, most int64) ([]byte, error) {
	if path != "-" {
		return whole.Read(path, most)
	}
	b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), most+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("read standard input: more than %d bytes", most)
	}
	return b, nil
}

// source opens a file or standard input.
func source(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return f, nil
}

// put writes a file whole, or to standard output for - and for no name.
func put(env *core.Env, path string, b []byte, mode os.FileMode) error {
	if path == "" || path == "-" {
		if _, err := env.Out.Write(b); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return nil
	}
	return whole.Write(path, b, mode)
}

// putNew is put for what must not be lost: it writes over a file that is there with force
// alone.
func putNew(env *core.Env, path string, b []byte, mode os.FileMode, force bool) error {
	if err := free(path, force); err != nil {
		return err
	}
	return put(env, path, b, mode)
}

// forceFlag is that of a verb that calls free.
func forceFlag(c *cobra.Command, force *bool) {
	c.Flags().BoolVar(force, "force", false, "write over a file that is there")
}

// free checks that a name may be written to: nothing has it, or there is force. Not even
// with force may it be one of the files that are read, by whatever name.
func free(path string, force bool, read ...string) error {
	if path == "" || path == "-" {
		return nil
	}
	s, err := os.Stat(path)
	if err == nil && !s.Mode().IsRegular() {
		return nil // a device or a pipe takes what it gets; a folder is refused where it is written
	}
	for _, name := range read {
		if err == nil && isFile(s, name) {
			return core.Exit(core.ExitUsage, fmt.Errorf("%s is the same file as %s, which is read, and would be lost: write to another", path, name))
		}
	}
	if force {
		return nil
	}
	if _, err := os.Lstat(path); err == nil { // a link to nothing too
		return core.Exit(core.ExitUsage, fmt.Errorf("%s is there already: --force writes over it", path))
	}
	return nil
}

// isFile says whether a file is the one of a name, - being standard input.
func isFile(s os.FileInfo, name string) bool {
	other, err := os.Stat(name)
	if name == "-" {
		other, err = os.Stdin.Stat()
	}
	return err == nil && os.SameFile(s, other)
}

// material gives an error about a key or a certificate that was named its exit code: 2,
// but 4 where it may not be read or taken in, or the password is wrong.
func material(err error) error {
	var exit *core.ExitError
	switch {
	case err == nil || errors.As(err, &exit):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, keys.ErrPassword):
		return core.Exit(core.ExitDenied, err)
	}
	return core.Exit(core.ExitUsage, err)
}

// secret is asked once more before anything is done with a secret key or a password: what
// fails later than PersistentPreRun, such as the random bit generator, counts there too.
func secret() error { return inOrder() }

// inOrder says whether the self-tests passed. The first call runs them.
func inOrder() error {
	if err := selftest.OK(); err != nil {
		return fmt.Errorf("%w: anole gm selftest tells of what", err)
	}
	return nil
}

// privateKey reads a key, or standard input for -. One that others may read is complained
// about, and taken.
func privateKey(cmd *cobra.Command, path, pass string) (k keys.Private, err error) {
	if err := secret(); err != nil {
		return nil, err
	}
	if path != "-" {
		k, err = keys.Load(path, reading(cmd, pass, path))
	} else {
		var b []byte
		if b, err = take(cmd, path, keys.MaxSize); err == nil {
			k, err = keys.Parse(b, reading(cmd, pass, path))
		}
	}
	if open, ok := errors.AsType[*keys.OpenError](err); ok {
		_, _ = fmt.Fprintf(core.EnvFrom(cmd.Context()).Err, "warning: %v\n", open)
		return k, nil
	}
	return k, material(err)
}

// sm2Key reads a private key of SM2.
func sm2Key(cmd *cobra.Command, path, pass string) (*sm2.PrivateKey, error) {
	k, err := privateKey(cmd, path, pass)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*sm2.PrivateKey)
	if !ok {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("%s: a key of %s; it must be of SM2", path, keys.Algorithm(k)))
	}
	return key, nil
}

// certificates reads files of certificates: PEM with one or more, or DER.
func certificates(cmd *cobra.Command, paths []string) (all []*x509.Certificate, err error) {
	for _, path := range paths {
		b, err := take(cmd, path, x509.MaxSize)
		if err != nil {
			return nil, material(err)
		}
		some, err := x509.ReadCertificates(b)
		if err != nil {
			return nil, material(fmt.Errorf("read certificate %s: %w", path, err))
		}
		all = append(all, some...)
	}
	return all, nil
}

// public is a public key, of a certificate where that is not nil.
type public struct {
	key         crypto.PublicKey
	certificate *x509.Certificate
}

// subjectKeyID is how the certificate tells of the key, if there is one.
func (p public) subjectKeyID() []byte {
	if p.certificate == nil {
		return nil
	}
	return p.certificate.SubjectKeyId
}

// publics reads files of certificates and public keys, PEM or DER.
func publics(cmd *cobra.Command, paths []string) (all []public, err error) {
	for _, path := range paths {
		b, err := take(cmd, path, x509.MaxSize)
		if err != nil {
			return nil, material(err)
		}
		some, err := publicsIn(b)
		if err != nil {
			return nil, material(fmt.Errorf("read key %s: %w", path, err))
		}
		all = append(all, some...)
	}
	return all, nil
}

var errNoPublic = errors.New("it is neither a certificate nor a public key")

func publicsIn(b []byte) (all []public, err error) {
	if p, _ := pem.Decode(b); p == nil {
		if c, err := x509.ParseCertificate(b); err == nil {
			return []public{{c.PublicKey, c}}, nil
		}
		k, err := keys.ParsePublicFile(b)
		if err != nil {
			return nil, errNoPublic
		}
		return []public{{k, nil}}, nil
	}
	for p, rest := pem.Decode(b); p != nil; p, rest = pem.Decode(rest) {
		one := public{}
		switch p.Type {
		case x509.PEMCertificate:
			if one.certificate, err = x509.ParseCertificate(p.Bytes); err == nil {
				one.key = one.certificate.PublicKey
			}
		case keys.PEMPublic:
			one.key, err = keys.ParsePublic(p.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errNoPublic
	}
	return all, nil
}

// moment reads the flag --at: a time or a day; without it the time is now.
func moment(text string) (t time.Time, err error) {
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		if t, err = time.Parse(time.DateOnly, text); err != nil {
			return t, core.Exit(core.ExitUsage, fmt.Errorf("--at %q: not a time as 2026-01-02 or 2026-01-02T03:04:05Z", text))
		}
	}
	return t, nil
}

// atText explains --at.
const atText = "time to verify for, as 2026-01-02 or 2026-01-02T03:04:05Z; now without"

// idText explains --distid.
const idText = "identity under which SM2 signed; by default the standard one, 1234567812345678"

// judged gives an error about what was checked exit code 3; one that came in the way of
// checking keeps its own, and so does what the policy denies.
func judged(err error) error {
	var path *fs.PathError
	var exit *core.ExitError
	if err == nil || errors.As(err, &path) || errors.As(err, &exit) || errors.Is(err, errors.ErrUnsupported) || policy.Denied(err) {
		return err
	}
	return core.Exit(core.ExitNo, err)
}

// list joins texts for people.
func list(all []string) string { return strings.Join(all, ", ") }
