package trt

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/anole-os/anole/tcprt"
)

// Header says where and when a recording was made.
type Header struct {
	Created time.Time     `json:"created"`
	Host    string        `json:"host,omitempty"`
	Kernel  string        `json:"kernel,omitempty"`
	Tier    string        `json:"tier,omitempty"`
	Offset  time.Duration `json:"offset_ns"` // Unix time of a record's times, which are CLOCK_MONOTONIC's
}

// Named is a service and what people call it.
type Named struct {
	Role   string      `json:"role"`
	Port   uint16      `json:"port"`
	NetNS  uint32      `json:"netns"`
	Cgroup uint64      `json:"cgroup"`
	Names  tcprt.Names `json:"names"`
}

const (
	magic      = "ANOLETRT"
	frameMagic = "TRTF"
	version    = 1
	headLength = 20 // of the file's head, and of a frame's

	kindRecords = 1
	kindNames   = 2
	kindLost    = 3 // how many records there was no room for until now, a uvarint

	// blockOf is how many records a frame has at most; maxFrame bounds what is read
	// of one that somebody else wrote.
	blockOf  = 4096
	maxFrame = 4 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer writes a recording. What was added is in the file after Flush, which it does
// by itself each 4096 records; of a process that is killed then, nothing of that is
// lost. It is for one goroutine at a time.
type Writer struct {
	w    io.Writer
	z    *zstd.Encoder
	rows rows
	out  []byte
	raw  []byte
	lost uint64
	err  error
}

// NewWriter writes the header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	// A window of about a block, of which it keeps two: the level's own is of 4 MiB.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(256<<10))
	if err != nil {
		return nil, fmt.Errorf("open compressor: %w", err)
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	b := append([]byte(magic), version, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, castagnoli))
	if _, err := w.Write(append(b, body...)); err != nil {
		return nil, fmt.Errorf("write recording: %w", err)
	}
	return &Writer{w: w, z: z, rows: rows{conns: map[conn]uint64{}, words: map[string]uint64{}}}, nil
}

// Add takes a record. An error is of writing, and is given from then on.
func (w *Writer) Add(r *tcprt.Record) error {
	if w.err != nil {
		return w.err
	}
	w.rows.add(r)
	if w.rows.n == blockOf {
		return w.Flush()
	}
	return nil
}

// Flush writes what was added.
func (w *Writer) Flush() error {
	if w.err != nil || w.rows.n == 0 {
		return w.err
	}
	w.raw = binary.AppendUvarint(w.raw[:0], uint64(w.rows.n))
	w.raw = append(w.raw, w.rows.b...)
	w.rows.reset()
	return w.frame(kindRecords, w.raw)
}

// Names writes what people call services.
func (w *Writer) Names(all []Named) error {
	if err := w.Flush(); err != nil {
		return err
	}
	b, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("encode names: %w", err)
	}
	return w.frame(kindNames, b)
}

// Lost writes how many records the recording lacks until now, as there was no room for
// them, if they are more than it was told of before.
func (w *Writer) Lost(n uint64) error {
	if n <= w.lost {
		return w.err
	}
	w.lost = n
	if err := w.Flush(); err != nil {
		return err
	}
	return w.frame(kindLost, binary.AppendUvarint(nil, n))
}

// frame writes one with one call, so that a process that is killed leaves a whole one
// or a torn last one.
func (w *Writer) frame(kind byte, raw []byte) error {
	b := w.out[:0]
	b = append(b, frameMagic...)
	b = append(b, kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(raw)))
	b = append(b, make([]byte, 8)...)
	b = w.z.EncodeAll(raw, b)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(b)-headLength))
	sum := crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[headLength:])
	binary.LittleEndian.PutUint32(b[16:], sum)
	w.out = b
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("write recording: %w", err)
	}
	return w.err
}

// Close flushes. It does not close what it writes to.
func (w *Writer) Close() error {
	err := w.Flush()
	_ = w.z.Close()
	return err
}
