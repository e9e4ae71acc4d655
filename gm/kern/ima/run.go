package ima

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/anole-os/anole/gm/sm3"
)

// A batch has files that are hashed side by side; one that is large is on its own.
const (
	batchFiles = 64
	batchBytes = 4 << 20
	large      = 1 << 20
)

// Options are of Run. The zero value is for single files with attributes.
type Options struct {
	Recursive    bool // folders may be named, for all below them
	CrossDevices bool // go into other file systems too
	Place        Place
	Workers      int // 0 is as many as there are processors, 16 at most
	Count        *Count
	// Each, if set, is given every file's result, in no order, one at a time.
	Each func(Result)
}

// Count is how far a Run has come. It may be read at any time.
type Count struct{ Files, Bytes atomic.Int64 }

// Result is what became of one file.
type Result struct {
	Path  string
	Size  int64
	State State
	Label Label // what VerifyWork found and HashWork made
	Err   error
}

// Summary counts.
type Summary struct {
	Files   int64           `json:"files"`
	Bytes   int64           `json:"bytes"` // that were hashed
	States  map[State]int64 `json:"states"`
	Failed  int64           `json:"failed"`
	Links   int64           `json:"links"`   // further names of files that were done
	Skipped int64           `json:"skipped"` // what is no regular file
	Mounts  int64           `json:"mounts"`  // folders of other file systems, not gone into
}

// runner is one Run.
type runner struct {
	ctx   context.Context
	work  Work
	o     Options
	count *Count
	mu    sync.Mutex // of sum and Each
	sum   Summary
}

// Run does the work with files, and with Recursive with all files below folders. Symbolic
// links are not followed, and what is no regular file is left out. What fails of a file
// is in its Result; Run's own error is of the context, which ends the work between two
// files. Killed at any moment, a file has its old label or its new one.
func Run(ctx context.Context, paths []string, work Work, o Options) (Summary, error) {
	if o.Workers <= 0 {
		o.Workers = min(runtime.GOMAXPROCS(0), 16)
	}
	r := &runner{ctx: ctx, work: work, o: o, count: cmp.Or(o.Count, &Count{}), sum: Summary{States: map[State]int64{}}}
	batches := make(chan []*file, o.Workers)
	var workers sync.WaitGroup
	for range o.Workers {
		workers.Go(func() {
			for b := range batches {
				r.batch(b)
			}
		})
	}
	var found Summary // the walker's own, so that it needs no lock
	w := &walker{ctx: ctx, o: &o, out: batches, seen: map[inode]struct{}{}, sum: &found, fail: func(path string, err error) {
		r.result(Result{Path: path, State: Failed, Err: err})
	}}
	for _, p := range paths {
		if err := w.root(p); err != nil {
			w.fail(p, err)
		}
	}
	w.flush()
	close(batches)
	workers.Wait()
	r.sum.Links, r.sum.Skipped, r.sum.Mounts = found.Links, found.Skipped, found.Mounts
	r.sum.Bytes = r.count.Bytes.Load()
	if ctx.Err() != nil {
		return r.sum, context.Cause(ctx)
	}
	if r.sum.States[Signed]+r.sum.States[Labelled]+r.sum.States[Cleared] > 0 {
		for _, p := range paths {
			_ = settle(p) // what fails here the file system tells of later
		}
	}
	return r.sum, nil
}

func (r *runner) result(res Result) {
	r.count.Files.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Files++
	r.sum.States[res.State]++
	if res.Err != nil {
		r.sum.Failed++
	}
	if r.o.Each != nil {
		r.o.Each(res)
	}
}

// part is a file of a batch and what is known of it.
type part struct {
	*file
	algo   Algo
	text   []byte
	digest []byte
}

var arenas = sync.Pool{New: func() any { b := make([]byte, 0, batchBytes+large+batchFiles); return &b }}

// batch works on files: those of SM3 that are not large are hashed side by side.
func (r *runner) batch(files []*file) {
	arena := arenas.Get().(*[]byte)
	defer func() {
		*arena = (*arena)[:0]
		arenas.Put(arena)
	}()
	var parts []*part
	for _, f := range files {
		if r.ctx.Err() != nil {
			f.close()
			continue
		}
		p := &part{file: f}
		if err := r.read(p, arena); err != nil {
			r.done(p, Failed, err)
			continue
		}
		parts = append(parts, p)
	}
	sumTogether(parts)
	for _, p := range parts {
		state, err := r.finish(p)
		r.done(p, state, err)
	}
}

func (r *runner) done(p *part, state State, err error) {
	r.result(Result{Path: p.path, Size: p.st.Size, State: state, Label: p.label, Err: err})
	p.close()
}

// read opens a file, reads it into the arena or hashes it at once.
func (r *runner) read(p *part, arena *[]byte) (err error) {
	if err = p.open(); err != nil {
		return err
	}
	if p.algo, err = r.work.begin(p.file); err != nil || p.algo == 0 {
		return err
	}
	// The walk's size was for the arena; it may have grown.
	size := int(min(p.st.Size, large+1))
	if p.algo != SM3 || p.st.Size > large || cap(*arena)-len(*arena) < size+1 {
		return r.stream(p)
	}
	begin := len(*arena)
	*arena = (*arena)[:begin+size+1]
	n, err := io.ReadFull(p.fd, (*arena)[begin:])
	switch {
	case err == nil: // there is more than there was
		return errChanging
	case !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		return fmt.Errorf("read: %w", err)
	case n != size:
		return errChanging
	}
	p.text = (*arena)[begin : begin+n : begin+n]
	copy(p.start[:], p.text)
	r.count.Bytes.Add(int64(n))
	return nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// stream hashes a file on its own.
func (r *runner) stream(p *part) error {
	h := p.algo.New()
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	for got := 0; ; {
		if err := context.Cause(r.ctx); err != nil {
			return err
		}
		n, err := p.fd.Read(*b)
		h.Write((*b)[:n])
		got += copy(p.start[got:], (*b)[:n])
		r.count.Bytes.Add(int64(n))
		if errors.Is(err, io.EOF) {
			p.digest = h.Sum(nil)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
}

// sumTogether hashes what is in memory.
func sumTogether(parts []*part) {
	var texts [][]byte
	var of []*part
	for _, p := range parts {
		if p.text != nil {
			texts, of = append(texts, p.text), append(of, p)
		}
	}
	sums := make([][sm3.Size]byte, len(texts))
	sm3.SumMany(sums, texts)
	for i, p := range of {
		p.digest = sums[i][:]
		p.text = nil
	}
}

func (r *runner) finish(p *part) (State, error) {
	if p.algo != 0 {
		if err := p.still(); err != nil {
			return Failed, err
		}
	}
	return r.work.end(p.file, p.digest)
}

// Hash reads to the end and gives the digest.
func Hash(in io.Reader, a Algo) ([]byte, error) {
	if !a.Known() {
		return nil, fmt.Errorf("%w: %v", ErrAlgo, a)
	}
	h := a.New()
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{in}, *b); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return slices.Clip(h.Sum(nil)), nil
}
