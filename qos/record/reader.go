package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/zstd"
)

// maxLine bounds a line: some 100,000 workloads in one step.
const maxLine = 16 << 20

// Error is a line that cannot be right.
type Error struct {
	Name string // of the file
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d: %v", e.Name, e.Line, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Reader reads a recording line by line and refuses what no Writer writes.
type Reader struct {
	name string
	sc   *bufio.Scanner
	line int
	head *Header
	here map[uint64]bool
	last int64
	torn bool
	free []func()
}

// Open reads the recording in a file, compressed or not.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	r, err := NewReader(f, path)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	r.free = append(r.free, func() { _ = f.Close() })
	return r, nil
}

// zstdMagic begins a frame (RFC 8878, section 3.1.1).
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// NewReader reads a recording and its header; name is for errors.
func NewReader(src io.Reader, name string) (*Reader, error) {
	r := &Reader{name: name, here: map[uint64]bool{}, last: -1}
	in := bufio.NewReader(src)
	src = in
	if magic, _ := in.Peek(len(zstdMagic)); bytes.Equal(magic, zstdMagic) {
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		r.free = append(r.free, z.Close)
		src = z
	}
	r.sc = bufio.NewScanner(src)
	r.sc.Buffer(make([]byte, 0, 64<<10), maxLine)
	r.sc.Split(r.split)
	l, err := r.Next()
	switch {
	case errors.Is(err, io.EOF):
		err = &Error{name, 1, errors.New("it is empty: a recording begins with a header")}
	case err == nil && l.Header == nil:
		err = &Error{name, 1, errors.New("no header: this is no recording of anole qos record")}
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// split is bufio.ScanLines that marks a last line without an end.
func (r *Reader) split(data []byte, eof bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if !eof || len(data) == 0 {
		return 0, nil, nil
	}
	r.torn = true
	return len(data), nil, nil
}

// Header is the first line.
func (r *Reader) Header() *Header { return r.head }

// Torn says, after io.EOF, that the recording was cut off: its last line, or its
// last compressed block, is not whole and was left out.
func (r *Reader) Torn() bool { return r.torn }

// Next gives the next line, io.EOF after the last.
func (r *Reader) Next() (*Line, error) {
	for {
		if !r.sc.Scan() {
			return nil, r.end()
		}
		if r.torn {
			return nil, io.EOF
		}
		r.line++
		if len(bytes.TrimSpace(r.sc.Bytes())) == 0 {
			continue
		}
		l, err := r.parse(r.sc.Bytes())
		if err != nil {
			return nil, &Error{r.name, r.line, err}
		}
		return l, nil
	}
}

// Wrong makes an error about the line that was read last.
func (r *Reader) Wrong(err error) error { return &Error{r.name, r.line, err} }

func (r *Reader) end() error {
	err := r.sc.Err()
	switch {
	case err == nil:
		return io.EOF
	case errors.Is(err, io.ErrUnexpectedEOF): // zstd: the writer was killed
		if r.torn = true; r.head != nil {
			return io.EOF
		}
		return &Error{r.name, r.line + 1, errors.New("it is cut off before its first line's end")}
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("the line is longer than %d bytes", maxLine)
	}
	return &Error{r.name, r.line + 1, err}
}

func (r *Reader) parse(b []byte) (*Line, error) {
	var l Line
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("not a line of a recording: %w", err)
	}
	set := 0
	for _, is := range []bool{l.Header != nil, l.Join != nil, l.Leave != 0, l.Policy != "", l.Step != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return nil, fmt.Errorf("%d of header, join, leave, policy and step where one is wanted", set)
	}
	return &l, r.check(&l)
}

// check holds a line against those before it.
func (r *Reader) check(l *Line) error {
	switch {
	case l.Header != nil:
		return r.checkHeader(l.Header)
	case r.head == nil:
		return errors.New("no header: this is no recording of anole qos record")
	case l.Join != nil:
		switch j := l.Join; {
		case j.Workload.Ino == 0, j.Workload.ID == "":
			return errors.New("join: a workload without inode or id")
		case j.Learned < 0, j.Share < 0, j.Share > 1<<20:
			return fmt.Errorf("join: workload %d: a value is out of range", j.Workload.Ino)
		}
		r.here[l.Join.Workload.Ino] = true
	case l.Leave != 0:
		if !r.here[l.Leave] {
			return fmt.Errorf("leave: workload %d has not joined", l.Leave)
		}
		delete(r.here, l.Leave)
	case l.Step != nil:
		return r.checkStep(l.Step)
	}
	return nil
}

func (r *Reader) checkHeader(h *Header) error {
	switch {
	case r.head != nil:
		return errors.New("a second header")
	case h.Version != Version:
		return fmt.Errorf("format %d; this anole reads format %d", h.Version, Version)
	case !(h.CPUs >= 1 && h.CPUs <= 1<<20):
		return fmt.Errorf("header: %v CPUs", h.CPUs)
	case h.State.Feedback != nil && !(h.State.Feedback.Share > 0 && h.State.Feedback.Share <= 1 && h.State.Feedback.Used >= 0):
		return errors.New("header: a value of the state is out of range")
	case h.State.Pending < 0, h.State.Pending > 1, h.State.Others < 0, h.State.Leapt < 0, h.State.Cap != nil && *h.State.Cap < 0:
		return errors.New("header: a value of the state is out of range")
	}
	r.head = h
	return nil
}

func (r *Reader) checkStep(s *Step) error {
	if s.At < 0 || s.At < r.last {
		return fmt.Errorf("step at %d ns, after one at %d ns", s.At, r.last)
	}
	r.last = s.At
	for name, v := range map[string]*float64{"busy": s.Busy, "steal": s.Steal, "pressure": s.Pressure, "cap": s.Cap} {
		if v != nil && (*v < 0 || *v > 1<<20) {
			return fmt.Errorf("step: %s %v is out of range", name, *v)
		}
	}
	if s.RunQueue != nil && s.RunQueue.P99 < 0 {
		return fmt.Errorf("step: p99 of %d ns", s.RunQueue.P99)
	}
	if s.CPI != nil && !(s.CPI.Factor >= 0 && s.CPI.Factor <= 1<<20) {
		return fmt.Errorf("step: CPI factor %v is out of range", s.CPI.Factor)
	}
	for i := range s.Slow {
		if x := &s.Slow[i]; !r.here[x.Ino] {
			return fmt.Errorf("step: a slow service of workload %d, which has not joined", x.Ino)
		} else if x.ID == "" || x.P99 < 0 || x.Usual < 0 {
			return fmt.Errorf("step: slow service %d is not whole", i+1)
		}
	}
	for i := range s.Samples {
		if err := r.checkSample(&s.Samples[i]); err != nil {
			return err
		}
	}
	for i := range s.Looks {
		if l := &s.Looks[i]; l.Controller == "" || l.Of == "" || len(l.In) == 0 || len(l.Out) == 0 {
			return fmt.Errorf("step: look %d is not whole", i+1)
		}
	}
	for _, ino := range s.Grants {
		if !r.here[ino] {
			return fmt.Errorf("step: a grant for workload %d, which has not joined", ino)
		}
	}
	return nil
}

func (r *Reader) checkSample(s *Sample) error {
	if !r.here[s.Ino] {
		return fmt.Errorf("step: workload %d has not joined", s.Ino)
	}
	bad := s.Used < 0 || s.Used > 1<<20 || s.Delta < 0 || s.Stalled < 0 || s.SpinUse < 0 || s.Share < 0 || s.Throttled > math.MaxInt32 || s.Periods > math.MaxInt32
	if bad || s.Limit != nil && (*s.Limit < 0 || *s.Limit > 1<<20) {
		return fmt.Errorf("step: workload %d: a value is out of range", s.Ino)
	}
	return nil
}

// Close lets go of the file.
func (r *Reader) Close() {
	for i := len(r.free) - 1; i >= 0; i-- {
		r.free[i]()
	}
	r.free = nil
}
