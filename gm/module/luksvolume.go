package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/kern/luks2"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/internal/term"
)

// maxPassphrase bounds a passphrase, in bytes.
const maxPassphrase = 8 << 20

// luksPassphrase reads one: a file as it is, or a line from the terminal.
func luksPassphrase(cmd *cobra.Command, path, prompt string, twice bool) (p []byte, err error) {
	if err := secret(); err != nil {
		return nil, err
	}
	if path != "" {
		if p, err = take(cmd, path, maxPassphrase); err != nil {
			return nil, material(err)
		}
	} else if p, err = ask(cmd, prompt, "--key-file FILE, - being standard input"); err != nil {
		return nil, err
	} else if twice {
		err = again(cmd, p)
	}
	if err == nil && len(p) == 0 {
		err = core.Exit(core.ExitUsage, errors.New("a passphrase of 0 bytes: it must have one at least"))
	}
	return p, err
}

// luksFile opens a container that nobody else of this program or cryptsetup changes.
func luksFile(path string, flags int) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Mode()&os.ModeDevice != 0 && flags&os.O_RDWR != 0 {
		flags |= unix.O_EXCL // fails where it is mounted or mapped
	}
	f, err := os.OpenFile(filepath.Clean(path), flags, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%w: --force overwrites it", err)
		}
		return nil, core.Exit(core.ExitUsage, err)
	}
	how := unix.LOCK_SH
	if flags&os.O_RDWR != 0 {
		how = unix.LOCK_EX
	}
	if err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use: %w", path, err)
	}
	return f, nil
}

// luksOpened is a container whose volume's key is known.
type luksOpened struct {
	f   *os.File
	c   *luks2.Container
	key *luks2.Key
}

func luksOpen(cmd *cobra.Command, path, pass string, slot, flags int) (*luksOpened, error) {
	f, err := luksFile(path, flags)
	if err != nil {
		return nil, err
	}
	o := &luksOpened{f: f}
	if o.c, err = luks2.Open(f); err == nil {
		err = luksMay(o.c, flags)
	}
	if err == nil {
		var phrase []byte
		if phrase, err = luksPassphrase(cmd, pass, "passphrase", false); err == nil {
			o.key, err = o.c.Unlock(cmd.Context(), phrase, slot)
			clear(phrase)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, luksError(fmt.Errorf("%s: %w", path, err))
	}
	if w := o.c.Warning(); w != nil {
		_, _ = fmt.Fprintf(core.EnvFrom(cmd.Context()).Err, "%s: %v\n", path, w)
	}
	return o, nil
}

// luksMay asks the policy about the ciphers of a container's volume.
func luksMay(c *luks2.Container, flags int) error {
	op := policy.Decrypt
	if flags&os.O_RDWR != 0 {
		op = policy.Encrypt
	}
	return c.Check(op)
}

func (o *luksOpened) close() error {
	o.key.Wipe()
	return o.f.Close()
}

func luksAddKeyCommand() *cobra.Command {
	var slot luksSlot
	var pass, added string
	c := &cobra.Command{
		Use:   "add-key FILE",
		Short: "Have a container open with another passphrase",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			options, err := slot.options()
			if err != nil {
				return err
			}
			o, err := luksOpen(cmd, args[0], pass, -1, os.O_RDWR)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close()) }()
			phrase, err := luksPassphrase(cmd, added, "new passphrase", true)
			if err != nil {
				return err
			}
			n, err := o.c.AddKey(cmd.Context(), o.key, phrase, options)
			if err != nil {
				return luksError(err)
			}
			return luksDone(cmd, args[0], "added", n)
		},
	}
	slot.flags(c)
	c.Flags().StringVar(&pass, "key-file", "", "file with a passphrase that opens it; - is standard input")
	c.Flags().StringVar(&added, "new-key-file", "", "file with the new one")
	return c
}

func luksDone(cmd *cobra.Command, path, what string, slot int) error {
	env := core.EnvFrom(cmd.Context())
	if env.JSON {
		return env.PrintJSON(map[string]any{"file": path, "keyslot": slot})
	}
	_, err := fmt.Fprintf(env.Out, "%s: key slot %d %s\n", path, slot, what)
	return err
}

func luksRemoveKeyCommand() *cobra.Command {
	var slot int
	var last bool
	c := &cobra.Command{
		Use:   "remove-key FILE",
		Short: "Destroy a key slot: its passphrase opens the container no more",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			f, err := luksFile(args[0], os.O_RDWR)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			c, err := luks2.Open(f)
			if err != nil {
				return luksError(fmt.Errorf("%s: %w", args[0], err))
			}
			if err := c.RemoveKey(slot, last); err != nil {
				return luksError(err)
			}
			return luksDone(cmd, args[0], "removed", slot)
		},
	}
	c.Flags().IntVar(&slot, "slot", -1, "its number, as dump has it")
	c.Flags().BoolVar(&last, "last", false, "even the last one: nobody opens the volume any more")
	_ = c.MarkFlagRequired("slot")
	return c
}

