package workload

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// watcher is an inotify instance, inotify(7), with a watch on each cgroup that
// can have workloads below it.
type watcher struct {
	fd    int
	nodes map[int32]*node
	buf   [64 << 10]byte
	late  map[spot]struct{} // children to look at once all events are read
}

// maxReads bounds one call's reads against a tenant that makes and removes
// cgroups without end; the kernel queues less by default.
const maxReads = 64

// spot is a name in a cgroup.
type spot struct {
	parent *node
	name   string
}

const watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make inotify instance: %w", err)
	}
	return &watcher{fd: fd, nodes: map[int32]*node{}, late: map[spot]struct{}{}}, nil
}

func (w *watcher) close() error { return unix.Close(w.fd) }

// addWatch watches a node. A cgroup that is gone is no trouble: its parent's
// event is on the way. A user out of watches makes the table poll.
func (t *Table) addWatch(n *node) {
	if t.watch == nil {
		return
	}
	wd, err := unix.InotifyAddWatch(t.watch.fd, t.dir(n), watchMask)
	switch {
	case err == nil:
		n.wd = int32(wd)
		t.watch.nodes[n.wd] = n
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENODEV):
	default:
		t.stopWatching(fmt.Errorf("watch %s: %w", t.dir(n), err))
	}
}

func (t *Table) stopWatching(why error) {
	_ = t.watch.close()
	t.watch = nil
	t.live.note.Store(&why)
}

func (t *Table) dropWatch(n *node) {
	w := t.watch
	if w == nil || n.wd == 0 || w.nodes[n.wd] != n {
		return
	}
	delete(w.nodes, n.wd)
	// The kernel has dropped the watch of a removed directory already; that of
	// one that was moved away it keeps.
	_, _ = unix.InotifyRmWatch(w.fd, uint32(n.wd))
	n.wd = 0
}

// readEvents takes in all queued events and then looks at each place that they
// speak of once, whatever they said: only what is there now counts.
func (t *Table) readEvents(now time.Time) error {
	w := t.watch
	for range maxReads {
		n, err := unix.Read(w.fd, w.buf[:])
		if errors.Is(err, unix.EAGAIN) || err == nil && n == 0 {
			break
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			t.stopWatching(fmt.Errorf("read inotify events: %w", err))
			return t.rescan(now)
		}
		if w.take(w.buf[:n]) {
			t.live.overflows.Add(1)
			t.scanned = time.Time{} // so that a failed walk is tried again
		}
	}
	if t.scanned.IsZero() {
		clear(w.late)
		return t.rescan(now)
	}
	for s := range w.late {
		if !s.parent.dead {
			t.sync(s.parent, s.name, now)
		}
	}
	clear(w.late)
	return nil
}

// take notes which places the events in b speak of and says whether events, or
// the root's watch, were lost.
func (w *watcher) take(b []byte) (lost bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		size := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if size < 0 || size > len(b) {
			return true
		}
		name, _, _ := bytes.Cut(b[:size], []byte{0})
		b = b[size:]
		switch n := w.nodes[wd]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			lost = true
		case n == nil:
		case mask&unix.IN_IGNORED != 0: // removed, or unmounted
			delete(w.nodes, wd)
			n.wd = 0
			lost = lost || n.parent == nil
		case mask&unix.IN_ISDIR != 0 && len(name) > 0:
			w.late[spot{n, string(name)}] = struct{}{}
		}
	}
	return lost
}
