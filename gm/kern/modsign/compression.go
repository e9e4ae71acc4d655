package modsign

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/klauspost/compress/zstd"

	"github.com/anole-os/anole/feature"
)

// MaxSize bounds what a module may be, in bytes, decompressed.
const MaxSize = 1 << 30

// ErrSize is of a module over MaxSize.
var ErrSize = errors.New("modsign: the module is larger than 1 GiB")

// Compression names what a file is compressed with by how it begins: "gzip", "zstd", "xz"
// or "".
func Compression(file []byte) string {
	for _, c := range []struct{ magic, name string }{{"\x1f\x8b", "gzip"}, {"\x28\xb5\x2f\xfd", "zstd"}, {"\xfd7zXZ\x00", "xz"}} {
		if bytes.HasPrefix(file, []byte(c.magic)) {
			return c.name
		}
	}
	return ""
}

// Decompress gives a module as the kernel has it. One that is not compressed is given as
// it is. For xz the program of that name is needed.
func Decompress(file []byte) ([]byte, error) {
	switch Compression(file) {
	case "gzip":
		r, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return nil, fmt.Errorf("decompress module: %w", err)
		}
		return readAll(r)
	case "zstd":
		r, err := zstd.NewReader(bytes.NewReader(file), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSize))
		if err != nil {
			return nil, fmt.Errorf("decompress module: %w", err)
		}
		defer r.Close()
		return readAll(r)
	case "xz":
		return unxz(file)
	}
	if len(file) > MaxSize {
		return nil, ErrSize
	}
	return file, nil
}

func readAll(r io.Reader) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("decompress module: %w", err)
	}
	if len(out) > MaxSize {
		return nil, ErrSize
	}
	return out, nil
}

func unxz(file []byte) ([]byte, error) {
	path, err := exec.LookPath("xz")
	if err != nil {
		return nil, &feature.UnsupportedError{Feature: "modules compressed with xz", Reason: feature.NoPeer, Need: "the program xz", Fix: "install xz-utils", Err: err}
	}
	c := exec.Command(path, "--decompress", "--stdout", "--memlimit=256MiB")
	c.Stdin = bytes.NewReader(file)
	pipe, err := c.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("decompress module: %w", err)
	}
	if err := c.Start(); err != nil {
		return nil, fmt.Errorf("decompress module: %w", err)
	}
	out, err := readAll(pipe)
	if err != nil {
		_ = c.Process.Kill() // it has more to say than is listened to
		return nil, errors.Join(err, c.Wait())
	}
	if err := c.Wait(); err != nil {
		return nil, fmt.Errorf("decompress module: xz: %w", err)
	}
	return out, nil
}
