package attr

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/anole-os/anole/internal/procfs"
)

// listenerOf finds the process that listens on a port in a network namespace, 0 if
// there is none or it cannot be told. It looks through the open files of the
// processes of that namespace.
func listenerOf(root string, netns uint32, port uint16) uint32 {
	proc := filepath.Join("/", root, "proc")
	entries, err := os.ReadDir(proc)
	if err != nil {
		return 0
	}
	want := "net:[" + strconv.FormatUint(uint64(netns), 10) + "]"
	var sockets map[string]bool
	for _, e := range entries {
		pid, err := strconv.ParseUint(e.Name(), 10, 32)
		if err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		if ns, err := os.Readlink(filepath.Join(dir, "ns/net")); err != nil || ns != want {
			continue
		}
		if sockets == nil {
			if sockets = socketsOf(dir, port); len(sockets) == 0 {
				return 0
			}
		}
		if holdsAny(dir, sockets) {
			return uint32(pid)
		}
	}
	return 0
}

// socketsOf gives the sockets that listen on a port, as links of /proc/PID/fd have
// them.
func socketsOf(dir string, port uint16) map[string]bool {
	out := map[string]bool{}
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(filepath.Join(dir, "net", table))
		if err != nil {
			continue
		}
		for _, inode := range procfs.ListenInodes(b, port) {
			out["socket:["+inode+"]"] = true
		}
	}
	return out
}

func holdsAny(dir string, sockets map[string]bool) bool {
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return false
	}
	for _, fd := range fds {
		if to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil && sockets[to] {
			return true
		}
	}
	return false
}
