package runq

import (
	"fmt"
	"os"
	"syscall"
)

// CgroupID gives the kernel's id of the cgroup whose directory is path, as
// SetClass takes it: the inode number, which on 64-bit kernels is the whole
// kernfs id and is not used again while the hierarchy is mounted. path must lie
// in the hierarchy of the cpu controller, see the package documentation.
func CgroupID(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("stat cgroup: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() {
		return 0, fmt.Errorf("stat cgroup %s: %w", path, syscall.ENOTDIR)
	}
	return st.Ino, nil
}
