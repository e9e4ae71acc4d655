package attr

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// groups finds cgroups of the cgroup2 hierarchy by their id. A nil one finds none.
type groups struct {
	mount string
	fd    int
}

func openGroups(root string) *groups {
	for _, at := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
		mount := filepath.Join("/", root, at)
		var st unix.Statfs_t
		if unix.Statfs(mount, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		if fd, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			return &groups{mount, fd}
		}
	}
	return nil
}

// path is a cgroup's from the root of its hierarchy; "" of the root, and of one that
// is not there (any more).
func (g *groups) path(id uint64) string {
	if g == nil || id <= 1 {
		return ""
	}
	const fileidKernfs = 0xfe // FILEID_KERNFS
	fd, err := unix.OpenByHandleAt(g.fd, unix.NewFileHandle(fileidKernfs, binary.NativeEndian.AppendUint64(nil, id)), unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return ""
	}
	rel, ok := strings.CutPrefix(to, g.mount)
	if !ok || strings.HasSuffix(rel, " (deleted)") {
		return ""
	}
	return rel
}

func (g *groups) close() error {
	if g == nil {
		return nil
	}
	return unix.Close(g.fd)
}
