package netlinkx

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// pidInit is the inode of the first pid namespace, PROC_PID_INIT_INO in
// include/linux/proc_ns.h.
const pidInit = 0xEFFFFFFC

// Exists says whether the node has a network namespace of that inode that can
// be entered: some thread is in it, or a mount or an open file holds it. The
// error says why that could not be told: it takes CAP_SYS_PTRACE to look at the
// processes of others.
func Exists(ino uint64) (bool, error) {
	if own, err := inode("/proc/self/ns/pid"); err != nil || own != pidInit {
		return false, errors.Join(err, errors.New("not all processes of the node can be seen from this pid namespace"))
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return false, fmt.Errorf("list processes: %w", err)
	}
	s := search{name: fmt.Sprintf("net:[%d]", ino), mounts: map[string]bool{}}
	var hidden error // the first; another process may still show it
	for _, p := range procs {
		if p.Name()[0] < '0' || p.Name()[0] > '9' {
			continue
		}
		found, err := s.process(filepath.Join("/proc", p.Name()))
		if found {
			return true, nil
		}
		hidden = cmp.Or(hidden, err)
	}
	return false, hidden
}

// search looks for a namespace by its name, such as "net:[4026531840]".
type search struct {
	name   string
	mounts map[string]bool // mount namespaces that were read
}

func (s *search) process(dir string) (found bool, hidden error) {
	for _, look := range []func(string) (bool, error){s.threads, s.mounted, s.files} {
		found, err := look(dir)
		if found {
			return true, nil
		}
		if !ended(err) {
			hidden = cmp.Or(hidden, err)
		}
	}
	return false, hidden
}

// ended says that a process went away while it was looked at.
func ended(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) }

func (s *search) threads(dir string) (bool, error) {
	return s.links(filepath.Join(dir, "task"), "ns/net")
}

func (s *search) files(dir string) (bool, error) { return s.links(filepath.Join(dir, "fd"), "") }

// links looks at one link in each entry of a directory.
func (s *search) links(dir, link string) (bool, error) {
	all, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, x := range all {
		to, err := os.Readlink(filepath.Join(dir, x.Name(), link))
		if err != nil && !ended(err) {
			return false, err
		}
		if to == s.name {
			return true, nil
		}
	}
	return false, nil
}

// mounted looks at each mount table once: a mount of a namespace has its name as
// the fourth field, proc_pid_mountinfo(5).
func (s *search) mounted(dir string) (bool, error) {
	in, err := os.Readlink(filepath.Join(dir, "ns/mnt"))
	if err != nil || s.mounts[in] {
		return false, err
	}
	b, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	if err != nil {
		if errors.Is(err, unix.EINVAL) {
			err = nil // it is ending, and has no mounts any more
		}
		return false, err
	}
	s.mounts[in] = true
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[3] == s.name {
			return true, nil
		}
	}
	return false, nil
}
