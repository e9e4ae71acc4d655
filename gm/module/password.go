package module

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/keys"
)

// sources explains the flags of passwords.
const sources = "env:NAME or file:PATH (its first line); by default it is asked for on the terminal"

// maxPassword bounds a password's file.
const maxPassword = 4096

// reading gives a password for what is under one, from a flag's source. It is asked for
// once, and only if need be.
func reading(cmd *cobra.Command, source, what string) keys.Password {
	var known []byte
	return func() ([]byte, error) {
		if known == nil {
			p, err := password(cmd, source, "password of "+what)
			if err != nil {
				return nil, err
			}
			known = p
		}
		return bytes.Clone(known), nil
	}
}

// writing gives a new password; from a terminal, twice the same.
func writing(cmd *cobra.Command, source, what string) ([]byte, error) {
	p, err := password(cmd, source, "new password of "+what)
	if err != nil || source != "" {
		return p, err
	}
	return p, again(cmd, p)
}

// again has a new password typed once more.
func again(cmd *cobra.Command, p []byte) error {
	second, err := ask(cmd, "the same again", sources)
	if err == nil && !bytes.Equal(p, second) {
		err = core.Exit(core.ExitUsage, errors.New("the two differ"))
	}
	return err
}

func password(cmd *cobra.Command, source, prompt string) (p []byte, err error) {
	kind, name, _ := strings.Cut(source, ":")
	switch kind {
	case "":
		p, err = ask(cmd, prompt, "--pass or --new-pass give its source, "+sources)
	case "env":
		v, ok := os.LookupEnv(name)
		if !ok {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("there is no %s in the environment", name))
		}
		p = []byte(v)
	case "file":
		if p, err = whole.Read(name, maxPassword); err != nil {
			return nil, material(err)
		}
		p, _, _ = bytes.Cut(p, []byte("\n"))
		p = bytes.TrimSuffix(p, []byte("\r"))
	default:
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("source of a password %q: it must be %s", source, sources))
	}
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, core.Exit(core.ExitUsage, errors.New("the password is empty"))
	}
	return p, nil
}

// terminal is where to ask, and where to say what for: standard input where it is a
// terminal, else the one that this process was started from. ok is false where there is
// none. The caller closes what it reads from, unless somebody still does.
func terminal(cmd *cobra.Command) (in io.ReadCloser, fd int, out io.Writer, ok bool) {
	stdin, isFile := cmd.InOrStdin().(*os.File)
	if !isFile {
		return nil, 0, nil, false
	}
	if fd := int(stdin.Fd()); xterm.IsTerminal(fd) {
		return io.NopCloser(stdin), fd, core.EnvFrom(cmd.Context()).Err, true
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, 0, nil, false
	}
	return tty, int(tty.Fd()), tty, true
}

// ask reads a line from a terminal without showing it; otherwise says what to do where
// there is none.
func ask(cmd *cobra.Command, prompt, otherwise string) ([]byte, error) {
	in, fd, out, ok := terminal(cmd)
	if !ok {
		return nil, core.Exit(core.ExitUsage, errors.New("there is no terminal to ask for a password: "+otherwise))
	}
	before, err := xterm.GetState(fd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read password: %w", err), in.Close())
	}
	fmt.Fprintf(out, "%s: ", prompt)
	type answer struct {
		p   []byte
		err error
	}
	got := make(chan answer, 1)
	go func() {
		p, err := xterm.ReadPassword(fd)
		got <- answer{p, err}
	}()
	select {
	case <-cmd.Context().Done(): // Ctrl-C: the terminal is to show again what is typed
		fmt.Fprintln(out)
		return nil, errors.Join(cmd.Context().Err(), xterm.Restore(fd, before))
	case a := <-got:
		fmt.Fprintln(out)
		_ = in.Close()
		if a.err != nil {
			return nil, fmt.Errorf("read password: %w", a.err)
		}
		return a.p, nil
	}
}

// encryption is the flags of how to write under a password.
type encryption struct {
	source      string
	open        bool
	cipher, prf string
	iterations  int
}

func (e *encryption) flags(c *cobra.Command, what string) {
	f := c.Flags()
	f.StringVar(&e.source, "new-pass", "", "source of the password of "+what+": "+sources)
	f.BoolVar(&e.open, "no-pass", false, "no password: whoever reads the file has the key")
	f.StringVar(&e.cipher, "cipher", "sm4", "sm4 or aes256")
	f.StringVar(&e.prf, "prf", "sm3", "what makes a key of the password: sm3 (GM/T 0091: gmsm, GmSSL), sm3-openssl (OpenSSL from 3.5 on) or sha256 (read by all)")
	f.IntVar(&e.iterations, "iterations", keys.Iterations, "of PBKDF2")
	c.MarkFlagsMutuallyExclusive("new-pass", "no-pass")
	_ = c.RegisterFlagCompletionFunc("cipher", cobra.FixedCompletions([]string{"sm4", "aes256"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("prf", cobra.FixedCompletions([]string{"sm3", "sm3-openssl", "sha256"}, cobra.ShellCompDirectiveNoFileComp))
}

// options checks the flags and asks for the password; nil is none.
func (e *encryption) options(cmd *cobra.Command, what string) (p []byte, o keys.Encryption, err error) {
	ciphers := map[string]keys.Cipher{"sm4": keys.SM4, "aes256": keys.AES256}
	prfs := map[string]keys.PRF{"sm3": keys.SM3, "sm3-openssl": keys.SM3OpenSSL, "sha256": keys.SHA256}
	var ok, known bool
	if o.Cipher, ok = ciphers[e.cipher]; !ok {
		return nil, o, core.Exit(core.ExitUsage, fmt.Errorf("--cipher %q: sm4 or aes256", e.cipher))
	}
	if o.PRF, known = prfs[e.prf]; !known {
		return nil, o, core.Exit(core.ExitUsage, fmt.Errorf("--prf %q: sm3, sm3-openssl or sha256", e.prf))
	}
	if o.Iterations = e.iterations; e.iterations < 1000 || e.iterations > keys.MaxIterations {
		return nil, o, core.Exit(core.ExitUsage, fmt.Errorf("--iterations %d: 1000 to %d", e.iterations, keys.MaxIterations))
	}
	if e.open {
		return nil, o, nil
	}
	if err := o.Check(); err != nil { // before a password is asked for
		return nil, o, err
	}
	p, err = writing(cmd, e.source, what)
	return p, o, err
}

// refused gives a wrong password its exit code.
func refused(err error) error {
	if errors.Is(err, keys.ErrPassword) {
		return core.Exit(core.ExitDenied, err)
	}
	return err
}
