// Package whole writes files that appear with all their content or not at all, and reads
// files of a bounded size.
package whole

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/internal/leave"
)

// File is a file that nobody sees until it is committed. Where the file system can, it
// has no name until then, so that a killed process leaves nothing behind either.
type File struct {
	*os.File
	path string
	temp string // its name until it is committed, where it needs one
}

// ErrIrregular is of a name that a device, a pipe or a folder has.
var ErrIrregular = errors.New("it is no regular file, and is not replaced by one")

// Create begins a file. What a symbolic link names is replaced, and not the link. Missing
// folders are an error, and so is a name that something has that is no regular file
// (ErrIrregular).
func Create(path string, mode fs.FileMode) (*File, error) {
	path, err := target(path)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	fd, err := unix.Open(filepath.Dir(path), unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, uint32(mode.Perm()))
	switch {
	case err == nil:
		f := os.NewFile(uintptr(fd), path)
		if err := f.Chmod(mode.Perm()); err != nil { // the umask took from it
			f.Close()
			return nil, fmt.Errorf("create %s: %w", path, err)
		}
		return &File{File: f, path: path}, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EROFS):
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	temp := name(path)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode.Perm())
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	if err := f.Chmod(mode.Perm()); err != nil {
		return nil, errors.Join(fmt.Errorf("create %s: %w", path, err), f.Close(), os.Remove(temp))
	}
	return &File{File: f, path: path, temp: temp}, nil
}

// target is the name that is to be replaced.
func target(path string) (string, error) {
	// First by Stat: /dev/stdout may be a link to what has no name.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return path, ErrIrregular
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real, nil
	}
	return path, nil
}

func name(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8])
}

// Commit gives the file its name, in place of one that has it, once its content is on
// the disk.
func (f *File) Commit() (err error) {
	defer func() { err = errors.Join(err, f.Abort()) }()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	if f.temp == "" {
		err := f.link(f.path)
		if err == nil {
			return SyncDir(filepath.Dir(f.path))
		}
		temp := name(f.path)
		if errors.Is(err, unix.EEXIST) { // a link does not take another's place
			err = f.link(temp)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
		f.temp = temp
	}
	if err := os.Rename(f.temp, f.path); err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	f.temp = ""
	return SyncDir(filepath.Dir(f.path))
}

// link gives a file without a name one.
func (f *File) link(path string) error {
	self := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	return unix.Linkat(unix.AT_FDCWD, self, unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// Abort drops what was not committed. It may be called after Commit.
func (f *File) Abort() error {
	err := f.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil
	}
	if f.temp != "" {
		err = errors.Join(err, os.Remove(f.temp))
		f.temp = ""
	}
	return err
}

// Write writes a file in one go. What is no regular file, as /dev/stdout, is written to as
// it is.
func Write(path string, data []byte, mode fs.FileMode) error {
	f, err := Create(path, mode)
	if errors.Is(err, ErrIrregular) {
		if err := os.WriteFile(path, data, mode); err != nil {
			return fmt.Errorf("write %s: %w", path, pathless(err))
		}
		return nil
	}
	if err != nil {
		return err
	}
	return f.fill(data)
}

// Plain has what is no regular file, as a device or a pipe, get what fill writes as it is
// written: what Create says ErrIrregular of. A pipe is waited for until somebody reads it or
// ctx is done.
func Plain(ctx context.Context, path string, fill func(io.Writer) error) error {
	f, err := leave.Do(ctx, func() (*os.File, error) { return os.OpenFile(path, os.O_WRONLY, 0) })
	if err != nil {
		return fmt.Errorf("write %s: %w", path, pathless(err))
	}
	if err := fill(f); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, pathless(err))
	}
	return nil
}

// fill writes all there is, and commits.
func (f *File) fill(data []byte) error {
	if _, err := f.Write(data); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", f.path, err), f.Abort())
	}
	return f.Commit()
}

// SyncDir has a folder's names on the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil // it may be written to and not read: then it cannot be synced
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// Read reads a file of at most so many bytes: one that is larger is an error.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, pathless(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, pathless(err))
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("read %s: more than %d bytes: not a file of this kind", path, most)
	}
	return b, nil
}

// pathless is an error without the path that was said already.
func pathless(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
