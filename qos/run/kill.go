package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
)

// removeWithin bounds how long the removal of a workload is tried. A process in
// uninterruptible sleep can outlast it.
const removeWithin = 10 * time.Second

// removeAll kills what is in the cgroups at dirs and below, removes them, and
// then their parents if those are empty. It is idempotent: cgroups that are
// gone are no error.
func removeAll(dirs []string) error {
	deadline := time.Now().Add(removeWithin)
	pause := time.Millisecond
	for {
		left, err := removeOnce(dirs)
		if left == 0 {
			removeHomes(dirs)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove workload: %d cgroups left after %v: %w", left, removeWithin, err)
		}
		time.Sleep(pause)
		pause = min(2*pause, 50*time.Millisecond)
	}
}

func removeOnce(dirs []string) (left int, err error) {
	killIn(dirs)
	for _, d := range dirs {
		if e := removeTree(d); e != nil {
			left, err = left+1, e
		}
	}
	return left, err
}

// removeTree removes a cgroup and those below it.
func removeTree(dir string) error {
	for _, d := range subtree(dir) {
		if err := unix.Rmdir(d); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			return &fs.PathError{Op: "remove cgroup", Path: d, Err: err}
		}
	}
	return nil
}

// subtree lists dir and all below it, deepest first.
func subtree(dir string) []string {
	var out []string
	kids, _ := os.ReadDir(dir)
	for _, k := range kids {
		if k.IsDir() {
			out = append(out, subtree(filepath.Join(dir, k.Name()))...)
		}
	}
	return append(out, dir)
}

// removeHomes removes class homes in which no workload is left; the kernel
// refuses the others.
func removeHomes(dirs []string) {
	for _, d := range dirs {
		if home := filepath.Dir(d); isHome(home) {
			_ = unix.Rmdir(home)
		}
	}
}

// isHome says whether path is named like a class home.
func isHome(path string) bool { return strings.HasPrefix(filepath.Base(path), "anole-") }

// killIn kills every process in dirs and below. Where the kernel can, it is one
// atomic step (cgroup.kill, Linux 5.14); else the cgroup is frozen meanwhile so
// that nothing forks away.
func killIn(dirs []string) {
	rest := dirs[:0:0]
	for _, d := range dirs {
		if store(filepath.Join(d, "cgroup.kill"), "1") != nil {
			rest = append(rest, d)
		}
	}
	thaw := freeze(rest)
	defer thaw()
	for _, d := range rest {
		for _, sub := range subtree(d) {
			killProcs(sub)
		}
	}
}

// freeze stops what is in the freezer among dirs and gives the way back. It
// waits a little for the kernel: a half-frozen group is killed just as well,
// only in more rounds.
func freeze(dirs []string) (thaw func()) {
	for _, d := range dirs {
		for _, f := range []struct{ file, on, off string }{{"freezer.state", "FROZEN", "THAWED"}, {"cgroup.freeze", "1", "0"}} {
			path := filepath.Join(d, f.file)
			if store(path, f.on) != nil {
				continue
			}
			for range 20 {
				if b, err := os.ReadFile(path); err != nil || strings.TrimSpace(string(b)) == f.on {
					break
				}
				time.Sleep(time.Millisecond)
			}
			return func() { // below too: what its owner froze there would not die
				for _, sub := range subtree(d) {
					_ = store(filepath.Join(sub, f.file), f.off)
				}
			}
		}
	}
	return func() {}
}

// killProcs kills the processes of one cgroup. A pidfd is taken first and the
// membership looked at again after, so that a pid which was reused in between
// is spared.
func killProcs(dir string) {
	fds := map[int]int{}
	for _, pid := range procs(dir) {
		if pid == os.Getpid() {
			continue // a runner never ends itself, whatever it was moved into
		}
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			fds[pid] = fd
		} else if errors.Is(err, unix.ENOSYS) { // before Linux 5.3
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	for _, pid := range procs(dir) {
		if fd, ok := fds[pid]; ok {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

func procs(dir string) []int {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	pids, _ := cgroup.Procs(b)
	return pids
}
