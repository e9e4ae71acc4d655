package containers

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// hybridForCrun lets crun run on a hybrid node, which it refuses while cgroup2
// has controllers of its own: those that no v1 hierarchy has are mounted as one
// until the test ends.
func hybridForCrun(t *testing.T) {
	t.Helper()
	const unified = "/sys/fs/cgroup/unified/cgroup.controllers"
	b, err := os.ReadFile(unified)
	if err != nil {
		return // not hybrid
	}
	for _, c := range strings.Fields(string(b)) {
		dir := "/sys/fs/cgroup/" + c
		made := os.Mkdir(dir, 0o755) == nil
		t.Cleanup(func() {
			if made {
				_ = os.Remove(dir)
			}
		})
		if err := syscall.Mount("cgroup", dir, "cgroup", 0, c); err != nil {
			testkit.Need(t, &feature.UnsupportedError{
				Feature: "crun", Reason: feature.Conflict, Need: "no controllers on cgroup2 beside cgroup v1, " + c + " is there", Err: err,
			})
		}
		t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	}
}
