package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watcher tells when the configuration directory, or conf.d in it, changed and
// then was quiet for a while. It watches directories, not files: editors and
// Kubernetes replace files instead of writing to them. A change that turns out
// to concern other files costs one comparison of checksums.
type watcher struct {
	changed chan struct{}
	file    *os.File
	done    sync.WaitGroup
}

const watchMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_CREATE | unix.IN_ONLYDIR

// watchConfig starts to watch. Where inotify or the directory is missing, the
// watcher is silent: SIGHUP and the API still reload.
func watchConfig(config string, quiet time.Duration, log *slog.Logger) *watcher {
	w := &watcher{changed: make(chan struct{}, 1)}
	dir := filepath.Dir(config)
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		if _, err = unix.InotifyAddWatch(fd, dir, watchMask); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		log.Debug("configuration files are not watched", "dir", dir, "error", err)
		return w
	}
	confd := filepath.Join(dir, "conf.d")
	_, _ = unix.InotifyAddWatch(fd, confd, watchMask)
	// os.File puts the descriptor into the runtime's poller, so that Close
	// ends a Read.
	w.file = os.NewFile(uintptr(fd), "inotify")
	events := make(chan struct{}, 1)
	w.done.Go(func() {
		defer close(events)
		buf := make([]byte, 16<<10)
		for {
			if n, err := w.file.Read(buf); err != nil || n <= 0 {
				return
			}
			// conf.d may have come; adding a watch twice is harmless.
			_, _ = unix.InotifyAddWatch(fd, confd, watchMask)
			select {
			case events <- struct{}{}:
			default:
			}
		}
	})
	w.done.Go(func() { w.debounce(events, quiet) })
	return w
}

func (w *watcher) debounce(events <-chan struct{}, quiet time.Duration) {
	var timer <-chan time.Time
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
			timer = time.After(quiet)
		case <-timer:
			timer = nil
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	}
}

func (w *watcher) close() {
	if w.file != nil {
		_ = w.file.Close()
	}
	w.done.Wait()
}
