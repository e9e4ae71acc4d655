package whole

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Replace gives a file other contents, and leaves it its mode, owner and extended
// attributes. A symbolic link stays one.
func Replace(path string, data []byte) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, pathless(err))
	}
	f, err := Create(real, 0o600)
	if err != nil {
		return err
	}
	if err := likeness(f.File, real); err != nil {
		return errors.Join(fmt.Errorf("replace %s: %w", path, err), f.Abort())
	}
	return f.fill(data)
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
