package trt

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/anole-os/anole/tcprt"
)

// ErrFormat is of what is no recording at all.
var ErrFormat = errors.New("it is no recording of TCP requests (.trt)")

// DamagedError says what could not be read of a recording. All else was.
type DamagedError struct {
	Offset int64 // of the first damage
	Frame  int   // how many frames were read before it
	Bytes  int64 // that were passed over in all
	Why    string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("the recording is damaged at byte %d, after %d good frames: %s; %d bytes were passed over, all other records are there", e.Offset, e.Frame, e.Why, e.Bytes)
}

// Reader reads a recording. It is for one goroutine at a time.
type Reader struct {
	r      *bufio.Reader
	z      *zstd.Decoder
	header Header
	names  map[tcprt.Service]tcprt.Names
	at     int64
	frames int
	raw    []byte
	rows   row
	lost   uint64
	harm   *DamagedError
}

// NewReader reads the header.
func NewReader(r io.Reader) (*Reader, error) {
	in := &Reader{r: bufio.NewReaderSize(r, maxFrame+headLength), names: map[tcprt.Service]tcprt.Names{}}
	head, err := in.r.Peek(headLength)
	if err != nil || string(head[:8]) != magic {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read recording: %w", err)
		}
		return nil, ErrFormat
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != version {
		return nil, fmt.Errorf("read recording: it is of version %d, want %d", v, version)
	}
	n, sum := binary.LittleEndian.Uint32(head[12:]), binary.LittleEndian.Uint32(head[16:])
	if n > 1<<16 {
		return nil, ErrFormat
	}
	all, err := in.r.Peek(headLength + int(n))
	if err != nil {
		return nil, fmt.Errorf("read recording: its header is cut off: %w", ErrFormat)
	}
	if body := all[headLength:]; crc32.Checksum(body, castagnoli) != sum || json.Unmarshal(body, &in.header) != nil {
		return nil, fmt.Errorf("read recording: its header is damaged: %w", ErrFormat)
	}
	in.skip(len(all))
	if in.z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame)); err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return in, nil
}

// Header is the recording's.
func (r *Reader) Header() Header { return r.header }

// Names are of the services that were told of so far.
func (r *Reader) Names(s tcprt.Service) tcprt.Names { return r.names[s] }

// Lost is how many records the recording lacks, as far as it was read, as there was no
// room for them. Requests that were not to have a record are not among them.
func (r *Reader) Lost() uint64 { return r.lost }

func (r *Reader) skip(n int) {
	_, _ = r.r.Discard(n)
	r.at += int64(n)
}

// Each gives f all records; f must not keep the pointer. An error of f ends it. Of a
// damaged recording all is given that can be read, then a *DamagedError.
func (r *Reader) Each(f func(*tcprt.Record) error) error {
	defer r.z.Close()
	for {
		kind, raw, err := r.frame()
		switch {
		case errors.Is(err, io.EOF) && r.harm != nil:
			return r.harm
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch kind {
		case kindRecords:
			if err := r.block(raw, f); err != nil {
				return err
			}
		case kindNames:
			r.learn(raw)
		case kindLost:
			n, length := binary.Uvarint(raw)
			if length <= 0 {
				r.damaged(0, "a frame of losses: it is not as it should be")
				continue
			}
			r.lost = n
		}
	}
}

// block gives the records of a frame. Its sum was right: rows that are not as they
// should be are of another program.
func (r *Reader) block(raw []byte, f func(*tcprt.Record) error) error {
	r.rows = row{b: raw, conns: r.rows.conns[:0], words: r.rows.words[:0]}
	var rec tcprt.Record
	for n := r.rows.u(); n > 0; n-- {
		if err := r.rows.next(&rec); err != nil {
			r.damaged(0, err.Error())
			return nil
		}
		if err := f(&rec); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) learn(raw []byte) {
	var all []Named
	if err := json.Unmarshal(raw, &all); err != nil {
		r.damaged(0, "a frame of names: "+err.Error())
		return
	}
	for _, n := range all {
		s := tcprt.Service{Role: tcprt.Server, Port: n.Port, NetNS: n.NetNS, Cgroup: n.Cgroup}
		if n.Role == tcprt.Client.String() {
			s.Role = tcprt.Client
		}
		r.names[s] = n.Names
	}
}

func (r *Reader) damaged(bytes int, why string) {
	if r.harm == nil {
		r.harm = &DamagedError{Offset: r.at, Frame: r.frames, Why: why}
	}
	r.harm.Bytes += int64(bytes)
}

// frame gives the next whole one, or io.EOF.
func (r *Reader) frame() (kind byte, raw []byte, err error) {
	for {
		head, err := r.r.Peek(headLength)
		if len(head) == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				return 0, nil, io.EOF
			}
			return 0, nil, fmt.Errorf("read recording: %w", err)
		}
		if len(head) < headLength {
			r.damaged(len(head), "the end is cut off")
			r.skip(len(head))
			continue
		}
		length, n := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
		if string(head[:4]) != frameMagic || n > maxFrame || length > maxFrame {
			r.seek("no frame begins there")
			continue
		}
		all, err := r.r.Peek(headLength + int(n))
		if len(all) < headLength+int(n) {
			if err != nil && !errors.Is(err, io.EOF) {
				return 0, nil, fmt.Errorf("read recording: %w", err)
			}
			r.seek("the end is cut off")
			continue
		}
		sum := crc32.Update(crc32.Checksum(all[:16], castagnoli), castagnoli, all[headLength:])
		if sum != binary.LittleEndian.Uint32(all[16:]) {
			r.seek("the checksum of a frame is wrong")
			continue
		}
		if r.raw, err = r.z.DecodeAll(all[headLength:], r.raw[:0]); err != nil || len(r.raw) != int(length) {
			r.seek("a frame does not decompress")
			continue
		}
		kind := all[4]
		r.skip(len(all))
		r.frames++
		return kind, r.raw, nil
	}
}

// seek goes to where the next frame may begin.
func (r *Reader) seek(why string) {
	all, _ := r.r.Peek(r.r.Buffered())
	n := len(all)
	if i := bytes.Index(all[1:], []byte(frameMagic)); i >= 0 {
		n = i + 1
	} else if len(all) > len(frameMagic) { // which may be half there
		n = len(all) - len(frameMagic) + 1
	}
	r.damaged(n, why)
	r.skip(n)
}
