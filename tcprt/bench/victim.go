package bench

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// victim is a server of a bench of faults, which can be made worse. A request is its
// length and the answer's, four bytes each, and filler.
type victim struct {
	pause   atomic.Int64 // ns that an answer takes
	work    atomic.Int64 // ns of CPU that it takes
	halves  atomic.Bool  // the answer is written in two, with Nagle's algorithm
	backend atomic.Pointer[string]
}

const requestHead = 8

// VictimMain is its process: it listens on an address, says on which port, and takes
// commands, one a line, until its input ends.
func VictimMain(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("serve: want an address, got %q", args)
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	defer l.Close()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	v := &victim{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go v.serve(c.(*net.TCPConn))
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := v.command(in.Text()); err != nil {
			return err
		}
		fmt.Println("ok")
	}
	return in.Err()
}

func (v *victim) command(line string) error {
	what, value, _ := strings.Cut(line, " ")
	switch what {
	case "backend":
		v.backend.Store(&value)
		return nil
	case "halves":
		v.halves.Store(value == "on")
		return nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("read command %q: %w", line, err)
	}
	switch what {
	case "pause":
		v.pause.Store(int64(d))
	case "work":
		v.work.Store(int64(d))
	default:
		return fmt.Errorf("read command %q: it is none", line)
	}
	return nil
}

func (v *victim) serve(c *net.TCPConn) {
	defer c.Close()
	_ = c.SetNoDelay(false)
	var back net.Conn
	defer func() {
		if back != nil {
			_ = back.Close()
		}
	}()
	head := make([]byte, requestHead)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		asked, answer := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
		if _, err := io.CopyN(io.Discard, c, int64(asked)-requestHead); err != nil {
			return
		}
		if addr := v.backend.Load(); addr != nil {
			var err error
			if back == nil {
				if back, err = net.Dial("tcp", *addr); err != nil {
					return
				}
			}
			if err := ask1(back, 64, 64); err != nil {
				return
			}
		}
		burn(time.Duration(v.work.Load()))
		time.Sleep(time.Duration(v.pause.Load()))
		out := make([]byte, answer)
		if v.halves.Load() {
			if _, err := c.Write(out[:10]); err != nil {
				return
			}
			out = out[10:]
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// burn uses CPU time, not time: what is taken away from it takes longer.
func burn(d time.Duration) {
	runtime.LockOSThread() // whose time it is
	defer runtime.UnlockOSThread()
	for end := threadTime() + d; threadTime() < end; {
	}
}

// request is one of so many bytes, which asks for so many.
func request(n, answer int) []byte {
	b := make([]byte, max(n, requestHead))
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint32(b[4:], uint32(answer))
	return b
}

func ask1(c net.Conn, n, answer int) error {
	if _, err := c.Write(request(n, answer)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c, int64(answer))
	return err
}

// asker is a victim's clients.
type asker struct {
	dial   func() (net.Conn, error)
	conns  int
	every  time.Duration // of each connection
	answer int
	buffer int         // that it has to receive, 0 is the kernel's choice
	drip   atomic.Bool // the request comes in two halves
	slow   atomic.Bool // the answer is read in pieces
	ended  atomic.Bool
	failed atomic.Uint64
}

func (a *asker) start() {
	for i := range a.conns {
		go func() {
			time.Sleep(a.every * time.Duration(i) / time.Duration(a.conns))
			for !a.ended.Load() {
				if err := a.run(); err != nil && !a.ended.Load() {
					a.failed.Add(1)
					time.Sleep(100 * time.Millisecond)
				}
			}
		}()
	}
}

func (a *asker) run() error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if a.buffer > 0 {
		if err := c.(*net.TCPConn).SetReadBuffer(a.buffer); err != nil {
			return err
		}
	}
	next := time.Now()
	for !a.ended.Load() {
		b := request(200, a.answer)
		if a.drip.Load() {
			if _, err := c.Write(b[:100]); err != nil {
				return err
			}
			time.Sleep(30 * time.Millisecond)
			b = b[100:]
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
		if err := a.read(c); err != nil {
			return err
		}
		// Each keeps to its own beat, so that they do not all come at once after a
		// time in which they waited.
		for next = next.Add(a.every); time.Until(next) < 0; next = next.Add(a.every) {
		}
		time.Sleep(time.Until(next))
	}
	return nil
}

// read takes the answer, in pieces with pauses where it is slow.
func (a *asker) read(c net.Conn) error {
	left := int64(a.answer)
	for left > 0 && a.slow.Load() {
		n, err := io.CopyN(io.Discard, c, min(left, 64<<10))
		if left -= n; err != nil {
			return err
		}
		time.Sleep(15 * time.Millisecond)
	}
	_, err := io.CopyN(io.Discard, c, left)
	return err
}

// quota is a cgroup with a CPU limit that can be set, on v1 or v2.
type quota struct{ dir, file string }

func newQuota(pid int) (*quota, error) {
	name := "anole-bench-" + strconv.Itoa(os.Getpid())
	q := &quota{"/sys/fs/cgroup/cpu/" + name, "cpu.cfs_quota_us"}
	if _, err := os.Stat("/sys/fs/cgroup/cpu"); err != nil {
		q = &quota{"/sys/fs/cgroup/" + name, "cpu.max"}
	}
	if err := os.Mkdir(q.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make a cgroup: %w", err)
	}
	if err := os.WriteFile(q.dir+"/cgroup.procs", []byte(strconv.Itoa(pid)), 0o644); err != nil {
		return nil, fmt.Errorf("enter a cgroup: %w", err)
	}
	return q, nil
}

// set limits it to a share of a CPU; 0 is no limit.
func (q *quota) set(share float64) error {
	v := "max 100000"
	switch {
	case q.file == "cpu.cfs_quota_us" && share == 0:
		v = "-1"
	case q.file == "cpu.cfs_quota_us":
		v = strconv.Itoa(int(share * 100_000))
	case share > 0:
		v = strconv.Itoa(int(share*100_000)) + " 100000"
	}
	if err := os.WriteFile(q.dir+"/"+q.file, []byte(v), 0o644); err != nil {
		return fmt.Errorf("limit a cgroup: %w", err)
	}
	return nil
}

func (q *quota) remove() {
	for range 50 {
		if os.Remove(q.dir) == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
