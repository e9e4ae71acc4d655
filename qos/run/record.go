package run

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

// recordVersion is the format of records.
const recordVersion = 1

// record says which process a workload's cgroups belong to. It is on disk from
// before the first of them exists until after the last is gone.
type record struct {
	Version int         `json:"version"`
	Class   class.Class `json:"class"`
	Name    string      `json:"name"`
	PID     int         `json:"pid"`     // of the runner
	Start   uint64      `json:"start"`   // its start time, clock ticks since boot
	BootID  string      `json:"boot_id"` // start times mean nothing after a reboot
	Cgroups []string    `json:"cgroups"` // directories, absolute
	// Burst is what the run asked for, for the agent; absent where it said nothing.
	Burst qos.BurstMode `json:"burst,omitzero"`
	// Labels are those of the run, for the agent's rules; absent without any.
	Labels map[string]string `json:"labels,omitempty"`
}

// maxRecord bounds what is read of a record file.
const maxRecord = 64 << 10

// errVersion marks a record that a newer anole wrote.
var errVersion = errors.New("a newer anole wrote it")

// parseRecord reads a record. What it accepts names only directories of the
// form …/anole-<class>/<name>, so that a sweep can never touch another cgroup.
func parseRecord(b []byte) (*record, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	if head.Version > recordVersion {
		return nil, fmt.Errorf("parse record of version %d: %w", head.Version, errVersion)
	}
	r := &record{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("parse record: %w", err)
	}
	return r, nil
}

func (r *record) check() error {
	switch {
	case r.Version != recordVersion:
		return fmt.Errorf("version %d, want %d", r.Version, recordVersion)
	case !validName(r.Name):
		return fmt.Errorf("bad name %q", r.Name)
	case !r.Class.Sensitive() && r.Class != class.BE:
		return fmt.Errorf("bad class %v", r.Class)
	case r.PID <= 0 || r.Start == 0 || r.BootID == "":
		return errors.New("no process")
	case len(r.Cgroups) == 0 || len(r.Cgroups) > 64:
		return fmt.Errorf("%d cgroups", len(r.Cgroups))
	}
	tail := homeOf(r.Class) + "/" + r.Name
	for _, c := range r.Cgroups {
		if !filepath.IsAbs(c) || filepath.Clean(c) != c || !strings.HasSuffix(c, tail) {
			return fmt.Errorf("bad cgroup %q", c)
		}
	}
	return nil
}

func homeOf(c class.Class) string { return "/anole-" + strings.ToLower(c.String()) }

// id names the workload to people.
func (r *record) id() string { return strings.TrimPrefix(homeOf(r.Class), "/") + "/" + r.Name }

func (r *record) file(runDir string) string {
	return filepath.Join(recordDir(runDir), strings.ToLower(r.Class.String())+"."+r.Name+".json")
}

func recordDir(runDir string) string { return filepath.Join(runDir, "run") }

// newRecord makes the record of a workload of this process.
func newRecord(c class.Class, name string, cgroups []string) (*record, error) {
	pid := os.Getpid()
	start, err := procfs.StartTime(pid)
	if err != nil {
		return nil, fmt.Errorf("read own start time: %w", err)
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	r := &record{Version: recordVersion, Class: c, Name: name, PID: pid, Start: start, BootID: boot, Cgroups: cgroups}
	return r, r.check()
}

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// claim writes the record, whole or not at all, unless there is one of that
// name: then the error wraps fs.ErrExist. It is not synced to disk: after a
// power loss the cgroups are gone as well.
func (r *record) claim(runDir string) error {
	dir := recordDir(runDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := linkUnnamed(dir, b, r.file(runDir)); !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return err
	}
	return linkNamed(dir, b, r.file(runDir))
}

// linkUnnamed writes a file that has no name until it is whole, so that a kill
// leaves nothing (O_TMPFILE, open(2)).
func linkUnnamed(dir string, b []byte, path string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		return err
	}
	err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	if err != nil {
		return &os.LinkError{Op: "link", Old: dir, New: path, Err: err}
	}
	return nil
}

// linkNamed is for file systems without unnamed files; what a kill leaves is
// dropped by a later Sweep.
func linkNamed(dir string, b []byte, path string) error {
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}

// alive says whether the runner still runs. A zombie does not: its parent has
// just not looked yet.
func (r *record) alive(boot string) bool {
	if r.BootID != boot {
		return false
	}
	start, err := procfs.StartTime(r.PID)
	if err != nil || start != r.Start {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(r.PID) + "/stat")
	if err != nil {
		return false
	}
	state := bytes.TrimLeft(b[bytes.LastIndexByte(b, ')')+1:], " ")
	return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
}

// held is a record file locked for clean-up. The lock makes guard, sweeps and
// the next run of the name take turns: the one that comes second finds the file
// gone, and cannot mistake a new workload for the old one.
type held struct {
	path string
	f    *os.File
}

// errGone says that a record is no longer there.
var errGone = errors.New("the record is gone")

func openRecord(path string) (*held, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errGone
	}
	if err != nil {
		return nil, err
	}
	return &held{path, f}, nil
}

// lock locks the record. Without wait, one that is locked is
// unix.EWOULDBLOCK; one that was removed or replaced is errGone.
func (h *held) lock(wait bool) (err error) {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		if err = unix.Flock(int(h.f.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil && !sameFile(h.f, h.path) {
		err = errGone
	}
	return err
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

func (h *held) read() (*record, error) {
	b := make([]byte, maxRecord+1)
	n, err := h.f.ReadAt(b, 0)
	if n == 0 && err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if n > maxRecord {
		return nil, errors.New("parse record: too long")
	}
	return parseRecord(b[:n])
}

// clean removes the workload and then the record.
func (h *held) clean(r *record, boot string) error {
	if r.BootID == boot {
		if err := removeAll(r.Cgroups); err != nil {
			return err
		}
	}
	return h.drop()
}

func (h *held) drop() error {
	if err := os.Remove(h.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record: %w", err)
	}
	return nil
}

func (h *held) release() { _ = h.f.Close() }

// stale is the age at which a temporary file was surely left by a kill.
const stale = time.Hour

// Bank gives the burst that the run in the cgroup at path ("/anole-ls/web")
// asked for; ok is false when it asked for none or is no run of anole.
func Bank(runDir, path string) (mode qos.BurstMode, ok bool) {
	r := recordAt(runDir, path)
	if r == nil {
		return qos.BurstMode{}, false
	}
	return r.Burst, r.Burst.Set
}

// recordAt gives the record of the run in the cgroup at path, nil when there is
// none or it cannot be read. A path of no run costs no look at the disk.
func recordAt(runDir, path string) *record {
	home, name, found := strings.Cut(strings.TrimPrefix(path, "/anole-"), "/")
	c, err := class.Parse(home)
	if !found || err != nil || !validName(name) {
		return nil
	}
	b, err := os.ReadFile((&record{Class: c, Name: name}).file(runDir))
	if err != nil || len(b) > maxRecord {
		return nil
	}
	r, err := parseRecord(b)
	if err != nil {
		return nil
	}
	return r
}
