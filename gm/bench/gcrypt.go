package bench

import (
	"bufio"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
)

//go:embed driver/gcrypt.c
var gcryptSource []byte

// driver is a running driver/gcrypt.c.
type driver struct {
	cmd    *exec.Cmd
	to     io.WriteCloser
	from   *bufio.Reader
	folder string // what it was compiled in
	name   string // libgcrypt and its release
}

// needGcrypt compiles and starts the driver, once.
func (b *bencher) needGcrypt() (*driver, error) {
	if b.gcrypt != nil {
		return b.gcrypt, nil
	}
	d, err := startGcrypt(b.Peers)
	if err != nil {
		return nil, err
	}
	b.gcrypt = d
	return d, nil
}

// startGcrypt compiles the driver against the libgcrypt of the peers, and runs it by the
// loader and the C library beside that, which may be newer than the system's.
func startGcrypt(peers string) (*driver, error) {
	root, err := filepath.Abs(filepath.Join(peers, "gcrypt", "root", "usr"))
	if err != nil {
		return nil, err
	}
	include, lib := filepath.Join(root, "include"), filepath.Join(root, "lib", "x86_64-linux-gnu")
	if _, err := os.Stat(filepath.Join(include, "gcrypt.h")); err != nil {
		return nil, &feature.UnsupportedError{Feature: "libgcrypt", Reason: feature.NoPeer, Need: "libgcrypt in " + peers, Fix: "run scripts/peers.sh", Err: err}
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return nil, &feature.UnsupportedError{Feature: "libgcrypt", Reason: feature.NoPeer, Need: "gcc", Fix: "install it", Err: err}
	}
	folder, err := os.MkdirTemp("", "anole-gcrypt-*")
	if err != nil {
		return nil, err
	}
	d := &driver{folder: folder}
	program := filepath.Join(folder, "driver")
	cc := exec.Command(gcc, "-O2", "-Wall", "-x", "c", "-", "-x", "none", "-o", program, "-I", include, "-I", filepath.Join(include, "x86_64-linux-gnu"),
		filepath.Join(lib, "libgcrypt.so.20"), "-Wl,--allow-shlib-undefined")
	cc.Stdin = bytes.NewReader(gcryptSource)
	if out, err := cc.CombinedOutput(); err != nil {
		d.close()
		return nil, fmt.Errorf("compile the driver of libgcrypt: %w: %s", err, out)
	}
	if err := d.start(filepath.Join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib, program); err != nil {
		d.close()
		return nil, fmt.Errorf("start the driver of libgcrypt: %w", err)
	}
	return d, nil
}

func (d *driver) start(name string, args ...string) error {
	d.cmd = exec.Command(name, args...)
	d.cmd.Stderr = os.Stderr
	to, err := d.cmd.StdinPipe()
	if err != nil {
		return err
	}
	from, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.to, d.from = to, bufio.NewReader(from)
	version, err := d.ask("version")
	d.name = "libgcrypt " + version
	return err
}

// ask gives the answer to a line.
func (d *driver) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(d.to, line); err != nil {
		return "", fmt.Errorf("ask the driver of libgcrypt: %w", err)
	}
	answer, err := d.from.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read the answer of libgcrypt's driver to %q: %w", line, err)
	}
	answer = strings.TrimSuffix(answer, "\n")
	if what, bad := strings.CutPrefix(answer, "error"); bad {
		return "", fmt.Errorf("run %q with libgcrypt:%s", line, what)
	}
	return answer, nil
}

// subject is libgcrypt in one of the driver's modes.
func (d *driver) subject(mode string, bytes int) *subject {
	return &subject{name: d.name, work: float64(bytes), run: func(n int) (took, string, error) {
		answer, err := d.ask(fmt.Sprintf("%s %d %d", mode, bytes, n))
		if err != nil {
			return took{}, "", err
		}
		return parseAnswer(answer)
	}}
}

// parseAnswer reads "CPU WALL END".
func parseAnswer(s string) (took, string, error) {
	bad := func() (took, string, error) {
		return took{}, "", fmt.Errorf("read the answer of libgcrypt's driver: %q is not CPU time, time and the end of the output", s)
	}
	f := strings.Split(s, " ")
	if len(f) != 3 || len(f[2]) != 32 {
		return bad()
	}
	cpu, err := strconv.ParseInt(f[0], 10, 64)
	wall, werr := strconv.ParseInt(f[1], 10, 64)
	if errors.Join(err, werr) != nil || cpu < 0 || wall < 0 {
		return bad()
	}
	return took{time.Duration(cpu), time.Duration(wall)}, f[2], nil
}

// close ends the driver, which ends with its input.
func (d *driver) close() {
	if d == nil {
		return
	}
	if d.to != nil {
		_ = d.to.Close()
		_ = d.cmd.Wait()
	}
	_ = os.RemoveAll(d.folder)
}
