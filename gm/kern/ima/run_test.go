package ima

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gmsm2 "github.com/emmansun/gmsm/sm2"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// labelled is a folder on a file system with security attributes.
func labelled(t testing.TB) string {
	t.Helper()
	testkit.NeedRoot(t)
	dir := t.TempDir()
	needAttr(t, dir, Attr, "security attributes on the file system of the temporary folder, and SM3 in a kernel that has IMA")
	return dir
}

func needUser(t testing.TB, dir string) {
	t.Helper()
	needAttr(t, dir, AttrUser, "user's attributes on the file system of the temporary folder")
}

func needAttr(t testing.TB, dir, name, need string) {
	t.Helper()
	p := filepath.Join(dir, "probe")
	write(t, p, nil)
	if err := unix.Setxattr(p, name, DigestLabel(SM3, digest32).Bytes(), 0); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "gm.ima", Reason: feature.NoKernel, Need: need, Err: err})
	}
	if err := os.Remove(p); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// text is of n bytes, and of no other seed.
func text(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + seed*31 + i>>8)
	}
	return b
}

func run(t testing.TB, work Work, o Options, paths ...string) (Summary, map[string]Result) {
	t.Helper()
	all := map[string]Result{}
	o.Each = func(r Result) { all[r.Path] = r }
	s, err := Run(context.Background(), paths, work, o)
	if err != nil {
		t.Fatal(err)
	}
	return s, all
}

// tree makes files of many sizes, with all that is not to be touched.
func tree(t testing.TB, dir string) (files []string) {
	t.Helper()
	for i, n := range []int{0, 1, 55, 56, 63, 64, 65, 4095, 4096, 100000, large - 1, large, large + 1, 3*large + 17} {
		p := filepath.Join(dir, fmt.Sprintf("d%d", i%3), fmt.Sprintf("f%d", n))
		write(t, p, text(n, i))
		files = append(files, p)
	}
	for i := range 200 {
		p := filepath.Join(dir, "many", fmt.Sprintf("%03d", i))
		write(t, p, text(i*13, i))
		files = append(files, p)
	}
	slices.Sort(files)
	return files
}

func TestTree(t *testing.T) {
	for name, place := range map[string]Place{"security": Security, "user": User, "files": Files} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			switch place {
			case Security:
				dir = labelled(t)
			case User:
				needUser(t, dir)
			}
			testTree(t, dir, Options{Recursive: true, Place: place})
		})
	}
}

