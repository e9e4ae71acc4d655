package vm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/anole-os/anole/test/vm/wire"
)

// watch tells a guest that hangs from one that is at work.
type watch struct {
	vm     *VM
	limit  time.Duration
	silent *time.Timer // no sign of life
	quiet  *time.Timer // no output of the program
	step   int
	err    error // once it was quiet for too long
}

func newWatch(v *VM, limit time.Duration) *watch {
	w := &watch{vm: v, limit: limit, silent: time.NewTimer(v.silence), quiet: time.NewTimer(limit)}
	if limit == 0 {
		w.quiet.Stop()
	}
	return w
}

func (w *watch) stop() {
	w.silent.Stop()
	w.quiet.Stop()
}

func (w *watch) heard(m wire.Message) {
	w.silent.Reset(w.vm.silence)
	if m.Kind == wire.Out && w.limit > 0 && w.err == nil {
		w.quiet.Reset(w.limit)
	}
}

// press asks a program that is quiet what it waits for, then kills it, and then
// gives up.
func (w *watch) press() bool {
	if w.err == nil {
		w.err = fmt.Errorf("no output for %s%s", w.limit, w.vm.console.where())
	}
	w.step++
	switch w.step {
	case 1:
		w.quiet.Reset(30 * time.Second)
		return w.vm.say(wire.Message{Kind: wire.Dump}) == nil
	case 2:
		w.quiet.Reset(30 * time.Second)
		return w.vm.say(wire.Message{Kind: wire.Kill}) == nil
	}
	return false
}

// console keeps the end of what the guest's console says, and all of it in a
// file if there is one.
type console struct {
	mu   sync.Mutex
	b    []byte
	file *os.File
}

const tailSize = 4096

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file != nil {
		_, _ = c.file.Write(p)
	}
	c.b = append(c.b, p...)
	if len(c.b) > 2*tailSize {
		c.b = append(c.b[:0], c.b[len(c.b)-tailSize:]...)
	}
	return len(p), nil
}

// String gives the end as lines to put behind an error.
func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.TrimSpace(string(bytes.ToValidUTF8(c.b, []byte("?"))))
	if text == "" {
		return ""
	}
	return "\nits console ended with:\n" + text
}

// where names the file, for the end of an error.
func (c *console) where() string {
	if c.file == nil {
		return ""
	}
	return "; what the kernel's tasks did is in " + c.file.Name()
}

func (c *console) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.file == nil {
		return nil
	}
	err := c.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
