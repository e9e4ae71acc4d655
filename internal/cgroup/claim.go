package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ClaimedError says that another process controls the node's CPU cgroups.
type ClaimedError struct {
	Path string
	PID  int // 0 if it could not be told
}

func (e *ClaimedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("lock %s: %s controls this node's cgroups already", e.Path, who)
}

// Claim makes this process the only one of anole's that controls the CPU
// cgroups of the node, whatever state directory it has, by flock(2) on the
// hierarchy's root: the kernel frees that with the process, and another mount
// of it is the same inode. Close the result to give it up. It fails with
// *ClaimedError when somebody else has it.
func (t *Tree) Claim() (*os.File, error) {
	path := t.Mount("cpu")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open cgroup root: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	defer f.Close()
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return nil, &ClaimedError{Path: path, PID: holder(f)}
}

// holder finds who has the lock on f in /proc/locks, proc_locks(5): a line is
// "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF", the device in hex.
func holder(f *os.File) int {
	var st unix.Stat_t
	b, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return 0
	}
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) > 5 && w[1] == "FLOCK" && w[5] == want {
			pid, _ := strconv.Atoi(w[4])
			return pid
		}
	}
	return 0
}
