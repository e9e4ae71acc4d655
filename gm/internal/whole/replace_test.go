package whole

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReplaceKeeps(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o751); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	hasAttr := unix.Setxattr(path, "user.anole", []byte("kept"), 0) == nil
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12, 34); err != nil {
			t.Fatal(err)
		}
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(link, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("the link is gone: %v", err)
	}
	if err := unix.Stat(path, &st); err != nil || st.Mode&0o7777 != 0o751 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
	if os.Geteuid() == 0 && (st.Uid != 12 || st.Gid != 34) {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
	value := make([]byte, 10)
	if n, err := unix.Getxattr(path, "user.anole", value); hasAttr && (err != nil || string(value[:n]) != "kept") {
		t.Errorf("attribute %q, %v", value, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "new" {
		t.Errorf("%q, %v", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left over: %v", left)
	}
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "busy"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "busy"), []byte("x"), 0o600); err == nil {
		t.Error("a folder became a file")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
	if err := Write(filepath.Join(dir, "new"), []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, "new")); err != nil || st.Mode() != 0o640 {
		t.Errorf("%v %v", st.Mode(), err)
	}
}

// A device is not replaced by a file, nor a symbolic link.
func TestIrregular(t *testing.T) {
	dir := t.TempDir()
	pipe, link, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		b, err := os.ReadFile(pipe)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
	}()
	if err := Write(pipe, []byte("through"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "through" {
		t.Errorf("%q came through the pipe", s)
	}
	if _, err := Create(pipe, 0o600); !errors.Is(err, ErrIrregular) {
		t.Errorf("a pipe is replaced: %v", err)
	}
	for _, text := range []string{"one", "two"} {
		if err := os.WriteFile(file, []byte("zero"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("file", link); err != nil && text == "one" {
			t.Fatal(err)
		}
		if err := Write(link, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if to, err := os.Readlink(link); err != nil || to != "file" {
			t.Errorf("the link is %q, %v", to, err)
		}
		if b, err := Read(file, 10); err != nil || string(b) != text {
			t.Errorf("%q, %v", b, err)
		}
	}
}
