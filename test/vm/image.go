package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"
)

// image makes the initial RAM disk: the guest's init, busybox with a link for
// each of its programs, the modules, and the programs that are asked for.
func image(o *Options) ([]byte, error) {
	var out bytes.Buffer
	w := &archive{w: &out}
	for _, d := range []string{"bin", "dev", "etc", "lib", "proc", "root", "run", "sys", "tmp", "usr"} {
		w.dir(d)
	}
	w.link("usr/bin", "../bin")
	w.link("sbin", "bin") // the kernel calls /sbin/modprobe
	w.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	w.file("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} { // containers are given copies
		w.file("etc/"+name, 0o644, nil)
	}
	w.copy("init", o.Init)
	w.copy("bin/busybox", o.Busybox)
	names, err := exec.Command(o.Busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the programs of %s: %w", o.Busybox, err)
	}
	for _, n := range strings.Fields(string(names)) {
		if n != "busybox" {
			w.link("bin/"+n, "busybox")
		}
	}
	t, err := openTree(o.Kernel)
	if err != nil {
		return nil, err
	}
	if err := t.add(w); err != nil {
		return nil, err
	}
	if len(o.Programs) > 0 {
		s, err := openSystem(o.System)
		if err == nil {
			err = s.add(w, o.Programs)
		}
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.close()
}

// archive writes a cpio archive in the "newc" format,
// Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
type archive struct {
	w    io.Writer
	ino  int
	size int
	made map[string]bool // directories
	err  error
}

const (
	modeDir  = 0o040755
	modeLink = 0o120777
	modeFile = 0o100000
)

func (a *archive) dir(name string) {
	if !a.made[name] {
		if a.made == nil {
			a.made = map[string]bool{}
		}
		a.made[name] = true
		a.entry(name, modeDir, nil)
	}
}

// parents makes the directories above a file.
func (a *archive) parents(name string) {
	if d := path.Dir(name); d != "." && !a.made[d] {
		a.parents(d)
		a.dir(d)
	}
}

func (a *archive) link(name, to string)                    { a.entry(name, modeLink, []byte(to)) }
func (a *archive) file(name string, perm int, data []byte) { a.entry(name, modeFile|perm, data) }

func (a *archive) copy(name, path string) {
	b, err := os.ReadFile(path)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, 0o755, b)
}

func (a *archive) entry(name string, mode int, data []byte) {
	a.ino++
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0))
	a.write(append([]byte(name), 0))
	a.pad()
	a.write(data)
	a.pad()
}

func (a *archive) pad() { a.write(make([]byte, -a.size&3)) }

func (a *archive) write(b []byte) {
	if a.err != nil {
		return
	}
	n, err := a.w.Write(b)
	a.size, a.err = a.size+n, err
}

func (a *archive) close() error {
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}
