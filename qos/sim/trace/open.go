package trace

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// source is an open table.
type source struct {
	*rows
	files []io.Closer
	size  int64 // of the file, for progress
	read  *counter
}

// counter counts what was read of a file.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// open finds a table in a directory: <name>.csv, <name>.csv.gz or <name>.tar.gz.
// The error is fs.ErrNotExist without one.
func (t *table) open(dir string) (*source, error) {
	for _, end := range []string{".csv", ".csv.gz", ".tar.gz"} {
		f, err := os.Open(filepath.Join(dir, t.name+end))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := t.unpack(f, end)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("read %s: %w", f.Name(), err)
		}
		return s, nil
	}
	return nil, fmt.Errorf("%s: no %s.csv, .csv.gz or .tar.gz: %w", dir, t.name, fs.ErrNotExist)
}

func (t *table) unpack(f *os.File, end string) (*source, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	s := &source{files: []io.Closer{f}, size: st.Size(), read: &counter{r: f}}
	var in io.Reader = s.read
	label := f.Name()
	if end != ".csv" {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, z)
		in = z
	}
	if end == ".tar.gz" {
		archive := tar.NewReader(in)
		if err := find(archive, t.name+".csv"); err != nil {
			return nil, err
		}
		in, label = archive, label+"/"+t.name+".csv"
	}
	s.rows = newRows(t, label, in)
	return s, nil
}

// find goes to a member of an archive, in whatever folder it is.
func find(a *tar.Reader, member string) error {
	for {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("no %s in the archive: %w", member, fs.ErrNotExist)
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && path.Base(h.Name) == member {
			return nil
		}
	}
}

// Close frees the files.
func (s *source) Close() error {
	for _, f := range s.files {
		_ = f.Close()
	}
	return nil
}
