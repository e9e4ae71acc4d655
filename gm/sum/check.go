package sum

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// longest is a line of a list, in bytes: with a name of PATH_MAX it is much shorter.
const longest = 64 << 10

// Check checks the files that lists name; "-", or no list, is standard input. What does not
// match or cannot be read is told on Out and Err, and the rest is checked nevertheless; the
// error is then ErrFailed.
func (t *Tool) Check(ctx context.Context, lists []string) error {
	if len(lists) == 0 {
		lists = []string{"-"}
	}
	t.begin()
	var lines Lines
	bad := false
	for _, name := range lists {
		c := check{t: t, lines: &lines, name: name, shown: quote(name)}
		ok, err := c.run(ctx)
		if err != nil {
			return t.end(err, true)
		}
		bad = bad || !ok
	}
	return t.end(nil, bad)
}

// check is the check of one list.
type check struct {
	t     *Tool
	lines *Lines
	name  string
	shown string // in messages

	in     *bufio.Reader
	source *patient
	number int // of the line read last
	err    error
	ended  bool

	// queue[head:] is what was read: the files that are hashed, and the lines in between
	// that are none of a list and are still to be told.
	queue []listed
	head  int

	formed, misformed, mismatched, unread uint64
	matched                               bool
}

type listed struct {
	line int // of one that is none of a list, else 0
	want Hash
}

func (c *check) run(ctx context.Context) (ok bool, err error) {
	in := c.t.Stdin
	if c.name == "-" {
		c.shown = "'standard input'"
	} else {
		if in, err = os.Open(c.name); err != nil {
			c.t.say("%s: %s", c.shown, reason(err))
			return false, nil
		}
		defer in.Close()
	}
	c.source = &patient{ctx: ctx, f: in, idle: c.t.out.flush}
	c.in = bufio.NewReaderSize(c.source, longest)
	err = Files(ctx, c.next, c.t.options(), func(f *File) error {
		c.tellMisformed()
		err := c.judge(f, c.pop().want)
		c.tellMisformed()
		return err
	})
	if err != nil {
		return false, err
	}
	if c.err != nil && !errors.Is(c.err, io.EOF) {
		if errors.Is(c.err, syscall.EISDIR) {
			c.t.say("%s: read error", c.shown)
		} else {
			c.t.say("%s: %s", c.shown, reason(c.err))
		}
		return false, nil
	}
	return c.conclude(), nil
}

// next gives the name in the next line that has one.
func (c *check) next() (string, More) {
	for !c.ended {
		if n := len(c.queue) - c.head; n >= window || n > 0 && c.in.Buffered() == 0 && !c.source.ready() {
			return "", Wait
		}
		line, known := c.read()
		if c.ended {
			break
		}
		if !known {
			continue
		}
		name, want, ok := c.lines.Parse(line)
		if ok && (c.name != "-" || name != "-") {
			c.formed++
			c.queue = append(c.queue, listed{want: want})
			return name, Next
		}
		c.misformed++
		if c.t.Voice == Warn {
			c.queue = append(c.queue, listed{line: c.number})
			if c.queue[c.head].line > 0 {
				c.tellMisformed()
			}
		}
	}
	return "", End
}

// read gives the next line without its end; known is false for one without meaning.
func (c *check) read() (line []byte, known bool) {
	line, err := c.in.ReadSlice('\n')
	long := errors.Is(err, bufio.ErrBufferFull)
	comment := len(line) > 0 && line[0] == '#'
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = c.in.ReadSlice('\n')
	}
	if err != nil {
		c.err = err
		if len(line) == 0 || !errors.Is(err, io.EOF) {
			c.ended = true
			return nil, false
		}
	}
	c.number++
	if comment {
		return nil, false
	}
	if long {
		return nil, true
	}
	line = bytes.TrimSuffix(line, []byte{'\n'})
	line = bytes.TrimSuffix(line, []byte{'\r'})
	return line, len(line) > 0
}

// tellMisformed tells those at the head of the queue.
func (c *check) tellMisformed() {
	for c.head < len(c.queue) && c.queue[c.head].line > 0 {
		c.t.say("%s: %d: improperly formatted %s checksum line", c.shown, c.pop().line, tag)
	}
}

func (c *check) pop() listed {
	first := c.queue[c.head]
	c.head++
	if c.head >= window || c.head == len(c.queue) {
		c.queue, c.head = append(c.queue[:0], c.queue[c.head:]...), 0
	}
	return first
}

// judge tells what became of a file.
func (c *check) judge(f *File, want Hash) error {
	state := Matches
	switch {
	case c.t.IgnoreMissing && errors.Is(f.Err, syscall.ENOENT):
		state = Missing
	case f.Err != nil:
		state = Unreadable
		c.unread++
		c.t.unreadable(f)
	case !want.Matches(f.Sum):
		state = Differs
		c.mismatched++
	default:
		c.matched = true
	}
	if c.t.Result != nil {
		return c.t.tell(f, state)
	}
	text := map[State]string{Matches: "OK", Differs: "FAILED", Unreadable: "FAILED open or read"}[state]
	if c.t.Voice == Silent || state == Missing || state == Matches && c.t.Voice == Quiet {
		return nil
	}
	return c.t.out.write([]byte(escaped(f.Name) + ": " + text + "\n"))
}

// conclude tells what there was in all, and whether it was good.
func (c *check) conclude() bool {
	if c.formed == 0 {
		c.t.say("%s: no properly formatted checksum lines found", c.shown)
		return false
	}
	if c.t.Voice != Silent {
		c.count(c.misformed, "line is improperly formatted", "lines are improperly formatted")
		c.count(c.unread, "listed file could not be read", "listed files could not be read")
		c.count(c.mismatched, "computed checksum did NOT match", "computed checksums did NOT match")
		if c.t.IgnoreMissing && !c.matched {
			c.t.say("%s: no file was verified", c.shown)
		}
	}
	return c.matched && c.mismatched == 0 && c.unread == 0 && (!c.t.Strict || c.misformed == 0)
}

func (c *check) count(n uint64, one, many string) {
	switch n {
	case 0:
	case 1:
		c.t.say("WARNING: 1 %s", one)
	default:
		c.t.say("WARNING: %d %s", n, many)
	}
}

// patient reads what may take its time, such as a pipe, until ctx ends.
type patient struct {
	ctx  context.Context
	f    *os.File
	idle func() error // before a wait
}

// ready says that there is something to read, or nothing more.
func (p *patient) ready() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(p.f.Fd()), Events: unix.POLLIN}}, 0)
	return n > 0 || err != nil
}

func (p *patient) Read(b []byte) (int, error) {
	if !p.ready() {
		if err := errors.Join(p.idle(), ready(p.ctx, int(p.f.Fd()))); err != nil {
			return 0, err
		}
	}
	return p.f.Read(b)
}
