package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/sys"
)

var (
	idle = sys.Sched{Policy: sys.SCHED_IDLE}
	fair = sys.Sched{Policy: sys.SCHED_OTHER}
)

// policies counts the threads of d by policy.
func policies(t *testing.T, d *Dir) map[sys.Sched]int {
	t.Helper()
	tids, err := d.Threads()
	if err != nil {
		t.Fatal(err)
	}
	n := map[sys.Sched]int{}
	for _, tid := range tids {
		s, err := sys.GetSched(tid)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n[s]++
	}
	return n
}

// makeIdle gives all threads of d SCHED_IDLE, those that start meanwhile too.
func makeIdle(t *testing.T, d *Dir) {
	t.Helper()
	for policies(t, d)[fair] > 0 {
		tids, err := d.Threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, tid := range tids {
			if err := sys.SetSched(tid, idle); err != nil && !errors.Is(err, unix.ESRCH) {
				t.Fatal(err)
			}
		}
	}
}

func TestSchedIsUndone(t *testing.T) {
	d := testGroup(t)
	w, _, restart := newWriter(t)
	p, own := startProcess(t), startProcess(t)
	p.tell(t, "thread")
	if err := errors.Join(Move(p.pid(), d.Path()), Move(own.pid(), d.Path()), sys.SetSched(own.pid(), idle)); err != nil {
		t.Fatal(err)
	}
	except := ThreadKey(own.pid())
	if err := w.Sched(d, SchedUndo{Now: idle, Before: fair, Except: []string{except}}); err != nil {
		t.Fatal(err)
	}
	makeIdle(t, d)
	was := policies(t, d)[idle]
	for range 3 { // these inherit the policy
		p.tell(t, "thread")
		p.tell(t, "child")
	}
	n := policies(t, d)
	if n[idle] < was+4 { // three processes, and threads but for what the Go runtime had idle
		t.Fatalf("threads by policy %v, %d before: the new ones do not count", n, was)
	}
	if errs := restart(); len(errs) != 0 {
		t.Fatal(errs)
	}
	n = policies(t, d)
	if n[idle] != 1 || n[fair] < was+3 {
		t.Fatalf("threads by policy %v", n)
	}
	if s, err := sys.GetSched(own.pid()); err != nil || s != idle {
		t.Fatalf("the thread that was idle on its own has %+v, %v", s, err)
	}
}

// TestSchedUndoWhileForking restores a group in which processes start without
// pause: none may keep the policy. The many threads are there to be listed
// before the one that forks, so that it forks between the list and its turn.
func TestSchedUndoWhileForking(t *testing.T) {
	d := testGroup(t)
	w, _, restart := newWriter(t)
	many, p := startProcess(t), startProcess(t)
	for range 300 {
		many.tell(t, "thread")
	}
	if err := errors.Join(Move(many.pid(), d.Path()), Move(p.pid(), d.Path()), w.Sched(d, SchedUndo{Now: idle, Before: fair})); err != nil {
		t.Fatal(err)
	}
	makeIdle(t, d)
	const n = 100
	told := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintln(p.in, "child")
		}
		told <- err
	}()
	answer := func() {
		if line, err := p.out.ReadString('\n'); err != nil || line != "done\n" {
			t.Fatalf("the child answered %q, %v", line, err)
		}
	}
	answer() // now it is at it
	errs := restart()
	for range n - 1 {
		answer()
	}
	if err := <-told; err != nil || len(errs) != 0 {
		t.Fatal(err, errs)
	}
	if got := policies(t, d); got[idle] != 0 || got[fair] < n+300 {
		t.Fatalf("threads by policy %v", got)
	}
}

func TestThreadKey(t *testing.T) {
	me := ThreadKey(os.Getpid())
	if me == "" || me != ThreadKey(os.Getpid()) || me[:len(strconv.Itoa(os.Getpid()))] != strconv.Itoa(os.Getpid()) {
		t.Fatalf("key %q", me)
	}
	if k := ThreadKey(1 << 30); k != "" {
		t.Fatalf("a thread that is not there has the key %q", k)
	}
}
