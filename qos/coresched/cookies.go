package coresched

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/procfs"
)

// OpCookie is the journal's operation for a cookie that was handed out: its undo
// takes it from all threads of the node that have it.
const OpCookie journal.Op = "core-cookie"

func init() { cgroup.Handle(OpCookie, func(e *journal.Entry) error { return undo(Linux{}, "", e) }) }

// Keeper hands out cookies and knows which are its own. It is not safe for
// concurrent use.
type Keeper struct {
	k      Kernel
	record func(...journal.Entry) error
	ids    []uint64 // of all cookies that were handed out
}

// NewKeeper makes a Keeper. record must make entries durable before it returns,
// see cgroup.Writer.Record.
func NewKeeper(k Kernel, record func(...journal.Entry) error) *Keeper {
	return &Keeper{k: k, record: record}
}

// Set is the threads that share one cookie.
type Set struct {
	*Keeper
	own  []uint64     // its cookies: a set that was empty gets a new one
	seen map[int]bool // some of its members, from whom the cookie can be taken
}

// enough members are remembered: one that lives suffices.
const enough = 64

// note remembers a member. Where there are enough, the dead make room.
func (s *Set) note(tid int) {
	if len(s.seen) >= enough && !s.seen[tid] {
		for old := range s.seen {
			if !s.has(old) {
				delete(s.seen, old)
			}
		}
	}
	if len(s.seen) < enough {
		s.seen[tid] = true
	}
}

// has says whether a thread has the set's cookie.
func (s *Set) has(tid int) bool {
	id, err := s.k.Cookie(tid)
	return err == nil && id != 0 && slices.Contains(s.own, id)
}

// NewSet makes an empty set.
func (k *Keeper) NewSet() *Set { return &Set{Keeper: k, seen: map[int]bool{}} }

// Added says what Add did.
type Added struct {
	New     int // threads that were given the cookie
	Foreign int // threads that somebody else has given one, and that keep it
}

// Add gives the set's cookie to those of the threads that have none, or that of
// another set; what others have given is left alone. Threads that have ended are
// passed over.
func (s *Set) Add(tids []int) (Added, error) {
	var a Added
	var todo []int
	for _, tid := range tids {
		id, err := s.k.Cookie(tid)
		switch {
		case errors.Is(err, unix.ESRCH):
			delete(s.seen, tid)
		case err != nil:
			return a, fmt.Errorf("read cookie of thread %d: %w", tid, explain(err))
		case id != 0 && slices.Contains(s.own, id):
			s.note(tid)
		case id != 0 && !slices.Contains(s.ids, id):
			a.Foreign++
		default:
			todo = append(todo, tid)
		}
	}
	if len(todo) == 0 {
		return a, nil
	}
	n, err := s.give(todo)
	a.New = n
	return a, err
}

// give takes the set's cookie onto a thread of its own and hands it to tids.
func (s *Set) give(tids []int) (n int, err error) {
	err = s.borrow(func() error {
		for _, tid := range tids {
			err := s.k.ShareTo(tid)
			if errors.Is(err, unix.ESRCH) {
				continue
			}
			if err != nil {
				return fmt.Errorf("give cookie to thread %d: %w", tid, explain(err))
			}
			s.note(tid)
			n++
		}
		return nil
	})
	return n, err
}

// borrow runs do on a locked thread that has the set's cookie meanwhile. It gets
// rid of it by taking that of the caller's thread, which is locked too and has
// none. A thread that cannot ends with its goroutine.
func (s *Set) borrow(do func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := probe(s.k); err != nil {
		return explain(err)
	}
	plain := unix.Gettid()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := s.take()
		if err == nil {
			err = do()
		}
		if back := s.k.ShareFrom(plain); back == nil {
			runtime.UnlockOSThread()
		} else {
			err = errors.Join(err, fmt.Errorf("give the cookie back: %w", back))
		}
		done <- err
	}()
	return <-done
}