func testTree(t *testing.T, dir string, o Options) {
	files := tree(t, dir)
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, []byte("outside"))
	for name, to := range map[string]string{"link": outside, "folder": filepath.Dir(outside), "dangling": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, ring := newSigner(t, newSM2(t), SM3)
	sum, all := run(t, SignWork{Signer: s}, o, dir)
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, files) {
		t.Fatalf("%d files, want %d", len(got), len(files))
	}
	if sum.Failed != 0 || sum.States[Signed] != int64(len(files)) || sum.Skipped != 4 {
		t.Fatalf("sum %+v", sum)
	}
	for _, p := range []string{outside, outside + SigSuffix} {
		if b := make([]byte, 100); p == outside {
			if n, err := unix.Getxattr(p, Attr, b); err == nil {
				t.Errorf("what a link names was labelled: %x", b[:n])
			}
		} else if _, err := os.Stat(p); err == nil {
			t.Error("what a link names has a label")
		}
	}
	verified := func(want int64) {
		t.Helper()
		sum, all := run(t, VerifyWork{Keys: ring}, o, dir)
		if sum.States[Verified] != want {
			t.Errorf("%+v, want %d verified", sum, want)
			for p, r := range all {
				t.Logf("%s: %v", p, r.Err)
			}
		}
	}
	verified(int64(len(files)))
	sum, _ = run(t, SignWork{Signer: s}, o, dir)
	if sum.States[Kept] != int64(len(files)) {
		t.Errorf("signed again: %+v", sum)
	}
	write(t, files[5], text(999, 5))
	verified(int64(len(files) - 1))
	sum, _ = run(t, ClearWork{}, o, dir)
	if sum.States[Cleared] != int64(len(files)) {
		t.Errorf("clear: %+v", sum)
	}
	_, all = run(t, VerifyWork{Keys: ring}, o, dir)
	for p, r := range all {
		if !errors.Is(r.Err, ErrUnlabelled) {
			t.Fatalf("%s: %v", p, r.Err)
		}
	}
	sum, _ = run(t, LabelWork{SM3}, o, dir)
	if sum.States[Labelled] != int64(len(files)) {
		t.Errorf("label: %+v", sum)
	}
	sum, _ = run(t, VerifyWork{}, o, dir)
	if sum.States[Verified] != int64(len(files)) {
		t.Errorf("digests without keys: %+v", sum)
	}
	_, all = run(t, VerifyWork{Keys: ring}, o, dir)
	if r := all[files[0]]; !errors.Is(r.Err, ErrUnsigned) {
		t.Errorf("a digest where there are keys: %v", r.Err)
	}
	run(t, ClearWork{}, o, dir)
	sum, _ = run(t, ClearWork{}, o, dir)
	if sum.States[Bare] != int64(len(files)) {
		t.Errorf("clear again: %+v", sum)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*"+SigSuffix+"*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestHashIsThatOfOneByOne(t *testing.T) {
	dir := t.TempDir()
	files := tree(t, dir)
	for _, a := range []Algo{SM3, SHA256, SHA3_512} {
		_, all := run(t, HashWork{a}, Options{Recursive: true, Workers: 3}, dir)
		for _, p := range files {
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			want, err := Hash(bytes.NewReader(b), a)
			if err != nil || !bytes.Equal(all[p].Label.Digest, want) {
				t.Errorf("%s with %v: %x, want %x (%v)", p, a, all[p].Label.Digest, want, err)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	dir := labelled(t)
	write(t, filepath.Join(dir, "a"), []byte("text"))
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	s, _ := newSigner(t, newSM2(t), SM3)
	sum, all := run(t, SignWork{Signer: s}, Options{Recursive: true}, dir)
	if sum.Files != 1 || sum.Links != 1 || all[filepath.Join(dir, "a")].State != Signed {
		t.Errorf("%+v", sum)
	}
	sum, _ = run(t, SignWork{Signer: s}, Options{Recursive: true, Place: Files}, dir)
	if sum.States[Signed] != 2 {
		t.Errorf("as files, each name has one: %+v", sum)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "c"): "symbolic link", dir: "-r", filepath.Join(dir, "none"): "no such file", "/dev/null": "no regular file",
	} {
		_, all := run(t, SignWork{Signer: s}, Options{}, path)
		if r := all[path]; r.Err == nil || !strings.Contains(r.Err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, r.Err, want)
		}
	}
}

func TestOneFileSystem(t *testing.T) {
	dir := labelled(t)
	write(t, filepath.Join(dir, "a"), []byte("text"))
	for name, kind := range map[string]string{"sub": "tmpfs", "proc": "proc"} {
		at := filepath.Join(dir, name)
		if err := os.Mkdir(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(kind, at, kind, 0, ""); err != nil {
			testkit.Need(t, &feature.UnsupportedError{Feature: "mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
		}
		t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	}
	write(t, filepath.Join(dir, "sub", "b"), []byte("text"))
	s, _ := newSigner(t, newSM2(t), SM3)
	if sum, _ := run(t, SignWork{Signer: s}, Options{Recursive: true}, dir); sum.Files != 1 || sum.Mounts != 2 {
		t.Errorf("one file system: %+v", sum)
	}
	if sum, _ := run(t, SignWork{Signer: s}, Options{Recursive: true, CrossDevices: true}, dir); sum.Files != 2 || sum.Failed != 0 || sum.Mounts != 1 {
		t.Errorf("all, but what is no content: %+v", sum)
	}
}

func TestEVM(t *testing.T) {
	dir := labelled(t)
	p := filepath.Join(dir, "a")
	write(t, p, []byte("text"))
	s, ring := newSigner(t, newSM2(t), SM3)
	work := VerifyWork{Keys: ring, EVM: true}
	check := func(name string, want error) {
		t.Helper()
		if _, all := run(t, work, Options{}, p); !errors.Is(all[p].Err, want) {
			t.Errorf("%s: %v, want %v", name, all[p].Err, want)
		}
	}
	run(t, SignWork{Signer: s}, Options{}, p)
	check("without", ErrUnlabelled)
	for _, want := range []State{Signed, Kept} {
		if _, all := run(t, SignWork{Signer: s, EVM: true}, Options{}, p); all[p].State != want {
			t.Errorf("%+v, want %s", all[p], want)
		}
	}
	check("signed", nil)
	if err := os.Chmod(p, 0o755); err != nil {
		t.Fatal(err)
	}
	check("another mode", ErrMismatch)
	if err := os.Chmod(p, 0o644); err != nil {
		t.Fatal(err)
	}
	check("the mode again", nil)
	if err := os.Chown(p, 7, 0); err != nil {
		t.Fatal(err)
	}
	check("another owner", ErrMismatch)
	if _, all := run(t, LabelWork{SM3}, Options{}, p); all[p].Err == nil || !strings.Contains(all[p].Err.Error(), "--evm") {
		t.Errorf("a label that breaks security.evm: %v", all[p].Err)
	}
	run(t, ClearWork{}, Options{}, p)
	if _, all := run(t, LabelWork{SM3}, Options{}, p); all[p].State != Labelled {
		t.Errorf("after clear: %+v", all[p])
	}
}

func TestEndsWithContext(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sum, err := Run(ctx, []string{dir}, HashWork{SM3}, Options{Recursive: true})
	if !errors.Is(err, context.Canceled) || sum.Files != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestNoAttributes(t *testing.T) {
	dir := labelled(t)
	at := filepath.Join(dir, "proc")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", at, "proc", 0, ""); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
	}
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	p := filepath.Join(at, "version")
	if _, all := run(t, LabelWork{SHA256}, Options{}, p); all[p].Err == nil || !strings.Contains(all[p].Err.Error(), "--sigfile") {
		t.Errorf("%v", all[p].Err)
	}
}

// A file that begins with Z of the signer's key would have it sign a message: none gets a
// label, small or large, that the same content with another key does.
func TestSignRefusesForeign(t *testing.T) {
	key := newSM2(t)
	pub := key.Public().(*ecdsa.PublicKey)
	s, _ := newSigner(t, key, SM3)
	other, _ := newSigner(t, newSM2(t), SM3)
	for _, id := range []string{"1234567812345678", "TLSv1.3+GM+Cipher+Suite"} {
		z, err := gmsm2.CalculateZA(pub, []byte(id))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 100, 3 << 20} {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			write(t, path, append(bytes.Clone(z), text(n, 1)...))
			if _, all := run(t, SignWork{Signer: s}, Options{Place: Files}, path); !errors.Is(all[path].Err, ErrForeign) {
				t.Errorf("%s, %d bytes: %+v", id, n, all[path])
			}
			if _, err := os.Stat(path + SigSuffix); err == nil {
				t.Error("there is a label all the same")
			}
			if _, all := run(t, SignWork{Signer: other}, Options{Place: Files}, path); all[path].State != Signed {
				t.Errorf("another's: %+v", all[path])
			}
			write(t, path, z[:31])
			if _, all := run(t, SignWork{Signer: s}, Options{Place: Files}, path); all[path].State != Signed {
				t.Errorf("a part of it: %+v", all[path])
			}
		}
	}
}

// What is signed for security.evm begins with an attribute, which is looked at as contents
// are.
func TestEVMRefusesForeign(t *testing.T) {
	p := filepath.Join(labelled(t), "file")
	write(t, p, []byte("text"))
	key := newSM2(t)
	z, err := gmsm2.CalculateZA(key.Public().(*ecdsa.PublicKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(p, evmAttrs[2], z, 0); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "gm.ima", Reason: feature.NoKernel, Need: "security.apparmor", Err: err})
	}
	s, _ := newSigner(t, key, SM3)
	if _, all := run(t, SignWork{Signer: s, EVM: true}, Options{}, p); !errors.Is(all[p].Err, ErrForeign) {
		t.Errorf("%+v", all[p])
	}
	if other, _ := newSigner(t, newSM2(t), SM3); other != nil {
		if _, all := run(t, SignWork{Signer: other, EVM: true}, Options{}, p); all[p].State != Signed {
			t.Errorf("another's: %+v", all[p])
		}
	}
}
