package sum

import (
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/sm3"
)

const (
	// piece is how much is read at once: 32 of them stay in a core's second cache, or nearly.
	piece = 32 << 10
	// spare is behind it, so that the end of a file of just that size is seen at once.
	spare = sm3.BlockSize
)

// opened is an open file.
type opened struct {
	fd      int
	number  int // of the file, from 0 on
	size    int64
	regular bool
	stays   bool // open, as it is standard input
}

func (o *opened) close() {
	if !o.stays {
		_ = unix.Close(o.fd)
	}
}

// lane is a file that is read.
type lane struct {
	opened
	busy bool
	buf  []byte
	rest []byte // of buf: what was read behind the last whole block
	read int64
	end  bool // there is nothing more to read
}

func (l *lane) close() {
	if l.busy && !l.end {
		l.opened.close()
	}
}

// fill gives each lane its next piece, as far as there is one.
func (e *engine) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.apart != nil && e.busy == 0 {
		if err := e.give(); err != nil { // what is before it is seen while it is waited for
			return err
		}
		if e.opt.Idle != nil {
			if err := e.opt.Idle(); err != nil {
				return err
			}
		}
		e.start(0, *e.apart)
		e.apart, e.alone = nil, true
	}
	for i := range e.lanes {
		for len(e.pieces[i]) == 0 && (e.lanes[i].busy || e.next(i)) {
			if err := e.advance(ctx, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// next puts the next file on a lane; false if there is none to start now.
func (e *engine) next(i int) bool {
	for !e.over && !e.alone && e.apart == nil && len(e.files) < window {
		name, more := e.source()
		if more != Next {
			e.over = more == End
			return false
		}
		number := e.first + len(e.files)
		e.files = append(e.files, result{File: File{Name: name}})
		o, err := e.open(name)
		if err != nil {
			e.files[len(e.files)-1] = result{File: File{Name: name, Err: err}, done: true}
			continue
		}
		o.number = number
		if !o.regular {
			e.apart = &o
			return false
		}
		e.start(i, o)
		return true
	}
	return false
}

func (e *engine) start(i int, o opened) {
	e.lanes[i] = lane{opened: o, busy: true, buf: e.lanes[i].buf}
	e.busy++
}

// open opens a file. A pipe without a writer is not waited for: that is poll's part.
func (e *engine) open(name string) (opened, error) {
	if name == "-" {
		return opened{fd: int(e.opt.Stdin.Fd()), stays: true}, nil
	}
	fd, err := openFile(name, unix.O_NONBLOCK)
	if errors.Is(err, unix.EAGAIN) { // there is a lease on it, to be waited for
		fd, err = openFile(name, 0)
	}
	if err != nil {
		return opened{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	o := opened{fd: fd}
	st := &e.stat
	if err = unix.Fstat(fd, st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = unix.EISDIR
	}
	if err != nil {
		o.close()
		return o, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	o.size, o.regular = st.Size, st.Mode&unix.S_IFMT == unix.S_IFREG
	if o.regular && o.size > piece {
		_ = unix.Fadvise(fd, 0, 0, unix.FADV_SEQUENTIAL)
	}
	return o, nil
}

func openFile(name string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// advance reads the next piece of a lane's file, or ends the file.
func (e *engine) advance(ctx context.Context, i int) error {
	l := &e.lanes[i]
	if l.end {
		e.finish(i, nil)
		return nil
	}
	kept := copy(l.buf, l.rest)
	room := l.buf[:piece]
	if l.size == piece {
		room = l.buf
	}
	n, err := l.more(ctx, room[kept:])
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if err != nil {
		l.opened.close()
		l.end = true
		e.finish(i, &fs.PathError{Op: "read", Path: e.files[l.number-e.first].Name, Err: err})
		return nil
	}
	l.read += int64(n)
	if n == 0 || l.regular && l.read == l.size && kept+n < len(room) {
		l.opened.close()
		l.end = true
	}
	whole := (kept + n) &^ (sm3.BlockSize - 1)
	e.pieces[i], l.rest = l.buf[:whole], l.buf[whole:kept+n]
	return nil
}

// more reads, of what is no regular file as soon as there is something.
func (l *lane) more(ctx context.Context, b []byte) (n int, err error) {
	for {
		if !l.regular {
			if err := ready(ctx, l.fd); err != nil {
				return 0, err
			}
		}
		n, err = unix.Read(l.fd, b)
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return max(n, 0), err
		}
	}
}

// ready waits for something to read, for the end, or for the end of ctx.
func ready(ctx context.Context, fd int) error {
	const tick = 100 // ms
	for ctx.Err() == nil {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, tick)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}

// finish ends a lane's file.
func (e *engine) finish(i int, err error) {
	l := &e.lanes[i]
	f := &e.files[l.number-e.first]
	sum := e.streams.Sum(i, l.rest)
	if err == nil {
		f.Sum, f.Size = sum, l.read
	}
	f.Err, f.done = err, true
	e.bytes += int64(len(l.rest))
	l.busy, l.rest = false, nil
	e.busy--
	e.alone = false
}