func luksImportCommand() *cobra.Command {
	var pass string
	c := &cobra.Command{
		Use:   "import FILE IMAGE",
		Short: "Write an image into a container's volume, from its beginning on",
		Long: `Writes an image, or standard input (-), into the volume: what it had there is lost.
A container that is a file grows where the image is larger. Interrupted, the volume
has a part of the image: do it again.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if args[1] == "-" && pass == "-" {
				return core.Exit(core.ExitUsage, errors.New("both the image and the passphrase from standard input"))
			}
			if err := free(args[0], true, args[1]); err != nil { // it is there, and must be another file
				return err
			}
			o, err := luksOpen(cmd, args[0], pass, -1, os.O_RDWR)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close()) }()
			in, size := cmd.InOrStdin(), int64(0)
			if args[1] != "-" {
				f, err := os.Open(filepath.Clean(args[1]))
				if err != nil {
					return core.Exit(core.ExitUsage, fmt.Errorf("read image: %w", err))
				}
				defer f.Close()
				if size, err = f.Seek(0, io.SeekEnd); err != nil {
					return fmt.Errorf("measure image: %w", err)
				}
				if _, err := f.Seek(0, io.SeekStart); err != nil {
					return fmt.Errorf("read image: %w", err)
				}
				in = f
			}
			return o.copyIn(cmd, in, size)
		},
	}
	c.Flags().StringVar(&pass, "key-file", "", "file with the passphrase; - is standard input")
	return c
}

// luksChunk is what is copied at once, in bytes.
const luksChunk = 4 << 20

func (o *luksOpened) copyIn(cmd *cobra.Command, in io.Reader, size int64) error {
	v, err := o.c.Volume(o.key)
	if err != nil {
		return luksError(err)
	}
	w := &luksGrowing{v: v, f: o.f}
	n, err := luksCopy(cmd, "import", size, func(b []byte, _ int64) (int, error) {
		n, err := io.ReadFull(in, b)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		return n, err
	}, w.WriteAt)
	if err != nil {
		return err
	}
	if err := v.Sync(); err != nil {
		return fmt.Errorf("have the disk write: %w", err)
	}
	return luksCopied(cmd, n)
}

// luksGrowing is a volume whose file grows with what is written.
type luksGrowing struct {
	v *luks2.Volume
	f *os.File
}

func (g *luksGrowing) WriteAt(b []byte, at int64) (int, error) {
	n, err := g.v.Size()
	if err != nil {
		return 0, err
	}
	st, err := g.f.Stat()
	if err != nil || !st.Mode().IsRegular() || at+int64(len(b)) <= n {
		return g.v.WriteAt(b, at)
	}
	// The last sector is filled with zeros, which else would be noise.
	whole := slices.Concat(b, make([]byte, -len(b)&4095))
	if err := g.f.Truncate(st.Size() + at + int64(len(whole)) - n); err != nil {
		return 0, fmt.Errorf("have the container grow: %w", err)
	}
	if _, err := g.v.WriteAt(whole, at); err != nil {
		return 0, err
	}
	return len(b), nil
}

// luksCopy moves chunks until read says io.EOF.
func luksCopy(cmd *cobra.Command, what string, size int64, read, write func([]byte, int64) (int, error)) (at int64, err error) {
	ctx := cmd.Context()
	bar := term.NewProgress(core.EnvFrom(ctx).Err, what, size)
	defer bar.Done()
	b := make([]byte, luksChunk)
	defer clear(b)
	for {
		if ctx.Err() != nil {
			return at, fmt.Errorf("stopped after %d bytes: %w", at, context.Cause(ctx))
		}
		n, err := read(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, fmt.Errorf("%s: %w", what, err)
		}
		if n > 0 {
			if _, err := write(b[:n], at); err != nil {
				return at, fmt.Errorf("%s: %w", what, err)
			}
		}
		at += int64(n)
		bar.Set(at)
		if err != nil {
			return at, nil
		}
	}
}

func luksCopied(cmd *cobra.Command, n int64) error {
	env := core.EnvFrom(cmd.Context())
	if env.JSON {
		return env.PrintJSON(map[string]any{"bytes": n})
	}
	_, err := fmt.Fprintf(env.Err, "%d bytes\n", n)
	return err
}

func luksExportCommand() *cobra.Command {
	var pass string
	var force bool
	c := &cobra.Command{
		Use:   "export FILE IMAGE",
		Short: "Write a container's volume in the clear",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := free(args[1], force, args[0], pass); err != nil {
				return err
			}
			o, err := luksOpen(cmd, args[0], pass, -1, os.O_RDONLY)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, o.close()) }()
			if args[1] == "-" {
				_, err := o.copyOut(cmd, core.EnvFrom(cmd.Context()).Out)
				return err
			}
			return o.export(cmd, args[1])
		},
	}
	c.Flags().StringVar(&pass, "key-file", "", "file with the passphrase; - is standard input")
	forceFlag(c, &force)
	return c
}

// export writes the image whole or not at all; a device or a pipe gets it as it comes.
func (o *luksOpened) export(cmd *cobra.Command, path string) error {
	f, err := whole.Create(path, 0o600)
	if errors.Is(err, whole.ErrIrregular) {
		var n int64
		err := whole.Plain(cmd.Context(), path, func(w io.Writer) (err error) {
			n, err = o.copyOut(cmd, w)
			return err
		})
		if err != nil {
			return err
		}
		return luksCopied(cmd, n)
	}
	if err != nil {
		return err
	}
	n, err := o.copyOut(cmd, f)
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	if err := f.Commit(); err != nil {
		return err
	}
	return luksCopied(cmd, n)
}

func (o *luksOpened) copyOut(cmd *cobra.Command, to io.Writer) (int64, error) {
	v, err := o.c.Volume(o.key)
	if err != nil {
		return 0, luksError(err)
	}
	size, err := v.Size()
	if err != nil {
		return 0, err
	}
	return luksCopy(cmd, "export", size, v.ReadAt, func(b []byte, _ int64) (int, error) { return to.Write(b) })
}
