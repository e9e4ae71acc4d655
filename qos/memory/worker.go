package memory

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
)

// Job is one thing that makes the kernel reclaim from a group while the writer
// waits.
type Job struct {
	Path string // of the cgroup's directory
	Ino  uint64 // its inode: a group made anew is another
	File string
	// Bytes is what a write to memory.reclaim asks for. For memory.force_empty
	// it is not needed; for all else Value is set through the Writer.
	Bytes uint64
	Value string
}

// Result is the outcome of a Job.
type Result struct {
	Job
	Freed uint64 // what the kernel took; without its word, what the group's use fell by
	Took  time.Duration
	// Err is nil also when the kernel reclaimed less than was asked for (EAGAIN
	// of memory.reclaim), which is normal; cgroup.Gone when the group is; EBUSY
	// when a limit of v1 could not be reached; ErrCancelled after a Cancel.
	Err error
}

// ErrCancelled is the result of a job that was ended by Cancel.
var ErrCancelled = errors.New("cancelled")

// Worker does one Job at a time on a thread of its own: a write that makes the
// kernel reclaim returns when that is done, which can take as long as a disk
// needs to write. Its methods are safe for concurrent use.
type Worker struct {
	w *cgroup.Writer // for what has to be journalled

	jobs    chan Job
	results chan Result
	ended   chan struct{}

	mu     sync.Mutex
	tid    int           // of the thread
	busy   string        // path of the job's group, "" when idle
	idle   chan struct{} // closed when the job is done
	cancel bool
	closed bool
}

// NewWorker starts a Worker. Close ends it.
func NewWorker(w *cgroup.Writer) *Worker {
	k := &Worker{w: w, jobs: make(chan Job, 1), results: make(chan Result, 1), ended: make(chan struct{})}
	go k.run()
	return k
}

// Do takes a job and says whether it could: not while another one is being
// done or its result was not fetched.
func (k *Worker) Do(j Job) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.busy != "" || len(k.results) > 0 {
		return false
	}
	k.busy, k.idle, k.cancel = j.Path, make(chan struct{}), false
	k.jobs <- j
	return true
}

// Busy says whether a job of the group at path is being done.
func (k *Worker) Busy(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.busy == path
}

// Idle says whether Do would take a job.
func (k *Worker) Idle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.busy == "" && len(k.results) == 0
}

// Result gives the outcome of the last job, once.
func (k *Worker) Result() (r Result, ok bool) {
	select {
	case r = <-k.results:
		return r, true
	default:
		return r, false
	}
}

// How long Cancel and Close wait: reclaim looks for signals between batches, and
// a batch may wait for a disk.
const (
	cancelWait = 100 * time.Millisecond
	closeWait  = 3 * time.Second
)

// Cancel ends the job of the group at path, if there is one, and says whether it
// is over. It waits a tenth of a second at most; a job that is not over by then
// is ended beside, Busy until it is, and has a Result like any other.
func (k *Worker) Cancel(path string) (over bool) { return k.end(path, cancelWait) }

func (k *Worker) end(path string, wait time.Duration) (over bool) {
	k.mu.Lock()
	idle, again := k.idle, k.cancel
	if k.busy != path || path == "" {
		k.mu.Unlock()
		return true
	}
	k.cancel = true
	k.mu.Unlock()
	if !again {
		go k.wake(idle)
	}
	select {
	case <-idle:
		return true
	case <-time.After(wait):
		return false
	}
}

// wake sends the worker's thread signals until it is idle: the kernel's reclaim
// loops end with EINTR when one is pending. SIGURG is what Go's own scheduler
// sends its threads, so nobody else takes notice.
func (k *Worker) wake(idle chan struct{}) {
	for pause := 2 * time.Millisecond; ; pause = min(pause+pause/8, 100*time.Millisecond) {
		k.mu.Lock()
		tid := k.tid
		k.mu.Unlock()
		if tid != 0 {
			_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
		}
		select {
		case <-idle:
			return
		case <-time.After(pause):
		}
	}
}

// Close ends the job in hand and the thread. It takes no job afterwards. The
// error says that the kernel did not come back in three seconds.
func (k *Worker) Close() error {
	k.mu.Lock()
	path, again := k.busy, k.closed
	k.closed = true
	k.mu.Unlock()
	if again {
		return nil
	}
	over := k.end(path, closeWait)
	close(k.jobs)
	if !over {
		return errors.New("cancel reclaim: the kernel is still at it")
	}
	<-k.ended
	return nil
}

func (k *Worker) run() {
	// The thread ends with the goroutine, so that no signal meant for a job
	// reaches anything else.
	runtime.LockOSThread()
	defer close(k.ended)
	k.mu.Lock()
	k.tid = unix.Gettid()
	k.mu.Unlock()
	for j := range k.jobs {
		began := time.Now()
		freed, err := k.do(&j)
		for tries := 0; errors.Is(err, unix.EINTR) && tries < mostTries && !k.cancelled(); tries++ {
			freed, err = k.do(&j) // a signal that came for the last job, or from Go's scheduler
		}
		k.mu.Lock()
		if errors.Is(err, unix.EINTR) {
			err = k.interrupted(&j, err)
		}
		k.busy = ""
		k.results <- Result{Job: j, Freed: freed, Took: time.Since(began), Err: err}
		close(k.idle)
		k.mu.Unlock()
	}
}

// mostTries bounds how often a write that a stray signal ended is done again.
const mostTries = 20

// cancelled says whether the job under way is to end.
func (k *Worker) cancelled() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.cancel
}

// interrupted says what an ended write means: what was asked for by Cancel, or a
// signal of Go's scheduler that came too late, after which a reclaim has just
// done less. It holds k.mu.
func (k *Worker) interrupted(j *Job, err error) error {
	switch {
	case k.cancel:
		return ErrCancelled
	case j.File == FileReclaim, j.File == FileEmptyV1:
		return nil
	}
	return err
}

func (k *Worker) do(j *Job) (freed uint64, err error) {
	f, err := OpenFiles(j.Path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if f.Dir.Ino() != j.Ino {
		return 0, fmt.Errorf("reclaim from %s: %w", j.Path, os.ErrNotExist)
	}
	var buf [32]byte
	before, err := f.Usage(buf[:])
	if err != nil {
		return 0, err
	}
	err = k.write(f.Dir, j)
	after, rerr := f.Usage(buf[:])
	freed = minus(before, after)
	switch {
	case j.File == FileReclaim && err == nil:
		// The group goes on meanwhile and may have filled it up again, so the
		// kernel's word counts: all that was asked for.
		freed = max(freed, j.Bytes)
	case j.File == FileReclaim && errors.Is(err, unix.EAGAIN):
		err = nil
	}
	return freed, errors.Join(err, rerr)
}

func (k *Worker) write(d *cgroup.Dir, j *Job) error {
	switch j.File {
	case FileReclaim:
		return d.Tell(j.File, strconv.FormatUint(j.Bytes, 10))
	case FileEmptyV1:
		return d.Tell(j.File, "0")
	}
	_, err := k.w.Set(cgroup.Edit{Dir: d, File: j.File, Value: j.Value})
	return err
}
