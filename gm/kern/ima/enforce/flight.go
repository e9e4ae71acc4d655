package enforce

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// flightKey tells what is being found out.
type flightKey struct {
	key
	exec bool
}

// flight is one file that is read, and who waits for it.
type flight struct {
	waiting []event // their files are closed with the answer
	first   int     // the file that is read, one of theirs perhaps: closed at the end
	timer   *time.Timer
	late    sync.WaitGroup // those who answer at the timeout: first is open until then
}

// join has an event wait for a file to be read.
func (e *Enforcer) join(ctx context.Context, k flightKey, ev event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f := e.flights[k]; f != nil {
		if len(f.waiting) == 0 { // all before it went by timeout
			f.timer.Reset(e.o.Timeout)
		}
		f.waiting = append(f.waiting, ev)
		return
	}
	f := &flight{waiting: []event{ev}, first: ev.fd}
	f.timer = time.AfterFunc(e.o.Timeout, func() { e.expire(k, f) })
	e.flights[k] = f
	e.busy.Go(func() { e.fly(ctx, k, f) })
}

// expire answers those who wait too long. The file is read to the end for the next.
func (e *Enforcer) expire(k flightKey, f *flight) {
	e.mu.Lock()
	if e.flights[k] != f {
		e.mu.Unlock()
		return
	}
	late := f.waiting
	f.waiting = nil
	f.late.Add(1)
	e.mu.Unlock()
	defer f.late.Done()
	for _, ev := range late {
		e.count.timeouts.Add(1)
		e.judge(ev, verdict{checked: true, elf: true, reason: Timeout}, ev.fd != f.first)
	}
}

func (e *Enforcer) fly(ctx context.Context, k flightKey, f *flight) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	case <-ctx.Done():
	}
	now, v, keep := e.examine(ctx, f.first, k.exec)
	switch {
	case keep:
		e.cache.put(now, v)
	default:
		e.count.uncached.Add(1)
	}
	if v.checked && v.reason == Good {
		e.count.verified.Add(1)
	} else if v.checked {
		e.count.rejected.Add(1)
	}
	e.mu.Lock()
	delete(e.flights, k)
	waiting := f.waiting
	e.mu.Unlock()
	f.timer.Stop()
	for _, ev := range waiting {
		e.judge(ev, v, ev.fd != f.first)
	}
	f.late.Wait() // an answer names a descriptor, which must be of nothing else
	_ = unix.Close(f.first)
}

// judge answers by a verdict and what Options say.
func (e *Enforcer) judge(ev event, v verdict, done bool) {
	allow, tell := v.good(ev.exec), (*Denial)(nil)
	if !allow {
		allow, tell = e.refuse(ev, v)
	}
	e.respond(ev, allow)
	if done {
		_ = unix.Close(ev.fd)
	}
	if tell != nil { // after the answer: nobody waits for who is told
		e.tell.say(*tell)
	}
}

// refuse says what is to be done with what is not good, and what to tell of it: true
// lets it go on.
func (e *Enforcer) refuse(ev event, v verdict) (allow bool, tell *Denial) {
	path := pathOf(ev.fd)
	if v.reason == Unlabelled && e.o.AllowUnsigned || e.excepted(ev, path) || v.reason == Timeout && e.o.TimeoutAllows {
		e.count.excepted.Add(1)
		return true, nil
	}
	if e.o.Enforce {
		e.count.denied.Add(1)
	} else {
		e.count.told.Add(1)
	}
	return !e.o.Enforce, &Denial{Path: path, PID: ev.pid, Exec: ev.exec, Denied: e.o.Enforce, Reason: v.reason, Detail: v.detail}
}

func pathOf(fd int) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return "?"
	}
	return path
}

// excepted says whether a file needs no good label: by Allow, or because it is only
// opened, by this program, which is what signs.
func (e *Enforcer) excepted(ev event, path string) bool {
	var st, here unix.Stat_t
	if !ev.exec && unix.Stat("/proc/"+strconv.Itoa(ev.pid)+"/exe", &here) == nil && e.exe == [2]uint64{here.Dev, here.Ino} && here.Ino != 0 {
		return true
	}
	listed := false
	for _, p := range e.o.Allow {
		p = filepath.Clean(p)
		listed = listed || path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/")
	}
	// The path may be of another mount namespace: here it must be the same file.
	return listed && unix.Fstat(ev.fd, &st) == nil && unix.Stat(path, &here) == nil && st.Dev == here.Dev && st.Ino == here.Ino
}

// teller passes on what is to be told, not too much of it.
type teller struct {
	to         func(Denial)
	mu         sync.Mutex
	begin      time.Time
	told       int
	suppressed int64
}

// perSecond is how many are told in a second.
const perSecond = 10

func (t *teller) say(d Denial) {
	if t.to == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.begin) >= time.Second {
		t.begin, t.told = now, 0
	}
	if t.told == perSecond {
		t.suppressed++
		return
	}
	t.told++
	d.Suppressed, t.suppressed = t.suppressed, 0
	t.to(d)
}
