package memory

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
)

// Info is what the controllers need of /proc/meminfo, proc_meminfo(5).
type Info struct {
	Total     uint64
	Free      uint64 // used for nothing
	Available uint64 // what a new program could get without swapping
	Swap      uint64 // size of all swap
}

// ParseInfo reads /proc/meminfo without allocating. All four lines must be
// there (MemAvailable came with Linux 3.14).
func ParseInfo(b []byte, i *Info) error {
	*i = Info{}
	seen := 0
	for len(b) > 0 && seen < 4 {
		var line []byte
		line, b = cut(b, '\n')
		key, value := cut(line, ':')
		var to *uint64
		switch string(key) {
		case "MemTotal":
			to = &i.Total
		case "MemFree":
			to = &i.Free
		case "MemAvailable":
			to = &i.Available
		case "SwapTotal":
			to = &i.Swap
		default:
			continue
		}
		n, err := cgroup.Uint(bytes.TrimSuffix(value, []byte("kB")))
		if err != nil || n > None>>10 {
			return fmt.Errorf("parse /proc/meminfo: bad line %q", clip(line))
		}
		*to = n << 10
		seen++
	}
	if seen < 4 {
		return errors.New("parse /proc/meminfo: no line MemTotal, MemFree, MemAvailable or SwapTotal")
	}
	return nil
}

// ParseWatermarks sums the "high" watermarks of all zones in /proc/zoneinfo, in
// pages: kswapd reclaims until that much is free.
func ParseWatermarks(b []byte) (high uint64, err error) {
	for len(b) > 0 {
		var line []byte
		line, b = cut(b, '\n')
		f := bytes.Fields(line)
		if len(f) != 2 || string(f[0]) != "high" {
			continue // the pages of per-CPU lists are told as "high:"
		}
		n, err := cgroup.Uint(f[1])
		if err != nil || n > None>>20 || high > None>>20 {
			return 0, fmt.Errorf("parse /proc/zoneinfo: bad line %q", clip(line))
		}
		high += n
	}
	return high, nil
}

// Host reads the node's memory. It is not safe for concurrent use.
type Host struct {
	Info
	// High is what kswapd keeps free, 0 where it is not told.
	High uint64
	// Pressure is the node's PSI memory since boot; Stalls says that it is told.
	Pressure cgroup.Pressure
	Stalls   bool

	info, psi *os.File
	root      string
	looked    time.Time // when the watermarks were read
	buf       [4096]byte
}

// OpenHost opens root/proc/meminfo and, where there is one, the node's PSI.
func OpenHost(root string) (*Host, error) {
	f, err := os.Open(root + "/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("read node memory: %w", err)
	}
	h := &Host{info: f, root: root}
	if h.psi, err = os.Open(root + "/proc/pressure/memory"); err != nil {
		h.psi = nil
	}
	return h, nil
}

// watermarksEvery is how often the zones' watermarks are read: they change by
// sysctl and with hot-plugged memory.
const watermarksEvery = time.Minute

// Read brings everything up to now.
func (h *Host) Read(now time.Time) error {
	b, err := h.pread(h.info)
	if err == nil {
		err = ParseInfo(b, &h.Info)
	}
	if err != nil {
		return fmt.Errorf("read node memory: %w", err)
	}
	h.Stalls = false
	if h.psi != nil {
		if b, err := h.pread(h.psi); err == nil { // EOPNOTSUPP with PSI switched off
			h.Stalls = cgroup.ParsePressure(b, &h.Pressure) == nil
		}
	}
	if d := now.Sub(h.looked); d >= watermarksEvery || d < 0 {
		h.looked = now
		h.watermarks()
	}
	return nil
}

func (h *Host) watermarks() {
	b, err := os.ReadFile(h.root + "/proc/zoneinfo")
	if err != nil {
		return
	}
	if pages, err := ParseWatermarks(b); err == nil {
		h.High = pages * uint64(os.Getpagesize())
	}
}

func (h *Host) pread(f *os.File) ([]byte, error) {
	n, err := unix.Pread(int(f.Fd()), h.buf[:], 0)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: f.Name(), Err: err}
	}
	return h.buf[:n], nil
}

// Close closes the files.
func (h *Host) Close() error {
	if h.psi != nil {
		_ = h.psi.Close()
	}
	return h.info.Close()
}
