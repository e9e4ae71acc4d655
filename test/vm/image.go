package vm

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// image makes the initial RAM disk: the guest's init, busybox with a link for
// each of its programs, and the modules.
func image(kernel, busybox, init string) ([]byte, error) {
	var out bytes.Buffer
	w := &archive{w: &out}
	for _, d := range []string{"bin", "dev", "etc", "lib", "proc", "root", "run", "sys", "tmp", "usr"} {
		w.dir(d)
	}
	w.link("usr/bin", "../bin")
	w.link("sbin", "bin") // the kernel calls /sbin/modprobe
	w.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	w.file("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	w.copy("init", init)
	w.copy("bin/busybox", busybox)
	names, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the programs of %s: %w", busybox, err)
	}
	for _, n := range strings.Fields(string(names)) {
		if n != "busybox" {
			w.link("bin/"+n, "busybox")
		}
	}
	t, err := openTree(kernel)
	if err != nil {
		return nil, err
	}
	if err := t.add(w); err != nil {
		return nil, err
	}
	return out.Bytes(), w.close()
}

// archive writes a cpio archive in the "newc" format,
// Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
type archive struct {
	w    io.Writer
	ino  int
	size int
	err  error
}

const (
	modeDir  = 0o040755
	modeLink = 0o120777
	modeFile = 0o100000
)

func (a *archive) dir(name string)                         { a.entry(name, modeDir, nil) }
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
