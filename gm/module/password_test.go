package module

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/core"
)

// verbEnv has a process of this test run a verb: with its own standard input and terminal.
const verbEnv = "ANOLE_TEST_GM_VERB"

func verbMain(line string) int {
	c := New().Command()
	c.SetArgs(strings.Fields(line))
	c.SilenceUsage, c.SilenceErrors = true, true
	err := c.ExecuteContext(core.WithEnv(context.Background(), &core.Env{Out: os.Stdout, Err: os.Stderr}))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return core.ExitCode(err)
}

// newTerminal gives both ends of a pseudo terminal.
func newTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		if failed == nil {
			n, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return master, terminal
}

// screen is what a terminal shows.
type screen struct {
	mu   sync.Mutex
	text []byte
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, b...)
	return len(b), nil
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// answered runs a verb that asks on a terminal that is not its standard input, and answers
// what it asks for.
func answered(t *testing.T, stdin, line, answer string, questions ...string) (out string) {
	t.Helper()
	master, terminal := newTerminal(t)
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), verbEnv+"="+line)
	var o, e bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr, c.ExtraFiles = strings.NewReader(stdin), &o, &e, []*os.File{terminal}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	shown := &screen{}
	go func() { _, _ = io.Copy(shown, master) }()
	for _, q := range questions {
		for end := time.Now().Add(20 * time.Second); !strings.Contains(shown.String(), q); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				_ = c.Process.Kill()
				_ = c.Wait()
				t.Fatalf("%s: the terminal shows %q and not %q\n%s", line, shown, q, e.String())
			}
		}
		time.Sleep(100 * time.Millisecond) // until what is typed is not shown
		if _, err := io.WriteString(master, answer+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", line, err, e.String())
	}
	if strings.Contains(shown.String(), answer) {
		t.Errorf("%s: the terminal shows what was typed: %q", line, shown)
	}
	return o.String()
}

// Where standard input is what is to be encrypted, the password comes from the terminal.
func TestTerminal(t *testing.T) {
	s := newShell(t)
	answered(t, "a letter", "enc - --iterations 1000 --out sealed", "open sesame", "new password of sealed: ", "the same again: ")
	s.write("word", "open sesame")
	if got := s.run("dec sealed --out - --pass file:word"); got != "a letter" {
		t.Errorf("%q is sealed", got)
	}
	if got := answered(t, string(s.read("sealed")), "dec - --out -", "open sesame", "password of -: "); got != "a letter" {
		t.Errorf("%q comes out", got)
	}
	// Without any there is nobody to ask.
	c := exec.Command(os.Args[0])
	c.Env, c.SysProcAttr = append(os.Environ(), verbEnv+"=enc word"), &syscall.SysProcAttr{Setsid: true}
	if text, err := c.CombinedOutput(); c.ProcessState.ExitCode() != core.ExitUsage || !strings.Contains(string(text), "there is no terminal") {
		t.Errorf("%v: %s", err, text)
	}
}
