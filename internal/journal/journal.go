// Package journal remembers what the kernel's control files held before anole
// wrote to them, so that a stop, a revert, or the next start after kill -9 can
// put every byte back.
//
// The law is: record the old value, fsync, and only then write. A Journal
// enforces the first half; callers go through cgroup.Writer, which enforces
// the rest. One file, <dir>/journal, holds one line an entry: the CRC-32C of the JSON
// that follows, in eight hex digits, a space, and the JSON. A torn last line,
// which only a crash between write and fsync can leave, describes a write to
// the kernel that never took place and is dropped. Any other line whose sum is
// wrong was damaged on disk; it alone is lost.
package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Op says what an entry undoes.
type Op string

// Operations, each with what Restore does for it.
const (
	OpWrite Op = "write" // put Old back into Path
	OpMkdir Op = "mkdir" // move the tasks of cgroup Path to its parent and remove it
	OpSched Op = "sched" // give the threads of cgroup Path their scheduling policy back, as Old says
	// opForget ends the entry whose key is in Path. It is in files only. Without
	// it, a value that was restored or given up would come back after kill -9,
	// over what the node has been given since.
	opForget Op = "forget"
)

// Entry is one thing to undo.
type Entry struct {
	Op   Op     `json:"op"`
	Path string `json:"path,omitempty"`
	// Ino is the inode of the directory that holds Path when Old was read. A
	// cgroup that was removed and made anew has another, and is left alone.
	Ino   uint64 `json:"ino,omitempty"`
	Old   []byte `json:"old,omitempty"`
	Owner string `json:"owner,omitempty"` // the room that wrote, for people
	// Boot is the boot id under which the entry was made; after a reboot there
	// is nothing to undo.
	Boot string `json:"boot,omitempty"`
}

// Key identifies what an entry undoes: the first entry for a key wins.
func (e *Entry) Key() string {
	return fmt.Sprintf("%s %d %s", e.Op, e.Ino, e.Path)
}

// LockedError says that another process holds the journal.
type LockedError struct {
	Path string
	PID  int // 0 if it could not be told
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != 0 {
		who = "process " + strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("lock %s: %s holds it; one anole agent runs on a node: stop that one first", e.Path, who)
}

// Journal is an open journal. It is safe for concurrent use.
type Journal struct {
	dir  string
	boot string
	lock *os.File

	mu      sync.Mutex
	f       *os.File
	live    map[string]int // key → index into entries
	entries []*Entry       // nil where forgotten
	dead    int            // forgotten entries still in the file
}

const (
	fileName = "journal"
	lockName = "lock"
	// rewriteAt is the number of forgotten entries that makes Forget rewrite
	// the file: some 100 KiB of dead lines.
	rewriteAt = 512
)

// Open locks dir, making it if needed, and reads the journal in it. It fails
// with *LockedError when another process holds it. Entries of an earlier boot
// are dropped.
func Open(dir string) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make journal directory: %w", err)
	}
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, boot: bootID(), lock: lock, live: map[string]int{}}
	if err := j.load(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	return j, nil
}

func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		b, _ := io.ReadAll(io.LimitReader(f, 32))
		pid, _ := strconv.Atoi(string(b))
		return nil, &LockedError{Path: path, PID: pid}
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	return f, nil
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(b) < 36 {
		return ""
	}
	return string(b[:36])
}

// load reads the file and leaves it open for append, rewritten if it holds
// anything that is not live.
func (j *Journal) load() error {
	path := filepath.Join(j.dir, fileName)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read journal: %w", err)
	}
	entries, clean := parse(b)
	for _, e := range entries {
		switch {
		case e.Boot != j.boot:
			clean = false
		case e.Op == opForget:
			j.drop(e.Path)
		default:
			j.insert(e)
		}
	}
	if !clean || len(j.live) != len(entries) {
		return j.rewrite()
	}
	if j.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600); err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	return syncDir(j.dir)
}

