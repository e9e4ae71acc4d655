package enforce

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/kern/ima"
)

// settled is how old a change must be to be told from one that comes now: the kernel's
// clock for files goes in steps of some milliseconds.
const settled = 100 * time.Millisecond

// tries is how often a file that changes is read.
const tries = 3

// content reads from an event's file, which is the one that would be executed.
type content struct {
	ctx context.Context
	fd  int
	at  int64
}

func (c *content) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := unix.Pread(c.fd, b, c.at)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Pread(c.fd, b, c.at)
	}
	if err != nil {
		return 0, err
	}
	c.at += int64(n)
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// examine reads a file and says what is known of it then, and whether that may be kept.
// A lease keeps writers out meanwhile. Where it cannot be had there is a writer, who may
// change a page of a mapping without the kernel noting the time: such a verdict is not
// kept. Nor is one of a file that was changed just now, which could be changed again
// within the same tick.
func (e *Enforcer) examine(ctx context.Context, fd int, exec bool) (k key, v verdict, keep bool) {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	leased := err == nil
	if leased {
		defer func() { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK) }()
	}
	for range tries {
		var before, after unix.Stat_t
		if err := unix.Fstat(fd, &before); err != nil {
			return k, trouble(err), false
		}
		v := e.check(ctx, fd, exec)
		if err := unix.Fstat(fd, &after); err != nil {
			return k, trouble(err), false
		}
		if k = keyOf(&after); k == keyOf(&before) {
			age := time.Since(time.Unix(after.Ctim.Unix()))
			return k, v, leased && age > settled && v.reason != Trouble
		}
	}
	return k, verdict{checked: true, elf: true, reason: Changing}, false
}

func trouble(err error) verdict {
	return verdict{checked: true, elf: true, reason: Trouble, detail: err.Error()}
}

func (e *Enforcer) check(ctx context.Context, fd int, exec bool) verdict {
	c := &content{ctx: ctx, fd: fd}
	var magic [4]byte
	n, err := io.ReadFull(c, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return trouble(fmt.Errorf("read: %w", err))
	}
	v := verdict{elf: n == len(magic) && string(magic[:]) == "\x7fELF"}
	if !exec && !v.elf {
		return v
	}
	v.checked = true
	c.at = 0
	if err := e.label(c); err != nil {
		v.reason, v.detail = reasonOf(err), err.Error()
	}
	return v
}

// label checks security.ima against the content.
func (e *Enforcer) label(c *content) error {
	l, err := ima.Read(c.fd, e.o.Place)
	if err != nil {
		return err
	}
	switch {
	case l.Type == ima.TypePortable:
		return ima.ErrMalformed
	case l.Type == ima.TypeDigest && !e.o.Digests:
		return ima.ErrUnsigned
	}
	digest, err := ima.Hash(c, l.Algo)
	if err != nil {
		return err
	}
	return e.o.Keys.Verify(l, digest)
}

func reasonOf(err error) Reason {
	for _, c := range []struct {
		err    error
		reason Reason
	}{
		{ima.ErrUnlabelled, Unlabelled},
		{ima.ErrUnsigned, Unsigned},
		{ima.ErrUnknownKey, UnknownKey},
		{ima.ErrMismatch, Mismatch},
		{ima.ErrMalformed, Malformed},
		{ima.ErrAlgo, Malformed},
		{unix.ENOTSUP, Unlabelled}, // the file system has no attributes
	} {
		if errors.Is(err, c.err) {
			return c.reason
		}
	}
	return Trouble
}
