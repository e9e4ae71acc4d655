// Package outfile writes files whole or not at all.
package outfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Write makes path hold data, whatever was there before, with the permissions given. A
// file that is no regular one, as /dev/stdout, is written to as it is; a symbolic link
// stays one.
func Write(path string, data []byte, perm os.FileMode) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		if err := os.WriteFile(path, data, perm); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		return nil
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return put(path, data, func(f *os.File) error { return f.Chmod(perm) })
}

// Replace gives a file other contents, and leaves it its mode, owner and extended
// attributes. A symbolic link stays one.
func Replace(path string, data []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return put(real, data, func(f *os.File) error { return likeness(f, real) })
}

// put writes a file beside path, has it readied and moves it to path.
func put(path string, data []byte, ready func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = ready(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return nil //nolint:nilerr // the file is there; what may not be read cannot be synced
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// likeness gives f the owner, mode and extended attributes of the file at path.
func likeness(f *os.File, path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	fd := int(f.Fd())
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		return fmt.Errorf("keep owner: %w", err)
	}
	// After the owner, whose change takes set-user-id away.
	if err := unix.Fchmod(fd, st.Mode&0o7777); err != nil {
		return fmt.Errorf("keep mode: %w", err)
	}
	names, err := attributes(path)
	if err != nil {
		return fmt.Errorf("keep extended attributes: %w", err)
	}
	for _, name := range names {
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Getxattr(path, name, value)
		if err == nil {
			err = unix.Fsetxattr(fd, name, value[:n], 0)
		}
		if err != nil {
			return fmt.Errorf("keep extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// attributes lists the names of a file's extended attributes.
func attributes(path string) (names []string, err error) {
	list := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Listxattr(path, list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for name := range bytes.SplitSeq(list[:n], []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}
