package procfs

import (
	"bytes"
	"strconv"
	"strings"
)

// ListenInodes finds the sockets that listen on port in the text of /proc/net/tcp:
// columns local_address (hex address:port), st (0A is TCP_LISTEN) and inode
// (Documentation/networking/proc_net_tcp.rst).
func ListenInodes(table []byte, port uint16) []string {
	var out []string
	for line := range bytes.Lines(table) {
		f := strings.Fields(string(line))
		if len(f) < 10 || f[3] != "0A" || f[9] == "0" {
			continue
		}
		at := strings.LastIndexByte(f[1], ':')
		if p, err := strconv.ParseUint(f[1][at+1:], 16, 16); at > 0 && err == nil && uint16(p) == port {
			out = append(out, f[9])
		}
	}
	return out
}
