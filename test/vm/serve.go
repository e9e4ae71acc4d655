package vm

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/test/vm/wire"
)

// SocketEnv names the socket of the machine that Exec uses.
const SocketEnv = "ANOLE_VM"

// request asks for the run of a test binary as `go test -exec` gives it.
type request struct {
	Binary string
	Args   []string
	Dir    string // the package's, for testdata
	Env    []string
	Skips  bool // fetch what the test writes to guestSkips
}

// guestSkips is where a test in the guest notes what it skips.
const guestSkips = "/tmp/anole-skips"

// Serve runs test binaries in the machine for Exec, one at a time, until the
// listener is closed.
func (v *VM) Serve(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		v.serve(ctx, conn)
	}
}

func (v *VM) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	out := gob.NewEncoder(conn)
	var r request
	if err := gob.NewDecoder(conn).Decode(&r); err != nil {
		return // it went away
	}
	code, err := v.test(ctx, &r, out)
	done := wire.Message{Kind: wire.Done, Code: code}
	if err != nil {
		done.Text = err.Error()
	}
	_ = out.Encode(done)
}

// test puts the binary and its testdata into the guest, runs it, and fetches
// the files that its flags name.
func (v *VM) test(ctx context.Context, r *request, out *gob.Encoder) (int, error) {
	if err := v.send(ctx, r); err != nil {
		return 0, err
	}
	code, err := v.Run(ctx, Program{
		Argv: append([]string{r.Binary}, r.Args...), Dir: r.Dir, Stdout: sink{out, false}, Stderr: sink{out, true}, Quiet: v.Quiet,
		Env: append([]string{"PATH=/bin", "HOME=/root", "TMPDIR=/tmp", "USER=root", "ANOLE_SKIPS=" + guestSkips}, r.Env...),
	})
	if err != nil {
		return code, err
	}
	if err := v.fetch(ctx, r, out); err != nil {
		return code, err
	}
	if data, err := v.Get(ctx, guestSkips); err == nil && r.Skips {
		err = out.Encode(wire.Message{Kind: wire.Put, Data: data})
		if err != nil {
			return code, err
		}
	}
	_, err = v.Run(ctx, Program{Argv: []string{"/bin/rm", "-rf", r.Binary, guestSkips}, Dir: "/"})
	return code, err
}

// fetch brings what the test wrote for its flags.
func (v *VM) fetch(ctx context.Context, r *request, out *gob.Encoder) error {
	files, dir := outputs(r.Args, r.Dir)
	if dir != "" {
		var names bytes.Buffer
		if _, err := v.Run(ctx, Program{Argv: []string{"/bin/ls", "-1", dir}, Dir: "/", Stdout: &names}); err != nil {
			return err
		}
		for _, n := range strings.Fields(names.String()) {
			files = append(files, filepath.Join(dir, n))
		}
	}
	for _, path := range files {
		data, err := v.Get(ctx, path)
		if err != nil {
			if v.lost != nil {
				return err
			}
			continue // the test ended before it wrote one, and says why itself
		}
		if err := out.Encode(wire.Message{Kind: wire.Put, Path: path, Data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (v *VM) send(ctx context.Context, r *request) error {
	b, err := os.ReadFile(r.Binary)
	if err != nil {
		return err
	}
	if err := v.Put(ctx, r.Binary, 0o755, b); err != nil {
		return fmt.Errorf("put %s into the guest: %w", r.Binary, err)
	}
	files, cover := outputs(r.Args, r.Dir)
	dirs := []string{r.Dir}
	for _, f := range files {
		dirs = append(dirs, filepath.Dir(f))
	}
	if cover != "" {
		dirs = append(dirs, cover)
	}
	for _, d := range dirs {
		if err := v.Put(ctx, d, fs.ModeDir|0o755, nil); err != nil {
			return err
		}
	}
	if mod := module(r.Dir); mod != "" { // tests tell by it which package they are of
		b, err := os.ReadFile(mod)
		if err == nil {
			err = v.Put(ctx, mod, 0o644, b)
		}
		if err != nil {
			return err
		}
	}
	data := filepath.Join(r.Dir, "testdata")
	err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return v.Put(ctx, path, 0o644, b)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// module finds the go.mod at or above a directory.
func module(dir string) string {
	for {
		mod := filepath.Join(dir, "go.mod")
		if _, err := os.Stat(mod); err == nil {
			return mod
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
		dir = filepath.Dir(dir)
	}
}

// outputs lists the files that flags of the test binary tell it to write, and
// the directory for its coverage counters, if any. A relative path is from
// -test.outputdir, or else from where it runs.
func outputs(args []string, dir string) (files []string, cover string) {
	for _, a := range args {
		name, value, _ := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch name {
		case "test.coverprofile", "test.cpuprofile", "test.memprofile", "test.blockprofile", "test.mutexprofile", "test.trace":
			files = append(files, value)
		case "test.outputdir":
			dir = value
		case "test.gocoverdir":
			cover = value
		}
	}
	for i, f := range files {
		if !filepath.IsAbs(f) {
			files[i] = filepath.Join(dir, f)
		}
	}
	return files, cover
}

// sink sends a program's output on.
type sink struct {
	out *gob.Encoder
	err bool
}

func (s sink) Write(p []byte) (int, error) {
	return len(p), s.out.Encode(wire.Message{Kind: wire.Out, Data: p, Err: s.err})
}

// Exec is the client's side: it has the machine at the socket run a test binary
// with its arguments, and gives its exit code.
func Exec(socket string, argv []string, stdout, stderr io.Writer) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, fmt.Errorf("reach the virtual machine: %w", err)
	}
	defer conn.Close()
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	binary, err := filepath.Abs(argv[0])
	if err != nil {
		return 0, err
	}
	skips := os.Getenv("ANOLE_SKIPS")
	r := request{Binary: binary, Args: argv[1:], Dir: dir, Env: handed(os.Environ()), Skips: skips != ""}
	if err := gob.NewEncoder(conn).Encode(r); err != nil {
		return 0, err
	}
	in := gob.NewDecoder(conn)
	for {
		var m wire.Message
		if err := in.Decode(&m); err != nil {
			return 0, fmt.Errorf("the virtual machine is gone: %w", err)
		}
		switch {
		case m.Kind == wire.Done && m.Text != "":
			return m.Code, errors.New(m.Text)
		case m.Kind == wire.Done:
			return m.Code, nil
		case m.Kind == wire.Put && m.Path == "":
			err = extend(skips, m.Data)
		case m.Kind == wire.Put:
			err = os.WriteFile(m.Path, m.Data, 0o644)
		case m.Err:
			_, err = stderr.Write(m.Data)
		default:
			_, err = stdout.Write(m.Data)
		}
		if err != nil {
			return 0, err
		}
	}
}

// handed are the variables that reach the guest.
func handed(env []string) (out []string) {
	for _, e := range env {
		if strings.HasPrefix(e, "ANOLE_TEST=") || strings.HasPrefix(e, "GOTRACEBACK=") || strings.HasPrefix(e, "GODEBUG=") {
			out = append(out, e)
		}
	}
	return out
}

func extend(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
