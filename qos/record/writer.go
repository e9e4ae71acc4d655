package record

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Writer writes a recording. It is not safe for concurrent use.
type Writer struct {
	file *os.File // nil for a writer on a stream
	z    *zstd.Encoder
	w    io.Writer
	n    int64
}

// NewWriter writes plain text to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Create makes the file, which must not exist, and compresses if its name ends
// in .zst.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, fmt.Errorf("make recording: %w", err)
	}
	w := &Writer{file: f, w: f}
	if strings.HasSuffix(path, ".zst") {
		if w.z, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1)); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("make recording: %w", err)
		}
		w.w = w.z
	}
	return w, nil
}

// Write adds a line.
func (w *Writer) Write(l *Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode recording: %w", err)
	}
	return w.Raw(append(b, '\n'))
}

// Raw adds lines that are encoded already.
func (w *Writer) Raw(b []byte) error {
	n, err := w.w.Write(b)
	w.n += int64(n)
	if err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	return nil
}

// Size is how much was written, before compression, in bytes.
func (w *Writer) Size() int64 { return w.n }

// Close ends the recording; what was written is then on disk.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	var err error
	if w.z != nil {
		err = w.z.Close()
	}
	if serr := w.file.Sync(); err == nil {
		err = serr
	}
	if cerr := w.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("close recording: %w", err)
	}
	return nil
}
