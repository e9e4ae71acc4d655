package ima

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/internal/rawsign"
)

// SigSuffix is added to a file's name for the name of the file that has its label.
const SigSuffix = ".sig"

// newSuffix is of such a file that is being written.
const newSuffix = SigSuffix + ".new"

// folder is open while files of it are worked on.
type folder struct {
	f    *os.File
	path string
	refs atomic.Int32
}

func (d *folder) fd() int { return int(d.f.Fd()) }

func (d *folder) hold() *folder {
	d.refs.Add(1)
	return d
}

func (d *folder) release() {
	if d.refs.Add(-1) == 0 {
		_ = d.f.Close()
	}
}

// openFolder opens a folder in another, or by its path where in is nil.
func openFolder(in *folder, name, path string, flags int) (*folder, error) {
	at := unix.AT_FDCWD
	if in != nil {
		at = in.fd()
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, err
	}
	d := &folder{f: os.NewFile(uintptr(fd), path), path: path}
	return d.hold(), nil
}

// file is a regular file that the walk has come by.
type file struct {
	dir   *folder
	name  string
	path  string
	st    unix.Stat_t
	fd    reader // -1: not open
	place Place
	label Label              // that which it has, where begin looked
	start [rawsign.Size]byte // of the content that was hashed
}

var errSwapped = errors.New("something else took its place during the walk")

// open opens the file that the walk saw, and no other.
func (f *file) open() error {
	fd, err := unix.Openat(f.dir.fd(), f.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("stat: %w", err)
	}
	if st.Dev != f.st.Dev || st.Ino != f.st.Ino || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return errSwapped
	}
	f.st, f.fd = st, reader(fd)
	return nil
}

// reader reads a regular file, without what os.File does for others.
type reader int

func (r reader) Read(b []byte) (int, error) {
	for {
		n, err := unix.Read(int(r), b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

var errChanging = errors.New("it changed while it was read; do it again when nothing writes to it")

// still is an error where the content may not be what was read.
func (f *file) still() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.fd), &st); err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if st.Size != f.st.Size || st.Mtim != f.st.Mtim {
		return errChanging
	}
	return nil
}

// load reads the label: nil where there is none.
func (f *file) load() ([]byte, error) {
	if f.place != Files {
		return getAttr(int(f.fd), f.place.attr(), MaxLabel)
	}
	fd, err := unix.Openat(f.dir.fd(), f.name+SigSuffix, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s%s: %w", f.name, SigSuffix, err)
	}
	in := os.NewFile(uintptr(fd), f.path+SigSuffix)
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, MaxLabel+1))
	if err != nil {
		return nil, fmt.Errorf("read %s%s: %w", f.name, SigSuffix, err)
	}
	return b, nil
}

// save writes the label, whole or not at all.
func (f *file) save(b []byte) error {
	if f.place != Files {
		return setAttr(int(f.fd), f.place.attr(), b)
	}
	if err := f.foreign(); err != nil {
		return err
	}
	at, temporary := f.dir.fd(), "."+f.name+newSuffix
	// The name is always the same, so that one that was killed leaves one file to the next.
	if err := unix.Unlinkat(at, temporary, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("write %s%s: %w", f.name, SigSuffix, err)
	}
	fd, err := unix.Openat(at, temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("write %s%s: %w", f.name, SigSuffix, err)
	}
	out := os.NewFile(uintptr(fd), temporary)
	_, err = out.Write(b)
	if err == nil {
		err = out.Sync()
	}
	err = errors.Join(err, out.Close())
	if err == nil {
		err = unix.Renameat(at, temporary, at, f.name+SigSuffix)
	}
	if err != nil {
		_ = unix.Unlinkat(at, temporary, 0)
		return fmt.Errorf("write %s%s: %w", f.name, SigSuffix, err)
	}
	return nil
}

// foreign is an error where the file that would have the label has something else, such as
// another program's signature.
func (f *file) foreign() error {
	b, err := f.load()
	if err != nil || len(b) == 0 {
		return err
	}
	if _, err := Parse(b); err != nil {
		return fmt.Errorf("%s%s is there already and is no label: move it away", f.name, SigSuffix)
	}
	return nil
}

// drop removes the labels, and says whether there were any.
func (f *file) drop() (bool, error) {
	if f.place == User {
		return dropAttr(int(f.fd), AttrUser)
	}
	if f.place == Files {
		if err := f.foreign(); err != nil {
			return false, err
		}
		err := unix.Unlinkat(f.dir.fd(), f.name+SigSuffix, 0)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, fmt.Errorf("remove %s%s: %w", f.name, SigSuffix, err)
		}
		return err == nil, nil
	}
	// First that which is over the other: one that is left is at no time of what is not there.
	evm, err := dropAttr(int(f.fd), AttrEVM)
	if err != nil {
		return false, err
	}
	had, err := dropAttr(int(f.fd), Attr)
	return had || evm, err
}

func (f *file) close() {
	if f.fd >= 0 {
		_ = unix.Close(int(f.fd))
	}
	f.dir.release()
}

// isSig says whether a name is of a file with another's label.
func isSig(name string) bool {
	return strings.HasSuffix(name, SigSuffix) || strings.HasPrefix(name, ".") && strings.HasSuffix(name, newSuffix)
}
