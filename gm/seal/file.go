package seal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/anole-os/anole/gm/internal/whole"
)

// EncryptFile seals a file. The sealed one appears whole or not at all, with the mode of
// the other. done, if any, is told how many bytes were read, every now and then.
func EncryptFile(to, from string, o Options, done func(int64)) error {
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
	return file(to, s.Mode(), func(w io.Writer) error { return Encrypt(w, counting(src, done), o) })
}

// DecryptFile opens a sealed file into one that only its owner may read, and that appears
// whole or not at all.
func DecryptFile(to, from string, o Opener, done func(int64)) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("decrypt: %w", err)
	}
	defer src.Close()
	return file(to, 0o600, func(w io.Writer) error { return Decrypt(w, counting(src, done), o) })
}

// file writes a file whole.
func file(path string, mode os.FileMode, write func(io.Writer) error) error {
	f, err := whole.Create(path, mode)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// Encrypt seals all that r has.
func Encrypt(w io.Writer, r io.Reader, o Options) error {
	s, err := NewWriter(w, o)
	if err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, make([]byte, 1<<defaultLog)); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return s.Close()
}

// Decrypt opens all that r has. What it wrote before an error is authentic, but not all.
func Decrypt(w io.Writer, r io.Reader, o Opener) error {
	s, err := NewReader(r, o)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{s}, make([]byte, 1<<defaultLog))
	return err
}

// counter tells how much was read.
type counter struct {
	r    io.Reader
	n    int64
	done func(int64)
}

func counting(r io.Reader, done func(int64)) io.Reader {
	if done == nil {
		return r
	}
	return &counter{r: r, done: done}
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.done(c.n)
	return n, err
}
