package cgroup

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// ClaimedError says that another process has the node's CPU cgroups.
type ClaimedError struct {
	Path string
	PID  int // 0 if it could not be told
}

func (e *ClaimedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("lock %s: %s holds it; one anole agent controls a node's cgroups: stop that one first", e.Path, who)
}

// Claim makes this process the only one of anole's that controls the CPU
// cgroups of the node, whatever state directory it has, by flock(2) on the
// hierarchy's root: the kernel frees that with the process, and another mount
// of it is the same inode. A process may claim it several times; it is given up
// when the last claim is closed. The error is a *ClaimedError when another
// process of root's has it. Anyone may lock a directory that he can read, so
// the lock of another user says nothing and is passed over; for the same reason
// nobody but root claims.
func (t *Tree) Claim() (io.Closer, error) {
	path := t.Mount("cpu")
	if path == "" || os.Geteuid() != 0 {
		return new(claim), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open cgroup root: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, errors.Join(fmt.Errorf("stat %s: %w", path, err), f.Close())
	}
	return claimed.add(f, inode{st.Dev, st.Ino})
}

// ClaimNode is Claim for the node's own tree; on a node without cgroups there
// is nothing to claim.
func ClaimNode() (io.Closer, error) {
	t, err := Detect("")
	var u *feature.UnsupportedError
	if errors.As(err, &u) {
		return new(claim), nil
	}
	if err != nil {
		return nil, err
	}
	return t.Claim()
}

type inode struct{ dev, ino uint64 }

// claims are those of this process, by hierarchy.
type claims struct {
	mu   sync.Mutex
	held map[inode]*held
}

type held struct {
	f *os.File
	n int
}

var claimed = claims{held: map[inode]*held{}}

// add takes the lock on f, or counts one more of the process's own.
func (c *claims) add(f *os.File, at inode) (io.Closer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.held[at]; h != nil {
		h.n++
		return &claim{c, at}, f.Close()
	}
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		c.held[at] = &held{f, 1}
		return &claim{c, at}, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	pid := holder(at)
	if pid != 0 && !ownedByRoot(pid) {
		return new(claim), nil
	}
	return nil, &ClaimedError{Path: f.Name(), PID: pid}
}

func (c *claims) drop(at inode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[at]
	if h.n--; h.n > 0 {
		return nil
	}
	delete(c.held, at)
	return h.f.Close()
}

// claim is one claim; the zero value is of nothing.
type claim struct {
	of *claims
	at inode
}

// Close gives the claim up.
func (c *claim) Close() error {
	of := c.of
	if c.of = nil; of == nil {
		return nil
	}
	return of.drop(c.at)
}

func ownedByRoot(pid int) bool {
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &st) != nil || st.Uid == 0
}

// holder finds who has the lock on an inode in /proc/locks, proc_locks(5): a
// line is "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF", the device in
// hex. It is 0 for a process of another PID namespace.
func holder(at inode) int {
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(at.dev), unix.Minor(at.dev), at.ino)
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) > 5 && w[1] == "FLOCK" && w[5] == want {
			pid, _ := strconv.Atoi(w[4])
			return max(pid, 0)
		}
	}
	return 0
}
