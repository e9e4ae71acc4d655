package cgroup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is an open cgroup directory. Reads and writes go through its descriptor,
// so they reach that very cgroup and fail with ENODEV or ENOENT once it is
// gone, even when another one has taken its name.
type Dir struct {
	path string
	fd   int
	ino  uint64
}

// OpenDir opens the cgroup directory at path. Symbolic links below the cgroup
// mount are refused.
func OpenDir(path string) (*Dir, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before Linux 5.6, or a seccomp filter
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open cgroup", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return nil, &fs.PathError{Op: "stat cgroup", Path: path, Err: err}
	}
	return &Dir{path: path, fd: fd, ino: st.Ino}, nil
}

// Path gives the directory's path.
func (d *Dir) Path() string { return d.path }

// Ino gives the directory's inode number, which is the kernel's cgroup id.
func (d *Dir) Ino() uint64 { return d.ino }

// FD gives the directory's descriptor, by which perf_event_open(2) knows the
// cgroup. It is the Dir's and is not to be closed.
func (d *Dir) FD() int { return d.fd }

// Has says whether the cgroup has a file of that name.
func (d *Dir) Has(name string) bool {
	return unix.Faccessat(d.fd, name, unix.F_OK, 0) == nil
}

// Alive says whether the cgroup still exists: a removed kernfs directory can
// no longer be listed by name.
func (d *Dir) Alive() bool {
	var st unix.Stat_t
	return unix.Stat(d.path, &st) == nil && st.Ino == d.ino
}

// Open opens a file of the cgroup for repeated reading.
func (d *Dir) Open(name string) (*File, error) {
	fd, err := d.openat(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return &File{name: filepath.Join(d.path, name), fd: fd}, nil
}

// ReadFile reads a control file whole.
func (d *Dir) ReadFile(name string) ([]byte, error) {
	fd, err := d.openat(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), filepath.Join(d.path, name))
	defer f.Close()
	return io.ReadAll(f)
}

// write stores value with one write call, as the kernel wants it. It does not
// go through the journal: see Writer.
func (d *Dir) write(name, value string) error {
	fd, err := d.openat(name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(value)); err != nil {
		return &fs.PathError{Op: "write " + strconv.Quote(value) + " to", Path: filepath.Join(d.path, name), Err: err}
	}
	return nil
}

// Tell writes to a file that holds no value but makes the kernel do something,
// such as memory.reclaim or cgroup.kill, so that there is nothing to put back.
// It returns when that is done.
func (d *Dir) Tell(name, value string) error { return d.write(name, value) }

func (d *Dir) openat(name string, flags int) (int, error) {
	if strings.ContainsRune(name, '/') {
		return -1, fmt.Errorf("open %q in %s: not a file name", name, d.path)
	}
	fd, err := unix.Openat(d.fd, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: err}
	}
	return fd, nil
}

// Close closes the directory.
func (d *Dir) Close() error { return unix.Close(d.fd) }

// File is a control file held open for reading; it is not safe for concurrent
// use. A reading costs one pread (about 1 µs; open, read and close about 15).
type File struct {
	name string
	fd   int
}

// Read reads the file from its start into buf and gives the part that was
// filled. A removed cgroup answers ENODEV.
func (f *File) Read(buf []byte) ([]byte, error) {
	n, err := unix.Pread(f.fd, buf, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: f.name, Err: err}
	}
	return buf[:n], nil
}

// Close closes the file.
func (f *File) Close() error { return unix.Close(f.fd) }

// Gone says whether err means that a cgroup was removed under the caller's
// hands: a normal event, not a failure.
func Gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, fs.ErrNotExist)
}