func (j *Journal) insert(e *Entry) bool {
	k := e.Key()
	if _, ok := j.live[k]; ok {
		return false
	}
	j.live[k] = len(j.entries)
	j.entries = append(j.entries, e)
	return true
}

// drop takes the entry with key k, if there is one, out of the live ones.
func (j *Journal) drop(k string) {
	if i, ok := j.live[k]; ok {
		delete(j.live, k)
		j.entries[i] = nil
	}
}

// Record makes entries durable; when it returns nil they will be restored
// after any crash. An entry whose key is already recorded is ignored: the
// oldest value is the node's own. One call costs one fsync, or none when
// everything was known, so batch what belongs together.
func (j *Journal) Record(entries ...Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var buf []byte
	var err error
	fresh := make([]*Entry, 0, len(entries))
	for i := range entries {
		e := entries[i]
		e.Boot = j.boot
		if !j.insert(&e) {
			continue
		}
		fresh = append(fresh, &e)
		if buf, err = appendLine(buf, &e); err != nil {
			j.undo(fresh)
			return err
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := j.append(buf, true); err != nil {
		j.undo(fresh)
		return err
	}
	return nil
}

// append writes and, if asked, syncs; on error the file is cut back so that no
// half line joins what comes after it.
func (j *Journal) append(buf []byte, sync bool) error {
	end, err := j.f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("append to journal: %w", err)
	}
	if _, err = j.f.Write(buf); err == nil && sync {
		err = unix.Fdatasync(int(j.f.Fd()))
	}
	if err != nil {
		_ = j.f.Truncate(end)
		return fmt.Errorf("append to journal: %w", err)
	}
	return nil
}

// undo takes back what Record inserted: the last entries.
func (j *Journal) undo(fresh []*Entry) {
	for _, e := range fresh {
		delete(j.live, e.Key())
	}
	j.entries = j.entries[:len(j.entries)-len(fresh)]
}

// Forget drops the entries for which gone returns true, such as those of a
// cgroup that was removed: nothing is left to undo. It is written but not
// synced: a crash of the machine ends all entries anyway.
func (j *Journal) Forget(gone func(*Entry) bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var buf []byte
	var err error
	before := j.dead
	for _, e := range j.entries {
		if e == nil || !gone(e) {
			continue
		}
		k := e.Key()
		if buf, err = appendLine(buf, &Entry{Op: opForget, Path: k, Boot: j.boot}); err != nil {
			return err
		}
		j.drop(k)
		j.dead++
	}
	if j.dead >= rewriteAt || len(j.live) == 0 && j.dead > 0 {
		return j.rewrite()
	}
	if j.dead == before {
		return nil
	}
	return j.append(buf, false)
}

// Pending gives a copy of the live entries, oldest first.
func (j *Journal) Pending() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := make([]Entry, 0, len(j.live))
	for _, e := range j.entries {
		if e != nil {
			out = append(out, *e)
		}
	}
	return out
}

// rewrite replaces the file by one that holds only the live entries.
func (j *Journal) rewrite() error {
	entries := make([]*Entry, 0, len(j.live))
	var buf []byte
	var err error
	for _, e := range j.entries {
		if e == nil {
			continue
		}
		entries = append(entries, e)
		if buf, err = appendLine(buf, e); err != nil {
			return err
		}
	}
	f, err := replace(filepath.Join(j.dir, fileName), buf)
	if err != nil {
		return fmt.Errorf("rewrite journal: %w", err)
	}
	if j.f != nil {
		_ = j.f.Close()
	}
	j.f, j.entries, j.dead = f, entries, 0
	for i, e := range entries {
		j.live[e.Key()] = i
	}
	return nil
}

func replace(path string, buf []byte) (*os.File, error) {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(buf); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(tmp)
		return nil, err
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Close releases the lock. The file stays.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.f.Close(), j.lock.Close())
}
