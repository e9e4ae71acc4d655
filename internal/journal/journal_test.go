package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func open(t testing.TB, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.lock.Close() }) // a second Close is harmless
	return j
}

// crash lets go of the journal as a killed process does: nothing is tidied.
func crash(j *Journal) {
	_ = j.f.Close()
	_ = j.lock.Close()
}

func write(path, old string) Entry {
	return Entry{Op: OpWrite, Path: path, Ino: 7, Old: []byte(old), Owner: "test"}
}

func record(t testing.TB, j *Journal, e ...Entry) {
	t.Helper()
	if err := j.Record(e...); err != nil {
		t.Fatal(err)
	}
}

// pending shows the live entries as "path=old".
func pending(j *Journal) string {
	var s []string
	for _, e := range j.Pending() {
		s = append(s, e.Path+"="+string(e.Old))
	}
	return strings.Join(s, " ")
}

func wantPending(t *testing.T, j *Journal, want string) {
	t.Helper()
	if got := pending(j); got != want {
		t.Fatalf("pending %q, want %q", got, want)
	}
}

func contents(t testing.TB, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSurvivesCrash(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	in := []Entry{
		write("/a", "1\n"),
		{Op: OpMkdir, Path: "/made", Old: []byte("/home")},
		{Op: OpSched, Path: "/cg", Ino: 5, Old: []byte(`{"now":{}}`)},
		write("/not\xffutf8\n", "\x00\xff"),
	}
	record(t, j, in...)
	crash(j)
	j = open(t, dir)
	got := j.Pending()
	for i := range in {
		in[i].Boot = j.boot
		if i >= len(got) || fmt.Sprintf("%+v", got[i]) != fmt.Sprintf("%+v", in[i]) {
			t.Fatalf("entries came back as %+v, want %+v", got, in)
		}
	}
	if j.boot == "" {
		t.Fatal("the boot is not known")
	}
}

func TestFirstValueWins(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/a", "first"))
	size := len(contents(t, dir))
	record(t, j, write("/a", "second"), write("/a", "third"))
	if len(contents(t, dir)) != size {
		t.Fatal("a known entry was written again")
	}
	record(t, j, write("/b", "1"), write("/b", "2"))
	other := write("/a", "other cgroup of that name")
	other.Ino++
	record(t, j, other)
	crash(j)
	wantPending(t, open(t, dir), "/a=first /b=1 /a=other cgroup of that name")
}

func TestSchedOfRemadeCgroupIsRecorded(t *testing.T) {
	j := open(t, t.TempDir())
	record(t, j, Entry{Op: OpSched, Path: "/cg", Ino: 1, Old: []byte("a")}, Entry{Op: OpSched, Path: "/cg", Ino: 2, Old: []byte("b")})
	wantPending(t, j, "/cg=a /cg=b")
}

func TestOtherBootIsDropped(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	j.boot = "00000000-0000-0000-0000-000000000000"
	record(t, j, write("/old", "1"))
	j.boot = bootID()
	record(t, j, write("/new", "2"))
	crash(j)
	j = open(t, dir)
	wantPending(t, j, "/new=2")
	if bytes.Contains(contents(t, dir), []byte("/old")) {
		t.Fatal("the entry of the other boot is still in the file")
	}
}

func TestTornTail(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/a", "1"))
	keep := len(contents(t, dir))
	record(t, j, write("/b", "2"))
	whole := contents(t, dir)
	crash(j)
	for cut := keep; cut < len(whole); cut++ {
		if err := os.WriteFile(filepath.Join(dir, fileName), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, dir)
		if got := pending(j); got != "/a=1" {
			t.Fatalf("cut at %d: pending %q", cut, got)
		}
		record(t, j, write("/c", "3")) // what follows must not join the torn line
		crash(j)
		j = open(t, dir)
		if got := pending(j); got != "/a=1 /c=3" {
			t.Fatalf("cut at %d, then appended: pending %q", cut, got)
		}
		crash(j)
	}
}

func TestBitFlipLosesOneLine(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/a", "1"), write("/b", "2"), write("/c", "3"))
	whole := contents(t, dir)
	crash(j)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	first, second := len(lines[0]), len(lines[0])+len(lines[1])
	for bit := first * 8; bit < second*8; bit++ {
		b := slices.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		entries, clean := parse(b)
		var got []string
		for _, e := range entries {
			got = append(got, e.Path)
		}
		want := "/a /c"
		if bit/8 == second-1 { // the newline: two lines became one
			want = "/a"
		}
		if strings.Join(got, " ") != want && (strings.Join(got, " ") != "/a /b /c" || !sameDigit(whole, b)) || clean && !sameDigit(whole, b) {
			t.Fatalf("bit %d of byte %d flipped: %q, clean %v", bit%8, bit/8, got, clean)
		}
	}
}

// sameDigit says whether a and b differ only in the case of hex digits.
func sameDigit(a, b []byte) bool { return bytes.EqualFold(a, b) }

func FuzzParse(f *testing.F) {
	e := write("/a", "1")
	line, err := appendLine(nil, &e)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add(append(slices.Clone(line[:len(line)-1]), '\r', '\n'))
	f.Add([]byte("00000000 {}\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, _ := parse(b)
		var again []byte
		for _, e := range entries {
			if again, err = appendLine(again, e); err != nil {
				t.Fatal(err)
			}
		}
		back, ok := parse(again)
		if !ok || len(back) != len(entries) {
			t.Fatalf("%d entries became %d, clean %v", len(entries), len(back), ok)
		}
		for i := range back {
			if back[i].Key() != entries[i].Key() || !bytes.Equal(back[i].Old, entries[i].Old) {
				t.Fatalf("%+v became %+v", entries[i], back[i])
			}
		}
		// A line put before foreign bytes is always found.
		if got, _ := parse(append(slices.Clone(line), b...)); len(got) != len(entries)+1 {
			t.Fatalf("%d entries behind a good line, want %d", len(got), len(entries)+1)
		}
	})
}

func TestForgottenStaysForgotten(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/a", "1"), write("/b", "2"), write("/\xff", "x"))
	if err := j.Forget(func(e *Entry) bool { return e.Path != "/b" }); err != nil {
		t.Fatal(err)
	}
	crash(j)
	j = open(t, dir)
	wantPending(t, j, "/b=2")

	// The node gave /b another value after it was put back; that is its own now.
	record(t, j, write("/k", "k"))
	if err := j.Forget(func(e *Entry) bool { return e.Path == "/b" }); err != nil {
		t.Fatal(err)
	}
	record(t, j, write("/b", "new"))
	crash(j)
	j = open(t, dir)
	wantPending(t, j, "/k=k /b=new")
	crash(j)
	wantPending(t, open(t, dir), "/k=k /b=new") // also after the rewrite
}

func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	record(t, j, write("/keep", "me"))
	biggest := 0
	for i := range rewriteAt + 100 {
		record(t, j, write("/x"+strconv.Itoa(i%7), strconv.Itoa(i)))
		if err := j.Forget(func(e *Entry) bool { return strings.HasPrefix(e.Path, "/x") }); err != nil {
			t.Fatal(err)
		}
		biggest = max(biggest, len(contents(t, dir)))
	}
	if biggest > rewriteAt*512 || len(j.entries) > rewriteAt+1 {
		t.Fatalf("the file grew to %d bytes, %d entries are held", biggest, len(j.entries))
	}
	wantPending(t, j, "/keep=me")
	crash(j)
	j = open(t, dir)
	wantPending(t, j, "/keep=me")
	if err := j.Forget(func(*Entry) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if b := contents(t, dir); len(b) != 0 {
		t.Fatalf("an empty journal holds %q", b)
	}
	record(t, j, write("/after", "1"))
	crash(j)
	wantPending(t, open(t, dir), "/after=1")
}

func TestConcurrentRecord(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				if err := j.Record(write("/same"+strconv.Itoa(i), "v"), write(fmt.Sprintf("/own%d-%d", g, i), "v")); err != nil {
					t.Error(err)
				}
				j.Pending()
				if err := j.Forget(func(e *Entry) bool { return e.Path == fmt.Sprintf("/own%d-%d", g, i-1) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want := pending(j)
	if n := len(j.Pending()); n != 20+8 {
		t.Fatalf("%d entries, want 28", n)
	}
	crash(j)
	wantPending(t, open(t, dir), want)
}

func TestLockNamesTheHolder(t *testing.T) {
	dir := t.TempDir()
	if os.Getenv("JOURNAL_TEST_HOLD") != "" {
		open(t, os.Getenv("JOURNAL_TEST_HOLD"))
		fmt.Println("held")
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockNamesTheHolder$")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_HOLD="+dir)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	said := make([]byte, 5)
	if _, err := out.Read(said); err != nil || string(said[:4]) != "held" {
		t.Fatalf("the other process said %q, %v", said, err)
	}
	_, err := Open(dir)
	var l *LockedError
	if !errors.As(err, &l) || l.PID != cmd.Process.Pid || !strings.Contains(err.Error(), strconv.Itoa(cmd.Process.Pid)) {
		t.Fatalf("error %v, want one that names process %d", err, cmd.Process.Pid)
	}
	if err := cmd.Process.Kill(); err != nil { // as kill -9 of an agent: the lock goes with it
		t.Fatal(err)
	}
	_ = cmd.Wait()
	open(t, dir)
}

func TestCloseReleasesTheLock(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	var l *LockedError
	if _, err := Open(dir); !errors.As(err, &l) || l.PID != os.Getpid() {
		t.Fatalf("a second journal opened: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

// A checksum says that a line is whole, not that its body makes sense.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"op":"write","path":"/a","old":"MQ=="}`))
	f.Add([]byte(`{"raw_path":"/w==","path":"/b"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, ok := parseLine(fmt.Appendf(nil, "%08x %s", crc32.Checksum(body, castagnoli), body))
		if !ok {
			return
		}
		line, err := appendLine(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		back, clean := parse(line)
		if !clean || len(back) != 1 || back[0].Key() != e.Key() || !bytes.Equal(back[0].Old, e.Old) {
			t.Fatalf("%+v became %+v", e, back)
		}
	})
}
