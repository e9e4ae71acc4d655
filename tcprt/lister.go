package tcprt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// lister goes over the connections that are measured.
type lister struct {
	program string
	root    string
}

// The ways that there are. The first touches what is measured and nothing else. Some
// kernels refuse every iterator that hands a program what a map has in store: there,
// all TCP sockets are gone over, one network namespace after the other.
const (
	byStorage = "list"
	bySocket  = "list_tcp"
)

// storageIterates says whether the kernel has the first. It is asked once: each asking
// reads all of the kernel's types.
var storageIterates = sync.OnceValue(func() bool {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: "bpf_sk_storage_map", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return false
	}
	_ = p.Close()
	return true
})

// newLister takes the way that the kernel has, and the other's program out of those to be
// loaded.
func newLister(spec *ebpf.CollectionSpec, o *Options) lister {
	l := lister{program: o.lister, root: o.Root}
	if l.program == "" {
		l.program = bySocket
		if storageIterates() {
			l.program = byStorage
		}
	}
	for _, way := range []string{byStorage, bySocket} {
		if way != l.program {
			delete(spec.Programs, way)
		}
	}
	return l
}

// attach gives what the connections are to be had from. The caller closes it.
func (l *lister) attach(coll *ebpf.Collection) (*link.Iter, error) {
	options := link.IterOptions{Program: coll.Programs[l.program]}
	if l.program == byStorage {
		options.Map = coll.Maps["conns"]
	}
	it, err := link.AttachIter(options)
	if err != nil {
		return nil, explain("attach to the connections", err)
	}
	return it, nil
}

// each has read read all that there is, and close it: of each network namespace that can
// be found, where the way asks for that. What may not be looked at is passed over, as it is
// by listeners.
func (l *lister) each(it *link.Iter, read func(io.ReadCloser) error) error {
	if l.program == byStorage {
		r, err := it.Open()
		if err != nil {
			return fmt.Errorf("list requests: %w", err)
		}
		return read(r)
	}
	seen := map[string]bool{}
	for name, path := range holders(filepath.Join("/", l.root, "proc")) {
		if seen[name] {
			continue
		}
		ns, err := os.Open(path)
		if gone(err) {
			continue
		}
		seen[name] = true
		if err != nil {
			return fmt.Errorf("list requests: %w", err)
		}
		r, err := within(ns, it.Open)
		if err = errors.Join(err, ns.Close()); err != nil {
			return fmt.Errorf("list requests: %w", err)
		}
		if err := read(r); err != nil {
			return err
		}
	}
	return nil
}

// holders gives the names of network namespaces, as "net:[4026531840]", and by which path
// each is to be had: those that processes are in, that this process has by a thread or an
// open file, or that a mount holds. It is asked every two seconds, and a call into /proc is not cheap: there
// is one for each process of the node.
func holders(proc string) iter.Seq2[string, string] {
	return func(yield func(name, path string) bool) {
		for _, in := range []struct{ dir, link string }{{proc, "ns/net"}, {"/proc/self/task", "ns/net"}, {"/proc/self/fd", ""}} {
			for _, entry := range names(in.dir) {
				if entry[0] < '0' || entry[0] > '9' {
					continue
				}
				path := filepath.Join(in.dir, entry, in.link)
				to, err := os.Readlink(path)
				if err == nil && strings.HasPrefix(to, "net:[") && !yield(to, path) {
					return
				}
			}
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		for line := range strings.Lines(string(mounts)) { // proc_pid_mountinfo(5)
			if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[3], "net:[") && !yield(f[3], f[4]) {
				return
			}
		}
	}
}

// names are those in a directory, of which nothing else is asked.
func names(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	list, _ := f.Readdirnames(-1)
	return list
}

// gone says that a thread ended while it was looked at, or is not for us.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrPermission)
}

// within has f done in a network namespace.
func within(ns *os.File, f func() (io.ReadCloser, error)) (r io.ReadCloser, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		was, e := os.Open("/proc/thread-self/ns/net")
		if e != nil {
			runtime.UnlockOSThread()
			err = e
			return
		}
		defer was.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("enter the network namespace %s: %w", ns.Name(), err)
		} else {
			r, err = f()
		}
		// A thread that cannot go back ends with this goroutine.
		if unix.Setns(int(was.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	<-done
	return r, err
}
