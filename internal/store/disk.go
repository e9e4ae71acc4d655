package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// minFree is the free space below which the store closes the database while
	// there is still room to flush it. Reopening asks for twice as much.
	minFree   = 8 << 20
	asideMark = ".corrupt-"
)

// errDisk marks a state of the file system that may change by itself or by the
// administrator's hand: worth a retry, no reason to give up the data.
var errDisk = errors.New("disk unusable")

// environment reports whether err comes from the file system's condition and
// not from the files' content.
func environment(err error) bool {
	for _, errno := range []syscall.Errno{
		unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EACCES, unix.EPERM, unix.EMFILE, unix.ENFILE,
		unix.ENOMEM, unix.EIO, unix.EAGAIN, unix.EBUSY, unix.ESTALE, unix.EFBIG,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return errors.Is(err, errDisk)
}

// prepare makes dir usable: a directory, writable, with room for a replay of
// the log, during which the database writes chunks and may not run out of space.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("create history directory: %w: %w", errDisk, err)
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("write to %s: %w: %w", dir, errDisk, err)
	}
	return roomFor(dir, 2*minFree+treeBytes(filepath.Join(dir, "wal")))
}

// roomFor fails when less than need bytes are free for an unprivileged user.
func roomFor(dir string, need int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("ask for free space of %s: %w: %w", dir, errDisk, err)
	}
	free := int64(min(st.Bavail, 1<<62/uint64(max(st.Bsize, 1)))) * st.Bsize
	if free < need {
		// MiB, not bytes: the text must not change with every file written.
		return fmt.Errorf("%w: %w: %s has less than the %d MiB free that history needs", errDisk, unix.ENOSPC, dir, need>>20)
	}
	return nil
}

func treeBytes(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // an estimate: what cannot be read counts nothing
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// moveAside renames dir to dir.corrupt-<time> after removing what an earlier
// call left, so that at most one broken history takes up space.
func moveAside(dir string, now time.Time) (string, error) {
	dir = filepath.Clean(dir)
	parent, base := filepath.Split(dir)
	if parent == "" {
		parent = "."
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return "", fmt.Errorf("list %s: %w", parent, err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), base+asideMark) {
			if err := os.RemoveAll(filepath.Join(parent, e.Name())); err != nil {
				return "", fmt.Errorf("remove older broken history: %w", err)
			}
		}
	}
	to := dir + asideMark + now.UTC().Format("20060102T150405.000Z")
	if err := os.Rename(dir, to); err != nil {
		return "", fmt.Errorf("move broken history aside: %w", err)
	}
	return to, nil
}
