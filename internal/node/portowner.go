package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/anole-os/anole/internal/procfs"
)

// portOwner tells which process listens on a TCP port, as in "process 42
// (nginx)", or gives "" if that cannot be told. root prefixes /proc.
func portOwner(root, port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return ""
	}
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(filepath.Join(root, "/proc/net", table))
		if err != nil {
			continue
		}
		for _, inode := range procfs.ListenInodes(b, uint16(n)) {
			if who := socketOwner(root, inode); who != "" {
				return who
			}
		}
	}
	return ""
}

func socketOwner(root, inode string) string {
	want := "socket:[" + inode + "]"
	fds, _ := filepath.Glob(filepath.Join(root, "/proc/[0-9]*/fd/*"))
	for _, fd := range fds {
		if link, err := os.Readlink(fd); err != nil || link != want {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		return fmt.Sprintf("process %s (%s)", filepath.Base(dir), bytes.TrimSpace(comm))
	}
	return ""
}
