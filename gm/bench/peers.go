package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/anole-os/anole/feature"
)

// gmsmName is gmsm and its release.
var gmsmName = func() string {
	const path = "github.com/emmansun/gmsm"
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, m := range info.Deps {
			if m.Path == path {
				return "gmsm " + strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "gmsm"
}()

const cksumRelease = "9.7"

// cksum is the path of GNU cksum among the peers.
func (b *bencher) cksum() (string, error) {
	path, err := filepath.Abs(filepath.Join(b.Peers, "bin", "cksum-"+cksumRelease))
	if err != nil {
		return "", err
	}
	if _, err := exec.LookPath(path); err != nil {
		return "", &feature.UnsupportedError{Feature: "cksum", Reason: feature.NoPeer, Need: "cksum " + cksumRelease + " in " + b.Peers, Fix: "run scripts/peers.sh", Err: err}
	}
	return path, nil
}

// memory is a new folder, in memory where there is a file system of it.
func memory() (string, error) {
	dir := "/dev/shm"
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = ""
	}
	return os.MkdirTemp(dir, "anole-gm-*")
}
