package tcprt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listener is a port that somebody listens on, in a network namespace.
type listener struct {
	netns uint32
	port  uint16
}

// key is its place in the kernel side's map.
func (l listener) key() uint64 { return uint64(l.netns)<<16 | uint64(l.port) }

// listeners looks for who listens, in the network namespaces of all processes.
// A process that ends meanwhile is passed over.
func listeners(root string) (map[listener]bool, error) {
	proc := filepath.Join("/", root, "proc")
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("look for listeners: %w", err)
	}
	out, seen := map[listener]bool{}, map[uint32]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join(proc, e.Name())
		ns, ok := netnsOf(dir)
		if !ok || seen[ns] {
			continue
		}
		for _, file := range []string{"net/tcp", "net/tcp6"} {
			b, err := os.ReadFile(filepath.Join(dir, file))
			if errors.Is(err, fs.ErrNotExist) { // no IPv6, or the process is gone
				continue
			}
			if err != nil {
				break
			}
			seen[ns] = true
			for _, port := range listening(b) {
				out[listener{ns, port}] = true
			}
		}
	}
	return out, nil
}

// netnsOf reads the inode of a process's network namespace.
func netnsOf(dir string) (uint32, bool) {
	to, err := os.Readlink(filepath.Join(dir, "ns/net"))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(to, "net:["), "]"), 10, 32)
	return uint32(n), err == nil
}

// listening gives the local ports of sockets in the state LISTEN of /proc/net/tcp
// or tcp6, proc(5). Lines that are none are passed over.
func listening(b []byte) (ports []uint16) {
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != "0A" {
			continue
		}
		at := strings.LastIndexByte(f[1], ':')
		if n, err := strconv.ParseUint(f[1][at+1:], 16, 16); err == nil && at > 0 {
			ports = append(ports, uint16(n))
		}
	}
	return ports
}
