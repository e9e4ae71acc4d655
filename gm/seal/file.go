package seal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/anole-os/anole/gm/internal/whole"
)

// EncryptFile seals a file. The sealed one appears whole or not at all, with the mode of
// the other, but nobody than its owner may write to it; of a device or a pipe it is 0600.
// Where to is a device or a pipe itself, it gets what is sealed as it comes. done, if any, is told how many bytes were read, every now and then.
func EncryptFile(ctx context.Context, to, from string, o Options, done func(int64)) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	defer src.Close()
	s, err := src.Stat()
	if err != nil {
		return fmt.Errorf("encrypt: %w", err)
	}
	if s.IsDir() {
		return fmt.Errorf("encrypt %s: it is a folder: pack it first", from)
	}
	mode := os.FileMode(0o600)
	if s.Mode().IsRegular() {
		mode = s.Mode().Perm() &^ 0o022
	}
	write := func(w io.Writer) error { return encrypt(ctx, w, &counter{src, ctx, 0, done}, o) }
	return file(ctx, to, mode, write, write)
}

// DecryptFile opens a sealed file into one that only its owner may read, and that appears
// whole or not at all. Where to is a device or a pipe, it gets something once all of the
// sealed file was found to be genuine, as with DecryptChecked.
func DecryptFile(ctx context.Context, to, from string, o Opener, done func(int64)) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	defer src.Close()
	return file(ctx, to, 0o600, func(w io.Writer) error { return decrypt(ctx, w, &counter{src, ctx, 0, done}, o) },
		func(w io.Writer) error { return DecryptChecked(ctx, w, src, o) })
}

// EncryptStream seals all that r has into a file, as EncryptFile does, with mode 0600.
func EncryptStream(ctx context.Context, to string, r io.Reader, o Options) error {
	write := func(w io.Writer) error { return Encrypt(ctx, w, r, o) }
	return file(ctx, to, 0o600, write, write)
}

// DecryptStream opens all that r has into a file, as DecryptFile does.
func DecryptStream(ctx context.Context, to string, r io.Reader, o Opener) error {
	return file(ctx, to, 0o600, func(w io.Writer) error { return Decrypt(ctx, w, r, o) },
		func(w io.Writer) error { return DecryptChecked(ctx, w, r, o) })
}

// DecryptChecked opens all that r has, and writes nothing before all of it was found to
// be genuine: it reads twice. What cannot be read twice is kept, sealed as it is, in a
// file without a name meanwhile.
func DecryptChecked(ctx context.Context, w io.Writer, r io.Reader, o Opener) error {
	src, ok := r.(io.ReadSeeker)
	if ok { // a pipe says so, and cannot
		_, err := src.Seek(0, io.SeekCurrent)
		ok = err == nil
	}
	if !ok {
		f, err := os.CreateTemp("", "anole-seal-")
		if err != nil {
			return fmt.Errorf("keep what is to be decrypted: %w", err)
		}
		defer f.Close()
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("keep what is to be decrypted: %w", err)
		}
		if _, err := io.Copy(f, &counter{r, ctx, 0, nil}); err != nil {
			return fmt.Errorf("keep what is to be decrypted: %w", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("keep what is to be decrypted: %w", err)
		}
		src = f
	}
	begin, err := src.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	if err := Decrypt(ctx, io.Discard, src, o); err != nil {
		return err
	}
	if _, err := src.Seek(begin, io.SeekStart); err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	return Decrypt(ctx, w, src, o)
}

// file writes a file whole, and by plain what is no regular file.
func file(ctx context.Context, path string, mode os.FileMode, write, plain func(io.Writer) error) error {
	f, err := whole.Create(path, mode)
	if errors.Is(err, whole.ErrIrregular) {
		return whole.Plain(ctx, path, plain)
	}
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// Encrypt seals all that r has. When ctx is done it leaves off before the next read, and at
// once where it makes a key of a password.
func Encrypt(ctx context.Context, w io.Writer, r io.Reader, o Options) error {
	return encrypt(ctx, w, &counter{r, ctx, 0, nil}, o)
}

func encrypt(ctx context.Context, w io.Writer, r io.Reader, o Options) error {
	s, err := newWriter(ctx, w, o)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, make([]byte, 1<<defaultLog)); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return s.Close()
}

// Decrypt opens all that r has, until ctx is done as with Encrypt. What it wrote before an
// error is authentic, but not all.
func Decrypt(ctx context.Context, w io.Writer, r io.Reader, o Opener) error {
	return decrypt(ctx, w, &counter{r, ctx, 0, nil}, o)
}

func decrypt(ctx context.Context, w io.Writer, r io.Reader, o Opener) error {
	s, err := newReader(ctx, r, o)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{s}, make([]byte, 1<<defaultLog))
	return err
}

// counter tells how much was read, and reads no more once its context is over.
type counter struct {
	r    io.Reader
	ctx  context.Context
	n    int64
	done func(int64) // or nil
}

func (c *counter) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	if c.done != nil {
		c.done(c.n)
	}
	return n, err
}
