package sum

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/sm3"
)

// File is what became of a file.
type File struct {
	Name string
	Sum  [sm3.Size]byte
	Size int64 // bytes that were hashed
	// Err says why there is no hash; it is a *fs.PathError of a system call.
	Err error
}

// More says what a Source has.
type More int

// What a Source has: a name, none before the files that it gave are done, or no more.
const (
	Next More = iota
	Wait
	End
)

// Source gives the names of files one by one; "-" is standard input.
type Source func() (name string, more More)

// Names is a Source of these names.
func Names(names []string) Source {
	return func() (string, More) {
		if len(names) == 0 {
			return "", End
		}
		name := names[0]
		names = names[1:]
		return name, Next
	}
}

// Options of Files; the zero value works.
type Options struct {
	// Stdin is what "-" reads; nil means os.Stdin.
	Stdin *os.File
	// Progress is told often how many files and bytes are hashed.
	Progress func(files int, bytes int64)
	// Idle is called before a read that may take long: of what is no regular file.
	Idle func() error
}

// window is how many files at most wait for an earlier one to be done.
const window = 4096

// engine is a run of Files.
type engine struct {
	opt     Options
	source  Source
	done    func(*File) error
	streams *sm3.Streams
	lanes   [sm3.Width]lane
	pieces  [sm3.Width][]byte
	busy    int // lanes with a file
	// apart is an open file that waits until all others are done; alone says that there is
	// one on a lane.
	apart *opened
	alone bool
	over  bool // the source has no more

	first int // number of the oldest file that was not given to done
	files []result
	bytes int64
	stat  unix.Stat_t // not on the heap for each file
}

type result struct {
	File
	done bool
}

// Files hashes the files of a source, and gives each to done in the order of the source.
// The File is done's for the length of the call. It ends with the first error of done or of
// ctx; files that cannot be read are no error of it. It allocates about 1 MiB.
func Files(ctx context.Context, source Source, opt Options, done func(*File) error) error {
	if opt.Stdin == nil {
		opt.Stdin = os.Stdin
	}
	e := &engine{opt: opt, source: source, done: done, streams: sm3.NewStreams()}
	const room = piece + spare
	space := make([]byte, sm3.Width*room)
	for i := range e.lanes {
		e.lanes[i].buf = space[i*room:][:room:room]
	}
	defer e.close()
	for {
		if err := e.fill(ctx); err != nil {
			return err
		}
		if err := e.give(); err != nil {
			return err
		}
		if e.busy == 0 && e.apart == nil && e.over {
			return nil
		}
		n := e.streams.Write(&e.pieces)
		for i, p := range e.pieces {
			if len(p) > 0 {
				e.pieces[i] = p[n:]
				e.bytes += int64(n)
			}
		}
		if opt.Progress != nil {
			opt.Progress(e.first, e.bytes)
		}
	}
}

// close closes what a run that ended early left open.
func (e *engine) close() {
	for i := range e.lanes {
		e.lanes[i].close()
	}
	if e.apart != nil {
		e.apart.close()
	}
}

// give hands on the results at the head of the line.
func (e *engine) give() error {
	n := 0
	for n < len(e.files) && e.files[n].done {
		if err := e.done(&e.files[n].File); err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return nil
	}
	e.first += n
	e.files = append(e.files[:0], e.files[n:]...)
	return nil
}
