// Package sink keeps files of lines that grow for as long as an agent runs: whole
// lines only, whenever it is killed, and no more bytes than it is told.
package sink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// File is one. When it is full it is renamed to PATH.1, what was that to PATH.2, and
// so on up to Keep; the oldest goes. It is for one goroutine at a time.
type File struct {
	path string
	max  int64
	keep int
	f    *os.File
	size int64
}

// Open makes the file, or goes on with one that is there, less a last line that was
// not finished. Max is of bytes, of one file; keep is how many older ones stay.
func Open(path string, max int64, keep int) (*File, error) {
	s := &File{path: path, max: max, keep: keep}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("make the directory of %s: %w", path, err)
	}
	return s, s.open()
}

func (s *File) open() error {
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open %s: %w", s.path, err)
	}
	i, err := f.Stat()
	if err == nil && !i.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err == nil {
		s.size, err = lines(f, i.Size())
	}
	if err == nil {
		err = f.Truncate(s.size)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", s.path, err), f.Close())
	}
	s.f = f
	return nil
}

// lines is the size without what comes after the last end of a line.
func lines(f io.ReaderAt, size int64) (int64, error) {
	b := make([]byte, 64<<10)
	for end := size; end > 0; {
		from := max(0, end-int64(len(b)))
		n, err := f.ReadAt(b[:end-from], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(b[:n], '\n'); at >= 0 {
			return from + int64(at) + 1, nil
		}
		end = from
	}
	return 0, nil
}

// Write takes whole lines. Each is whole in one file; so many as fit into one are
// there after a kill of the process, or else none of them.
func (s *File) Write(b []byte) (n int, err error) {
	for rest := b; len(rest) > 0; {
		part := rest
		if int64(len(part)) > s.max {
			part = part[:s.max]
			if end := bytes.LastIndexByte(part, '\n'); end >= 0 {
				part = part[:end+1]
			} else if end := bytes.IndexByte(rest, '\n'); end >= 0 { // a line that is longer alone
				part = rest[:end+1]
			} else {
				part = rest
			}
		}
		m, err := s.write(part)
		if n += m; err != nil {
			return n, err
		}
		rest = rest[len(part):]
	}
	return n, nil
}

// follow looks whether somebody moved, removed or emptied the file meanwhile.
func (s *File) follow() error {
	if s.f != nil {
		own, err := s.f.Stat()
		there, err2 := os.Stat(s.path)
		if err == nil && err2 == nil && os.SameFile(own, there) {
			s.size = own.Size()
			return nil
		}
		_ = s.f.Close()
		s.f = nil
	}
	return s.open() // also where a rotation failed
}

func (s *File) write(b []byte) (int, error) {
	if err := s.follow(); err != nil {
		return 0, err
	}
	if s.size > 0 && s.size+int64(len(b)) > s.max {
		if err := s.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := s.f.Write(b)
	if err != nil {
		// A disk that is full: what came of it is no whole line.
		return 0, errors.Join(fmt.Errorf("write %s: %w", s.path, err), s.f.Truncate(s.size))
	}
	s.size += int64(n)
	return n, nil
}

func (s *File) rotate() error {
	err := s.f.Close()
	s.f = nil
	older := func(i int) string { return fmt.Sprintf("%s.%d", s.path, i) }
	if s.keep == 0 {
		err = errors.Join(err, os.Remove(s.path))
	} else {
		for i := s.keep; i > 1; i-- {
			if e := os.Rename(older(i-1), older(i)); !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
		err = errors.Join(err, os.Rename(s.path, older(1)))
	}
	if err != nil {
		return fmt.Errorf("begin %s anew: %w", s.path, err)
	}
	return s.open()
}

// Close closes it.
func (s *File) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
