package ima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// pseudo are file systems whose files are no content: magic numbers of linux/magic.h.
var pseudo = []int64{
	unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
	unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.SELINUX_MAGIC, unix.NSFS_MAGIC, unix.EFIVARFS_MAGIC,
}

// inode tells one from another.
type inode struct{ dev, ino uint64 }

// walker goes through trees and puts the files into batches.
type walker struct {
	ctx  context.Context
	o    *Options
	out  chan<- []*file
	seen map[inode]struct{} // those that have several names
	now  []*file
	size int64
	sum  *Summary
	fail func(path string, err error)
}

var errLink = errors.New("it is a symbolic link, which is not followed")

// root takes what was named by the caller.
func (w *walker) root(path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(unix.AT_FDCWD, path, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		return errLink
	case unix.S_IFDIR:
		if !w.o.Recursive {
			return errors.New("it is a folder: -r is for whole trees")
		}
		d, err := openFolder(nil, path, path, unix.O_NOFOLLOW)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		defer d.release()
		w.folder(d, st.Dev)
		return nil
	case unix.S_IFREG:
		d, err := openFolder(nil, filepath.Dir(path), filepath.Dir(path), 0)
		if err != nil {
			return fmt.Errorf("open folder: %w", err)
		}
		defer d.release()
		w.file(d, filepath.Base(path), path, &st)
		return nil
	}
	return errors.New("it is no regular file")
}

// folder walks through one, depth first and in the order of names.
func (w *walker) folder(d *folder, dev uint64) {
	names, err := d.f.Readdirnames(-1)
	if err != nil {
		w.fail(d.path, fmt.Errorf("read folder: %w", err))
	}
	slices.Sort(names)
	for _, name := range names {
		if w.ctx.Err() != nil {
			return
		}
		path := filepath.Join(d.path, name)
		var st unix.Stat_t
		if err := unix.Fstatat(d.fd(), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			if !errors.Is(err, unix.ENOENT) { // it may have gone meanwhile
				w.fail(path, fmt.Errorf("stat: %w", err))
			}
			continue
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			w.below(d, name, path, &st, dev)
		case unix.S_IFREG:
			if w.o.Place != Files || !isSig(name) {
				w.file(d, name, path, &st)
			}
		default:
			w.sum.Skipped++
		}
	}
}

// below goes down, unless another file system begins.
func (w *walker) below(d *folder, name, path string, st *unix.Stat_t, dev uint64) {
	other := st.Dev != dev
	if other && !w.o.CrossDevices {
		w.sum.Mounts++
		return
	}
	sub, err := openFolder(d, name, path, unix.O_NOFOLLOW)
	if err != nil {
		w.fail(path, fmt.Errorf("open: %w", err))
		return
	}
	defer sub.release()
	var fs unix.Statfs_t
	if other && (unix.Fstatfs(sub.fd(), &fs) != nil || slices.Contains(pseudo, fs.Type)) {
		w.sum.Mounts++
		return
	}
	w.folder(sub, st.Dev)
}

// file puts one into the batch. One of several names is taken once, but that each name
// has a label of its own where labels are files.
func (w *walker) file(d *folder, name, path string, st *unix.Stat_t) {
	if st.Nlink > 1 && w.o.Place != Files {
		id := inode{st.Dev, st.Ino}
		if _, ok := w.seen[id]; ok {
			w.sum.Links++
			return
		}
		w.seen[id] = struct{}{}
	}
	f := &file{dir: d.hold(), name: name, path: path, st: *st, fd: -1, place: w.o.Place}
	if st.Size > large {
		w.send([]*file{f})
		return
	}
	w.now = append(w.now, f)
	w.size += st.Size
	if len(w.now) == batchFiles || w.size >= batchBytes {
		w.flush()
	}
}

func (w *walker) flush() {
	w.send(w.now)
	w.now, w.size = nil, 0
}

func (w *walker) send(batch []*file) {
	if len(batch) == 0 {
		return
	}
	select {
	case w.out <- batch:
	case <-w.ctx.Done():
		for _, f := range batch {
			f.close()
		}
	}
}

// settle has the file system of a path write what it still holds.
func settle(path string) error {
	f, err := os.Open(path) //nolint:gosec // the caller named it
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
