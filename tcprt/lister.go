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

// newLister finds out which way the kernel has, and takes the other's program out of
// those to be loaded.
func newLister(spec *ebpf.CollectionSpec, o *Options) lister {
	l := lister{program: o.lister, root: o.Root}
	if l.program == "" {
		l.program = byStorage
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: ebpf.Tracing, AttachType: ebpf.AttachTraceIter, AttachTo: spec.Programs[byStorage].AttachTo, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		})
		if err != nil {
			l.program = bySocket
		} else {
			p.Close()
		}
	}
	for _, way := range []string{byStorage, bySocket} {
		if way != l.program {
			delete(spec.Programs, way)
		}
	}
	return l
}

// ways gives what to read from, all of them in the end. The caller closes each.
func (l *lister) ways(coll *ebpf.Collection) (iter.Seq2[io.ReadCloser, error], error) {
	options := link.IterOptions{Program: coll.Programs[l.program]}
	if l.program == byStorage {
		options.Map = coll.Maps["conns"]
	}
	it, err := link.AttachIter(options)
	if err != nil {
		return nil, explain("attach to the connections", err)
	}
	return func(yield func(io.ReadCloser, error) bool) {
		defer it.Close()
		if l.program == byStorage {
			r, err := it.Open()
			yield(r, wrap("list requests", err))
			return
		}
		for ns, err := range namespaces(l.root) {
			var r io.ReadCloser
			if err == nil {
				r, err = within(ns, it.Open)
				err = errors.Join(err, ns.Close())
			}
			if !yield(r, wrap("list requests", err)) || err != nil {
				return
			}
		}
	}, nil
}

// wrap is fmt.Errorf of what may be nil.
func wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// namespaces gives the network namespaces that can be found, one time each: those that
// processes are in, that a mount holds, or this process by a thread or an open file. What
// may not be looked at is passed over, as it is by listeners.
func namespaces(root string) iter.Seq2[*os.File, error] {
	return func(yield func(*os.File, error) bool) {
		seen := map[string]bool{}
		for name, path := range holders(filepath.Join("/", root, "proc")) {
			if seen[name] {
				continue
			}
			f, err := os.Open(path)
			if gone(err) {
				continue
			}
			seen[name] = true
			if !yield(f, err) || err != nil {
				return
			}
		}
	}
}

// holders gives the names of namespaces, as "net:[4026531840]", and by which path each
// is to be had. It is asked every two seconds, and a call into /proc is not cheap: there
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
