package enforce

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/internal/testkit"
)

// childEnv has what the daemon is to do: it is a process of its own, since a test that
// both starts programs and answers for them can stand still.
const childEnv = "ANOLE_TEST_IMA_ENFORCE"

// order is Options as JSON carries them, and the public key.
type order struct {
	Public  []byte
	Options Options
	Slow    bool // answers never come by themselves
	Stuck   bool // nor by the timeout
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		if err := daemon([]byte(text)); err != nil {
			fmt.Fprintln(os.Stderr, "daemon:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// daemon answers until its input ends. For each line of input it writes its counts.
func daemon(text []byte) error {
	var o order
	if err := json.Unmarshal(text, &o); err != nil {
		return err
	}
	key, err := smx509.ParsePKIXPublicKey(o.Public)
	if err != nil {
		return err
	}
	o.Options.Keys = &ima.Keyring{}
	if err := o.Options.Keys.Add(key, nil); err != nil {
		return err
	}
	told := []Denial{}
	o.Options.Tell = func(d Denial) { told = append(told, d) }
	e, err := Open(o.Options)
	if err != nil {
		var u *feature.UnsupportedError
		if errors.As(err, &u) {
			fmt.Println("unsupported", u.Reason)
		}
		return err
	}
	if o.Slow {
		for range cap(e.slots) {
			e.slots <- struct{}{}
		}
	}
	if o.Stuck {
		e.mu.Lock()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		e.tell.mu.Lock()
		b, err := json.Marshal(struct {
			Stats
			Tell []Denial
		}{e.Stats(), told})
		e.tell.mu.Unlock()
		if err != nil {
			return err
		}
		fmt.Println(string(b))
	}
	if o.Stuck {
		e.mu.Unlock()
		if err := <-done; !errors.Is(err, ErrStuck) {
			return fmt.Errorf("it ends with %w", err)
		}
		return nil
	}
	if o.Slow {
		for range cap(e.slots) {
			<-e.slots
		}
	}
	cancel()
	return <-done
}

// child is a daemon under test.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

type counts struct {
	Stats
	Tell []Denial
}

func start(t *testing.T, o order) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(os.Args[0])}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), childEnv+"="+string(text)), os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.end)
	switch line := c.line(); line {
	case "ready\n":
	case "unsupported no_kernel\n":
		testkit.Need(t, &feature.UnsupportedError{Feature: "gm.ima.enforce", Reason: feature.NoKernel, Need: "fanotify with permission events"})
	default:
		t.Fatalf("the daemon says %q", line)
	}
	return c
}

func (c *child) line() string {
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read from the daemon: %v", err)
	}
	return line
}

func (c *child) counts() (n counts) {
	c.t.Helper()
	if _, err := io.WriteString(c.in, "\n"); err != nil {
		c.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(c.line()), &n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *child) end() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// bench is a file system with programs, and who signs them.
type bench struct {
	t      *testing.T
	dir    string
	key    crypto.Signer
	signer *ima.Signer
	place  ima.Place
}

func newBench(t *testing.T) *bench {
	testkit.NeedRoot(t)
	b := &bench{t: t, dir: t.TempDir()}
	if err := unix.Mount("tmpfs", b.dir, "tmpfs", 0, "size=64m"); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "mount", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err})
	}
	t.Cleanup(func() { _ = unix.Unmount(b.dir, unix.MNT_DETACH) })
	algo := b.choose()
	b.key = b.newKey(algo)
	b.signer = b.newSigner(b.key, algo)
	return b
}

// choose finds what this kernel takes: SM3 in security.ima; in user.ima, where it has IMA
// and not SM3; and SHA-256, where it has no user.ima on this file system either.
func (b *bench) choose() ima.Algo {
	probe := filepath.Join(b.dir, "probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		b.t.Fatal(err)
	}
	label := ima.DigestLabel(ima.SM3, make([]byte, 32)).Bytes()
	if unix.Setxattr(probe, ima.Attr, label, 0) == nil {
		return ima.SM3
	}
	if unix.Setxattr(probe, ima.AttrUser, label, 0) == nil {
		b.place = ima.User
		return ima.SM3
	}
	return ima.SHA256
}

func (b *bench) newKey(a ima.Algo) (key crypto.Signer) {
	b.t.Helper()
	var err error
	if a == ima.SM3 {
		key, err = sm2.GenerateKey(rand.Reader)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return key
}

func (b *bench) newSigner(key crypto.Signer, a ima.Algo) *ima.Signer {
	b.t.Helper()
	s, err := ima.NewSigner(key, a)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// program is a copy of true(1), which is called so: it may be a part of busybox.
func (b *bench) program(name string) string {
	b.t.Helper()
	text, err := os.ReadFile(testkit.NeedTool(b.t, "true"))
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.dir, name, "true")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o755); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) sign(s *ima.Signer, paths ...string) {
	b.t.Helper()
	b.run(ima.SignWork{Signer: s}, paths...)
}

