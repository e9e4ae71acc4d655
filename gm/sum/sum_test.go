package sum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/internal/testkit"
)

// Usage errors and options are those of GNU's md5sum and its like.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x"), nil)
	gnu := &program{testkit.NeedTool(t, "sha256sum"), nil, dir}
	ours := &program{"", []string{gnu.path}, dir} // as it calls itself
	for _, line := range []string{
		"--foo x", "-x", "-bx x", "--s", "--st", "--", "--tag=1 x", "--quiet=", "--tag -t x", "-c -b x", "-ct x", "--tag -c x", "-z -c x", "-zc --tag x", "--status x", "-w x", "--quiet x", "--strict x",
		"--ignore-missing x", "--warn --status --quiet --strict --ignore-missing x", "--quiet --warn x", "-w --quiet --status x", "x --foo", "-- --foo", "--help-me", "--ch --ta x", "-é",
	} {
		args := strings.Fields(line)
		want, got := gnu.run(t, "", args...), ours.run(t, "", args...)
		if want.err != got.err || want.code != got.code {
			t.Errorf("%s: exit %d, %q; GNU's %d, %q", line, got.code, got.err, want.code, want.err)
		}
	}
	for _, good := range []string{"-t --tag x", "-b --tag x", "--ta --bin x", "-bt x", "-tb x", "x -z", "--ze -- x", "--text x"} {
		want, got := gnu.run(t, "", strings.Fields(good)...), ours.run(t, "", strings.Fields(good)...)
		if got.code != 0 || want.code != 0 || signs(got.out, "SM3") != signs(want.out, "SHA256") {
			t.Errorf("%s: %+v, GNU's %+v", good, got, want)
		}
	}
	for _, printed := range []string{"--help", "--version", "--he", "--tag --help --foo"} {
		if got := ours.run(t, "", strings.Fields(printed)...); got.code != 0 || got.err != "" || !strings.Contains(got.out, "sha256sum") {
			t.Errorf("%s: %+v", printed, got)
		}
	}
}

// signs is a line without its hash and the hash's name.
func signs(line, name string) string {
	for _, word := range strings.Fields(line) {
		if len(word) == 2*sm3.Size {
			line = strings.Replace(line, word, "", 1)
		}
	}
	return strings.Replace(line, name, "", 1)
}

// Output that goes nowhere is an error, and no panic.
func TestOutputThatFails(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(asProgram, "cksum")
	_, gnu := both(t, dir)
	ours := &program{self, nil, dir}
	write(t, filepath.Join(dir, "x"), nil)
	for _, p := range []*program{ours, gnu} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		c := exec.CommandContext(t.Context(), p.path, append(append([]string{}, p.args...), "x", "missing", "x")...)
		c.Dir, c.Stdout, c.Stderr = dir, full, &errs
		_ = c.Run()
		_ = full.Close()
		want := "cksum: missing: No such file or directory\ncksum: write error"
		if p == ours {
			want += ": No space left on device" // which GNU has forgotten by then
		}
		if errs.String() != want+"\n" || c.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: exit %d, %q", p.path, c.ProcessState.ExitCode(), errs.String())
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Close()
		errs.Reset()
		c = exec.CommandContext(t.Context(), p.path, append(append([]string{}, p.args...), "x")...)
		c.Dir, c.Stdout, c.Stderr = dir, w, &errs
		_ = c.Run()
		_ = w.Close()
		if s := c.ProcessState.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGPIPE || errs.Len() > 0 {
			t.Errorf("%s: %v, %q", p.path, c.ProcessState, errs.String())
		}
	}
	// A writer that is no file.
	tool := Tool{Program: "x", Out: broken{}, Err: io.Discard}
	var w *WriteError
	if err := tool.Print(t.Context(), []string{filepath.Join(dir, "x")}); !errors.As(err, &w) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// A named pipe is waited for, is read whole, and is read in its turn: its writer may be one
