package containers

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

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
		t.Cleanup(func() { giveBack(t, c, dir, unified, string(b)) })
	}
}

// giveBack returns a controller to cgroup2. The kernel does that when a v1
// hierarchy is unmounted that has no cgroups, and those that were removed are
// let go a moment later only; a hierarchy that was unmounted too early is found
// by mounting it again.
func giveBack(t *testing.T, controller, dir, file, want string) {
	for end := time.Now().Add(30 * time.Second); ; {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
		for range 10 {
			if now, err := os.ReadFile(file); err == nil && string(now) == want {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		if time.Now().After(end) {
			t.Errorf("%s did not go back to cgroup2", controller)
			return
		}
		if err := syscall.Mount("cgroup", dir, "cgroup", 0, controller); err != nil {
			t.Errorf("mount %s again: %v", dir, err)
			return
		}
	}
}