// take gives the calling thread the set's cookie: that of a member, or a new one
// if none is left. A new one is in the journal before anybody else gets it.
func (s *Set) take() error {
	for tid := range s.seen {
		if s.has(tid) && s.k.ShareFrom(tid) == nil {
			return nil
		}
		delete(s.seen, tid)
	}
	if err := s.k.Create(0); err != nil {
		return fmt.Errorf("make cookie: %w", explain(err))
	}
	id, err := s.k.Cookie(0)
	if err != nil {
		return fmt.Errorf("read cookie: %w", err)
	}
	if err := s.record(entry(id)); err != nil {
		return err
	}
	s.ids, s.own = append(s.ids, id), append(s.own, id)
	return nil
}

func entry(id uint64) journal.Entry {
	hex := strconv.FormatUint(id, 16)
	return journal.Entry{Op: OpCookie, Path: "core-scheduling cookie " + hex, Old: []byte(hex)}
}

// EntriesOf selects the journal's entries of some sets, as they are now.
func EntriesOf(sets ...*Set) func(*journal.Entry) bool {
	var ids []uint64
	for _, s := range sets {
		ids = append(ids, s.own...)
	}
	return entries(ids)
}

// Entries selects the journal's entries of all sets.
func (k *Keeper) Entries() func(*journal.Entry) bool { return entries(k.ids) }

func entries(ids []uint64) func(*journal.Entry) bool {
	var hex []string
	for _, id := range ids {
		hex = append(hex, strconv.FormatUint(id, 16))
	}
	return func(e *journal.Entry) bool { return e.Op == OpCookie && slices.Contains(hex, string(e.Old)) }
}

// Clear takes their cookie from those of the threads that have one of the
// Keeper's, and counts them.
func (k *Keeper) Clear(tids []int) (int, error) {
	if len(k.ids) == 0 {
		return 0, nil
	}
	return clearAll(k.k, tids, k.ids)
}

// Restore takes all the Keeper's cookies from all threads of the node whose
// /proc is below root.
func (k *Keeper) Restore(root string) error {
	err := restore(k.k, root, k.ids)
	if err == nil {
		k.ids = nil
	}
	return err
}

// Drop ends sets whose groups are gone: their cookies are taken from all threads
// that have left the groups with them. It looks at all threads of the node once.
func (k *Keeper) Drop(root string, sets ...*Set) error {
	var ids []uint64
	for _, s := range sets {
		ids = append(ids, s.own...)
	}
	err := restore(k.k, root, ids)
	if err == nil {
		k.ids = slices.DeleteFunc(k.ids, func(id uint64) bool { return slices.Contains(ids, id) })
	}
	return err
}

// clearAll takes the cookies with the ids from those of the threads that have one
// of them. The calling thread must have none.
func clearAll(k Kernel, tids []int, ids []uint64) (n int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := probe(k); err != nil {
		return 0, explain(err)
	}
	for _, tid := range tids {
		id, err := k.Cookie(tid)
		if err == nil && id != 0 && slices.Contains(ids, id) {
			if err = k.ShareTo(tid); err == nil {
				n++
			}
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return n, fmt.Errorf("take cookie from thread %d: %w", tid, explain(err))
		}
	}
	return n, nil
}

// undo takes a journalled cookie from all threads of the node.
func undo(k Kernel, root string, e *journal.Entry) error {
	id, err := strconv.ParseUint(string(e.Old), 16, 64)
	if err != nil {
		return fmt.Errorf("decode cookie entry: %w", err)
	}
	return restore(k, root, []uint64{id})
}

func restore(k Kernel, root string, ids []uint64) error {
	if len(ids) == 0 {
		return nil
	}
	// A thread that was not reached yet can start another one, which is not in
	// the list: look again until there is none.
	for range 50 {
		tids, err := procfs.AllThreads(root)
		if err != nil {
			return err
		}
		n, err := clearAll(k, tids, ids)
		if err != nil || n == 0 {
			return err
		}
	}
	return fmt.Errorf("threads with the cookies %x keep starting", ids)
}