// that waits for the end of an earlier one.
func TestPipes(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(unix.Mkfifo(a, 0o600), unix.Mkfifo(b, 0o600)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "x"), []byte("x"))
	text := bytes.Repeat([]byte("text"), 100_000)
	written := make(chan error, 1)
	go func() {
		for _, name := range []string{a, b} {
			time.Sleep(20 * time.Millisecond) // so that the reader is first
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.Write(text)
				time.Sleep(20 * time.Millisecond)
				_, _ = f.Write([]byte("!"))
				err = errors.Join(err, f.Close())
			}
			if err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	var got []string
	idle := 0
	x := filepath.Join(dir, "x")
	err := Files(t.Context(), Names([]string{x, a, x, b, x, "/dev/null"}), Options{Idle: func() error { idle++; return nil }}, func(f *File) error {
		got = append(got, fmt.Sprintf("%s %d %x %v", filepath.Base(f.Name), f.Size, f.Sum, f.Err))
		return nil
	})
	if err := errors.Join(err, <-written); err != nil {
		t.Fatal(err)
	}
	sum := func(name string, text []byte) string {
		return fmt.Sprintf("%s %d %x <nil>", name, len(text), sm3.Sum(text))
	}
	text = append(text, '!')
	one := []byte("x")
	want := []string{sum("x", one), sum("a", text), sum("x", one), sum("b", text), sum("x", one), sum("null", nil)}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || idle != 3 {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A run ends with its context, even while it waits for a pipe, and leaves nothing open.
func TestEnds(t *testing.T) {
	dir := t.TempDir()
	fifo, x := filepath.Join(dir, "fifo"), filepath.Join(dir, "x")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	write(t, x, make([]byte, 3*piece))
	before := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	n := 0
	err := Files(ctx, Names([]string{x, fifo, x}), Options{}, func(*File) error { n++; return nil })
	if !errors.Is(err, context.DeadlineExceeded) || n != 1 {
		t.Errorf("%v after %d files", err, n)
	}
	stop := errors.New("stop")
	err = Files(t.Context(), Names([]string{"missing", x, x, x, x, fifo}), Options{}, func(*File) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if after := open(t); after != before {
		t.Errorf("%d open files, before %d", after, before)
	}
}

func open(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// Many more files than wait at once keep their order, behind one that takes long.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	large, small := filepath.Join(dir, "large"), filepath.Join(dir, "small")
	write(t, large, nil)
	if err := os.Truncate(large, 200<<20); err != nil {
		t.Fatal(err)
	}
	write(t, small, []byte("small"))
	names := []string{large}
	for i := range 3 * window {
		names = append(names, []string{small, filepath.Join(dir, fmt.Sprint("missing", i))}[i%2])
	}
	at := 0
	var bytes int64
	progress := func(_ int, n int64) {
		if n < bytes {
			t.Errorf("%d bytes after %d", n, bytes)
		}
		bytes = n
	}
	err := Files(t.Context(), Names(names), Options{Progress: progress}, func(f *File) error {
		if f.Name != names[at] || (f.Err != nil) != strings.Contains(f.Name, "missing") || f.Err == nil && f.Name == small && f.Sum != sm3.Sum([]byte("small")) {
			t.Fatalf("%d: %+v", at, f)
		}
		at++
		return nil
	})
	if err != nil || at != len(names) {
		t.Errorf("%d files, %v", at, err)
	}
	if want := int64(200<<20 + 5*3*window/2); bytes != want {
		t.Errorf("%d bytes, want %d", bytes, want)
	}
}

// A list that comes slowly is answered as it comes.
func TestSlowList(t *testing.T) {
	dir := t.TempDir()
	x := filepath.Join(dir, "x")
	write(t, x, nil)
	listR, listW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW := io.Pipe()
	tool := Tool{Program: "x", Out: outW, Err: io.Discard, Stdin: listR}
	ended := make(chan error, 1)
	go func() { ended <- tool.Check(t.Context(), nil) }()
	answer := make([]byte, 1000)
	for range 3 {
		if _, err := listW.Write(Style{}.Append(nil, x, sm3.Sum(nil))); err != nil {
			t.Fatal(err)
		}
		if n, err := outR.Read(answer); string(answer[:n]) != x+": OK\n" || err != nil {
			t.Fatalf("%q, %v", answer[:n], err)
		}
	}
	if err := errors.Join(listW.Close(), <-ended, listR.Close()); err != nil {
		t.Error(err)
	}
}

// A line that is too long to be one is told as one, and the next is read.
func TestLongLine(t *testing.T) {
	dir := t.TempDir()
	x := filepath.Join(dir, "x")
	write(t, x, nil)
	list := append(bytes.Repeat([]byte("#"), 3*longest), '\n')
	list = append(list, bytes.Repeat([]byte("x"), 3*longest)...)
	list = Style{Tag: true}.Append(append(list, '\n'), x, sm3.Sum(nil))
	write(t, filepath.Join(dir, "list"), list)
	var out, errs bytes.Buffer
	tool := Tool{Program: "p", Out: &out, Err: &errs, Voice: Warn}
	err := tool.Check(t.Context(), []string{filepath.Join(dir, "list")})
	if err != nil || out.String() != x+": OK\n" || !strings.Contains(errs.String(), "list: 2: improperly formatted SM3 checksum line\np: WARNING: 1 line is improperly formatted\n") {
		t.Errorf("%v %q %q", err, out.String(), errs.String())
	}
}

func FuzzParse(f *testing.F) {
	sum := sm3.Sum(nil)
	for _, s := range []Style{{}, {Tag: true}, {Binary: true}} {
		f.Add([]byte("name"), s.Append(nil, "a\\b\nc\rd", sum))
	}
	f.Add([]byte(" *"), []byte("SM3-0x100 (x) = "))
	f.Fuzz(func(t *testing.T, name, line []byte) {
		var l Lines
		if got, _, ok := l.Parse(line); ok && strings.Contains(got, "\x00") {
			t.Errorf("a NUL in %q", got)
		}
		if bytes.IndexByte(name, 0) >= 0 || len(name) == 0 {
			return
		}
		// What is written is read.
		for _, s := range []Style{{}, {Tag: true}, {Binary: true}} {
			var l Lines
			b := s.Append(nil, string(name), sum)
			got, hash, ok := l.Parse(b[:len(b)-1])
			if !ok || got != string(name) || !hash.Matches(sum) || bytes.IndexByte(b, '\n') != len(b)-1 {
				t.Errorf("%+v: %q is %q of %q, %v", s, b, got, name, ok)
			}
		}
	})
}
