package node

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
		for _, inode := range listenInodes(b, uint16(n)) {
			if who := socketOwner(root, inode); who != "" {
				return who
			}
		}
	}
	return ""
}

// listenInodes finds the sockets that listen on port in the text of
// /proc/net/tcp: columns local_address (hex address:port), st (0A is
// TCP_LISTEN) and inode (Documentation/networking/proc_net_tcp.rst).
func listenInodes(table []byte, port uint16) []string {
	var out []string
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[3] != "0A" || f[9] == "0" {
			continue
		}
		_, hex, ok := strings.Cut(f[1], ":")
		if p, err := strconv.ParseUint(hex, 16, 16); ok && err == nil && uint16(p) == port {
			out = append(out, f[9])
		}
	}
	return out
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
