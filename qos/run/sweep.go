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
)

// Sweep ends the workloads whose runner was killed together with its guard:
// their processes are killed, their cgroups and records removed. Workloads of
// live runners, and those that somebody else is removing right now, are left
// alone. It gives the workloads removed ("anole-be/web") and joins the errors
// of the others. A record that cannot be read is removed and reported, one of a
// newer anole reported only. Blocks for at most about ten seconds a workload
// that does not die; safe for concurrent use, also by several processes.
func Sweep(runDir string) ([]string, error) {
	dir := recordDir(runDir)
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list records: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		switch {
		case strings.HasPrefix(f.Name(), "."):
			dropStale(path, f)
		case strings.HasSuffix(f.Name(), ".json"):
			id, err := sweepOne(path, boot, false)
			if id != "" {
				swept = append(swept, id)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("sweep %s: %w", path, err))
			}
		}
	}
	return swept, errors.Join(errs...)
}

// sweepOne removes the workload of one record unless its runner lives; id is ""
// when it was left alone.
func sweepOne(path, boot string, wait bool) (id string, err error) {
	h, err := openRecord(path)
	if err == nil {
		defer h.release()
		err = h.lock(wait)
	}
	if errors.Is(err, errGone) || errors.Is(err, unix.EWOULDBLOCK) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	r, err := h.read()
	if errors.Is(err, errVersion) {
		return "", err
	}
	if err != nil {
		return "", errors.Join(err, h.drop())
	}
	if r.alive(boot) {
		return "", nil
	}
	if err := h.clean(r, boot); err != nil {
		return "", err
	}
	return r.id(), nil
}

func dropStale(path string, f fs.DirEntry) {
	if i, err := f.Info(); err == nil && i.Mode().IsRegular() && time.Since(i.ModTime()) > stale {
		_ = os.Remove(path)
	}
}
