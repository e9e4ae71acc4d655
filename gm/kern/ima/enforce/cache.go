package enforce

import (
	"sync"

	"golang.org/x/sys/unix"
)

// key tells one state of one file from all others: each write and each new attribute
// sets the time of change.
type key struct {
	dev, ino     uint64
	size         int64
	mtime, ctime unix.Timespec
}

func keyOf(st *unix.Stat_t) key { return key{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim} }

// verdict is what is known of a file in one state.
type verdict struct {
	elf     bool
	checked bool // the label; not of what is opened and is no ELF
	reason  Reason
	detail  string
}

// answers says whether it is enough for an event.
func (v verdict) answers(exec bool) bool { return v.checked || !exec && !v.elf }

// good says whether the label is, or is not asked for.
func (v verdict) good(exec bool) bool { return v.reason == Good || !exec && !v.elf }

// cache keeps verdicts. Where it is full, any of them makes room.
type cache struct {
	mu   sync.Mutex
	most int
	of   map[key]verdict
}

func (c *cache) get(k key, exec bool) (verdict, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.of[k]
	return v, ok && v.answers(exec)
}

func (c *cache) put(k key, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of) >= c.most {
		for old := range c.of {
			delete(c.of, old)
			break
		}
	}
	c.of[k] = v
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.of)
}
