package netlinkx

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

func FuzzParseQdisc(f *testing.F) {
	good := (&nl.TcMsg{Ifindex: 3, Handle: 1 << 16, Parent: 0xffffffff}).Serialize()
	good = append(good, nl.NewRtAttr(nl.TCA_KIND, nl.ZeroTerminated("pfifo")).Serialize()...)
	good = append(good, nl.NewRtAttr(nl.TCA_OPTIONS, nl.Uint32Attr(7)).Serialize()...)
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		q, _, err := parseQdisc(b)
		if err != nil {
			return
		}
		_, _ = settable(&q)
		if bytes.Equal(b, good) && (q.Kind != "pfifo" || q.Handle != 1<<16 || !bytes.Equal(q.Options, nl.Uint32Attr(7))) {
			t.Fatalf("%+v", q)
		}
	})
}

// The kernel's rounding of fq_codel's times, both ways: what settable gives
// reads as what was read.
func TestSettableTimes(t *testing.T) {
	set := func(us uint32) uint32 { return uint32(uint64(us) * 1000 >> 10) }
	read := func(units uint32) uint32 { return uint32(uint64(units) << 10 / 1000) }
	for us := uint32(1); us < 200_000; us += 7 {
		shown := read(set(us))
		q := &Qdisc{Kind: "fq_codel", Options: nl.NewRtAttr(fqCodelTarget, nl.Uint32Attr(shown)).Serialize()}
		options, err := settable(q)
		if err != nil {
			t.Fatal(err)
		}
		if again := read(set(binary.NativeEndian.Uint32(options[4:]))); again != shown {
			t.Fatalf("%d µs show as %d, and as %d when that is put back", us, shown, again)
		}
	}
	if _, err := settable(&Qdisc{Kind: "fq_codel", Options: nl.NewRtAttr(fqCodelTarget, []byte{1}).Serialize()}); err == nil {
		t.Error("a time of one byte was taken")
	}
}

func scratchOr(t *testing.T, do func(*Conn) error) {
	t.Helper()
	testkit.NeedRoot(t)
	err := Scratch(do)
	if errors.Is(err, unix.EPERM) {
		err = &feature.UnsupportedError{Feature: "network namespaces", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err}
	}
	testkit.Need(t, err)
}

func TestScratchIsElsewhere(t *testing.T) {
	here, err := Netns()
	if err != nil {
		t.Fatal(err)
	}
	scratchOr(t, func(c *Conn) error {
		links, err := c.Links()
		if c.Netns() == here || err != nil || len(links) != 1 || links[0].Name != "lo" || links[0].Index != 1 {
			t.Errorf("namespace %d (%d here), links %+v, %v", c.Netns(), here, links, err)
		}
		if _, err := c.ByName("nothing0"); !errors.Is(err, fs.ErrNotExist) || !Gone(err) {
			t.Errorf("an interface that is not there: %v", err)
		}
		return nil
	})
	if now, err := Netns(); err != nil || now != here {
		t.Errorf("afterwards in %d, %v", now, err)
	}
}

// A program's first thread does not end with its goroutine; it must not be left
// in the namespace, where it is the process to everybody who looks.
func TestScratchLeavesTheMainThread(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	here, err := NetnsOf(1)
	if err != nil {
		here, err = Netns()
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		scratchOr(t, func(c *Conn) error {
			if unix.Gettid() == unix.Getpid() {
				t.Error("on the main thread")
			}
			return nil
		})
	}
	if of, err := NetnsOf(os.Getpid()); err != nil || of != here {
		t.Errorf("the process is in %d, %v; was in %d", of, err, here)
	}
}

func entryIn(t *testing.T, netns uint64) *journal.Entry {
	t.Helper()
	b := Before{Name: "eth0", Index: 1, Netns: netns}
	old, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return &journal.Entry{Op: OpLink, Path: b.Path(), Ino: 1, Old: old}
}

// undone restores a journal with that entry, and says what is left of it.
func undone(t *testing.T, e *journal.Entry) (journal.Report, int) {
	t.Helper()
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if err := j.Record(*e); err != nil {
		t.Fatal(err)
	}
	return j.Restore(t.Context(), cgroup.Undo), len(j.Pending())
}

// needAll skips where not all processes can be seen.
func needAll(t *testing.T) {
	t.Helper()
	if _, err := Exists(1); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "the node's network namespaces", Reason: feature.NoPrivilege, Need: "the first pid namespace", Err: err})
	}
}

// An entry of another namespace is kept, and says where to go, as long as there
// is that namespace: with a thread in it, or only held by an open file or a mount.
func TestUndoElsewhere(t *testing.T) {
	kept := func(how string, netns uint64) {
		t.Helper()
		rep, left := undone(t, entryIn(t, netns))
		if rep.Gone != 0 || left != 1 || len(rep.Failed) != 1 || !strings.Contains(rep.Failed[0].Error(), fmt.Sprintf("net:[%d]: run anole revert there", netns)) {
			t.Errorf("%s: %+v, %d left", how, rep, left)
		}
	}
	var netns uint64
	var held *os.File
	mount := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(mount, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	scratchOr(t, func(c *Conn) (err error) {
		netns = c.Netns()
		elsewhere := make(chan struct{})
		go func() { kept("a thread is in it", netns); close(elsewhere) }() // on a thread of ours
		<-elsewhere
		if err := unix.Mount("/proc/thread-self/ns/net", mount, "", unix.MS_BIND, ""); err != nil {
			return err
		}
		held, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	kept("mounted and open", netns)
	if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	kept("open", netns)
	_ = held.Close()
	needAll(t)
	for there := true; there; { // the thread ends after its function
		var err error
		if there, err = Exists(netns); err != nil {
			t.Fatal(err)
		}
	}
	if rep, left := undone(t, entryIn(t, netns)); rep.Gone != 1 || left != 0 || len(rep.Failed) != 0 {
		t.Errorf("its namespace is gone: %+v, %d left", rep, left)
	}
}

func TestUndoOfMalformedEntry(t *testing.T) {
	e := entryIn(t, 1)
	e.Old = []byte("{")
	var syntax *json.SyntaxError
	if err := cgroup.Undo(e); !errors.As(err, &syntax) {
		t.Errorf("got %v", err)
	}
}

// Where it cannot be told whether there is that namespace the entry is kept.
func TestUndoUnclear(t *testing.T) {
	err := fmt.Errorf("x: %w", unclear{fs.ErrNotExist})
	if errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), fs.ErrNotExist.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestUndoOfWhatIsGone(t *testing.T) {
	scratchOr(t, func(c *Conn) error {
		if err := c.Undo(&Before{Name: "eth9", Index: 4711, Netns: c.Netns()}); !errors.Is(err, journal.ErrGone) {
			t.Errorf("got %v", err)
		}
		return nil
	})
}

func TestNetnsOf(t *testing.T) {
	here, err := Netns()
	if err != nil {
		t.Fatal(err)
	}
	if of, err := NetnsOf(os.Getpid()); err != nil || of != here {
		t.Errorf("%d, %v; here is %d", of, err, here)
	}
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := NetnsOf(cmd.Process.Pid); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a process that ended: %v", err)
	}
}