func (b *bench) run(work ima.Work, paths ...string) {
	b.t.Helper()
	each := func(r ima.Result) {
		if r.Err != nil {
			b.t.Fatalf("%s: %v", r.Path, r.Err)
		}
	}
	if _, err := ima.Run(context.Background(), paths, work, ima.Options{Each: each, Workers: 1, Place: b.place}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) order(o Options) order {
	b.t.Helper()
	public, err := smx509.MarshalPKIXPublicKey(b.key.Public())
	if err != nil {
		b.t.Fatal(err)
	}
	o.Paths, o.Place = []string{b.dir}, b.place
	return order{Public: public, Options: o}
}

func (b *bench) runs(path string) {
	b.t.Helper()
	if err := exec.Command(path).Run(); err != nil {
		b.t.Errorf("%s: %v", path, err)
	}
}

func (b *bench) denied(path string) {
	b.t.Helper()
	if err := exec.Command(path).Run(); !errors.Is(err, fs.ErrPermission) {
		b.t.Errorf("%s: %v, want %v", path, err, unix.EPERM)
	}
}

// rest lets what was changed last be told from what comes.
func rest() { time.Sleep(settled + 50*time.Millisecond) }

func TestEnforce(t *testing.T) {
	for name, scope := range map[string]Scope{"mount": Mount, "file system": Filesystem} {
		t.Run(name, func(t *testing.T) { testEnforce(t, scope) })
	}
}

func testEnforce(t *testing.T, scope Scope) {
	b := newBench(t)
	good, bare, changed, wrong, digest, listed := b.program("good"), b.program("bare"), b.program("changed"), b.program("wrong"), b.program("digest"), b.program("listed")
	algo := b.signer.Algo()
	stranger := b.newSigner(b.newKey(algo), algo)
	b.sign(b.signer, good, changed)
	b.sign(stranger, wrong)
	b.run(ima.LabelWork{Algo: algo}, digest)
	f, err := os.OpenFile(changed, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	rest()
	c := start(t, b.order(Options{Enforce: true, Scope: scope, Allow: []string{filepath.Dir(listed)}}))
	for range 5 {
		b.runs(good)
		b.denied(bare)
		b.denied(changed)
		b.denied(wrong)
		b.denied(digest)
		b.runs(listed)
	}
	n := c.counts()
	if n.Verified != 1 || n.Rejected != 5 || n.CacheHits != 24 || n.Denied != 20 || n.Excepted != 5 || n.Uncached != 0 || n.Errors != 0 {
		t.Errorf("counts %+v", n.Stats)
	}
	want := map[string]Reason{bare: Unlabelled, changed: Mismatch, wrong: UnknownKey, digest: Unsigned}
	for _, d := range n.Tell[:4] {
		if want[d.Path] != d.Reason || !d.Exec || !d.Denied || d.PID == 0 {
			t.Errorf("told %+v, want %q", d, want[d.Path])
		}
	}
	// What is not good any more runs no more, and what is good again does.
	write(t, good, []byte("#!/bin/sh\n"))
	b.denied(good)
	b.sign(b.signer, bare)
	b.runs(bare)
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait()
	for _, p := range []string{changed, wrong, digest} {
		b.runs(p)
	}
}

// TestNamespace runs a program in a mount namespace of its own, as everybody can by a user
// namespace: a copy of a mount is not the mount that is watched, but it is of the file
// system.
func TestNamespace(t *testing.T) {
	b := newBench(t)
	good, bare := b.program("good"), b.program("bare")
	b.sign(b.signer, good)
	rest()
	apart := func(path string) error {
		c := exec.Command(path)
		ids := []syscall.SysProcIDMap{{Size: 1}}
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, UidMappings: ids, GidMappings: ids}
		return c.Run()
	}
	if err := apart(bare); err != nil { // nobody is asked yet
		testkit.Need(t, &feature.UnsupportedError{Feature: "user namespaces", Reason: feature.NoPrivilege, Need: "user.max_user_namespaces above 0", Err: err})
	}
	t.Run("file system", func(t *testing.T) {
		start(t, b.order(Options{Enforce: true})) // whose scope is the zero value
		if err := apart(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
		if err := apart(bare); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v, want %v", bare, err, unix.EPERM)
		}
	})
	t.Run("mount", func(t *testing.T) { // is why it is not the default
		start(t, b.order(Options{Enforce: true, Scope: Mount}))
		b.denied(bare)
		if err := apart(bare); err != nil {
			t.Errorf("%s: %v: the warning is not true any more", bare, err)
		}
	})
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTellsAlone(t *testing.T) {
	b := newBench(t)
	bare := b.program("bare")
	rest()
	c := start(t, b.order(Options{}))
	for range 3 {
		b.runs(bare)
	}
	if n := c.counts(); n.Told != 3 || n.Denied != 0 || n.Rejected != 1 || len(n.Tell) != 3 || n.Tell[0].Denied {
		t.Errorf("%+v", n)
	}
	c.end()
	c = start(t, b.order(Options{Enforce: true, AllowUnsigned: true}))
	b.runs(bare)
	if n := c.counts(); n.Excepted != 1 || len(n.Tell) != 0 {
		t.Errorf("%+v", n)
	}
}

// TestWriter has a file that is open for writing: its verdict is not kept.
func TestWriter(t *testing.T) {
	b := newBench(t)
	good := b.program("good")
	b.sign(b.signer, good)
	rest()
	c := start(t, b.order(Options{Enforce: true}))
	f, err := os.OpenFile(good, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(good).Run(); !errors.Is(err, unix.ETXTBSY) && err != nil {
		t.Errorf("while it is open for writing: %v", err)
	}
	if n := c.counts(); n.Uncached != 1 || n.Verified != 1 {
		t.Errorf("%+v", n)
	}
	_ = f.Close()
	b.runs(good)
	b.runs(good)
	if n := c.counts(); n.Uncached != 1 || n.Verified != 2 || n.CacheHits != 1 {
		t.Errorf("%+v", n)
	}
}

func TestTimeout(t *testing.T) {
	b := newBench(t)
	good := b.program("good")
	b.sign(b.signer, good)
	rest()
	for _, allow := range []bool{false, true} {
		o := b.order(Options{Enforce: true, Timeout: 200 * time.Millisecond, TimeoutAllows: allow, Workers: 1})
		o.Slow = true
		c := start(t, o)
		for range 2 {
			if allow {
				b.runs(good)
			} else {
				b.denied(good)
			}
		}
		if n := c.counts(); n.Timeouts != 2 || n.Errors != 0 {
			t.Errorf("%+v", n)
		}
		c.end()
	}
}

// TestStuck has one that cannot answer: the node goes on.
func TestStuck(t *testing.T) {
	b := newBench(t)
	bare := b.program("bare")
	rest()
	o := b.order(Options{Enforce: true, Timeout: 50 * time.Millisecond})
	o.Stuck = true
	c := start(t, o)
	b.runs(bare)
	_ = c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the daemon: %v", err)
	}
}

func TestOpens(t *testing.T) {
	b := newBench(t)
	good, bare, script := b.program("good"), b.program("bare"), filepath.Join(b.dir, "script")
	if err := os.WriteFile(script, []byte("#!"+good+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.sign(b.signer, good)
	rest()
	c := start(t, b.order(Options{Enforce: true, Opens: true}))
	cat := testkit.NeedTool(t, "cat")
	read := func(path string) error { return exec.Command(cat, path).Run() }
	for range 2 {
		if err := read(good); err != nil {
			t.Error(err)
		}
		if read(bare) == nil {
			t.Error("an ELF file without a label is opened")
		}
		if err := read(script); err != nil {
			t.Error(err)
		}
		b.denied(script) // to read it is fine, to execute it is not
		b.runs(good)
	}
	// Who has the daemon's program may open, so as to sign.
	b.sign(b.signer, bare, script)
	b.runs(bare)
	b.runs(script)
	if n := c.counts(); n.CacheHits == 0 || n.Errors != 0 {
		t.Errorf("%+v", n)
	}
}

func TestParse(t *testing.T) {
	good := response(7, true)
	if len(good) != 8 {
		t.Fatalf("a response of %d bytes", len(good))
	}
	one := make([]byte, metadataSize)
	one[0], one[4], one[6], one[16] = metadataSize, unix.FANOTIFY_METADATA_VERSION, metadataSize, 9
	overflow := slices.Clone(one)
	copy(overflow[16:], []byte{0xff, 0xff, 0xff, 0xff})
	events, err := parse(slices.Concat(one, overflow, one))
	if err != nil || len(events) != 2 || events[0].fd != 9 {
		t.Errorf("%+v, %v", events, err)
	}
	for name, b := range map[string][]byte{
		"cut": one[:20], "longer than it is": append([]byte{25}, one[1:]...), "shorter than can be": append([]byte{8}, one[1:]...), "version": append(slices.Clone(one[:4]), append([]byte{9}, one[5:]...)...),
	} {
		if _, err := parse(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTeller(t *testing.T) {
	var got []Denial
	l := teller{to: func(d Denial) { got = append(got, d) }}
	for range 3 * perSecond {
		l.say(Denial{})
	}
	if len(got) != perSecond {
		t.Fatalf("%d told", len(got))
	}
	l.begin = l.begin.Add(-time.Minute)
	l.say(Denial{})
	if d := got[len(got)-1]; d.Suppressed != 2*perSecond {
		t.Errorf("suppressed %d", d.Suppressed)
	}
}

func TestCache(t *testing.T) {
	c := cache{most: 4, of: map[key]verdict{}}
	for i := range uint64(10) {
		c.put(key{ino: i}, verdict{checked: true})
		if _, ok := c.get(key{ino: i}, true); !ok || c.len() > 4 {
			t.Fatalf("%d: %v, %d kept", i, ok, c.len())
		}
	}
	c.put(key{ino: 1}, verdict{})
	if _, ok := c.get(key{ino: 1}, true); ok {
		t.Error("what was opened answers for what is executed")
	}
	if _, ok := c.get(key{ino: 1}, false); !ok {
		t.Error("what was opened does not answer for itself")
	}
}
