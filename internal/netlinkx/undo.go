package netlinkx

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
)

// OpLink is the journal's operation for the qdiscs and filters of one
// interface: Ino is its index, Old a Before.
const OpLink journal.Op = "link"

func init() { cgroup.Handle(OpLink, undoLink) }

// Before is what an interface had before anole changed it.
type Before struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	Netns uint64 `json:"netns"` // inode
	// Root is the root qdisc to make again; nil is the kernel's default, which
	// comes back by itself.
	Root *Qdisc `json:"root,omitempty"`
	// Clsact says that there was one, which stays.
	Clsact bool `json:"clsact,omitempty"`
}

// Path is how the journal's entry names the interface.
func (b *Before) Path() string { return fmt.Sprintf("%s in net:[%d]", b.Name, b.Netns) }

// Encode gives the form of the journal's entry.
func (b *Before) Encode() ([]byte, error) { return json.Marshal(b) }

// undoLink puts one interface back, known by its index: a new name is no new
// interface. One that took the index of another has nothing of anole's and
// keeps all.
func undoLink(e *journal.Entry) error {
	var b Before
	if err := json.Unmarshal(e.Old, &b); err != nil {
		return fmt.Errorf("decode entry of an interface: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := Open()
	if err != nil {
		return err
	}
	defer c.Close()
	if c.ns != b.Netns {
		return elsewhere(b.Netns)
	}
	return c.Undo(&b)
}

// elsewhere is the answer to an entry of another namespace. One that ended took
// its interfaces along, or gave those of hardware back bare.
func elsewhere(netns uint64) error {
	there, err := Exists(netns)
	switch {
	case err != nil:
		return fmt.Errorf("it is in another network namespace, net:[%d], if that is still there: run anole revert there (nsenter --net): %w", netns, unclear{err})
	case there:
		return fmt.Errorf("it is in another network namespace, net:[%d]: run anole revert there (nsenter --net)", netns)
	}
	return fmt.Errorf("network namespace net:[%d]: %w", netns, journal.ErrGone)
}

// unclear hides what an error is: that something needed to look for the
// namespace was not there does not mean that the namespace is gone.
type unclear struct{ err error }

func (u unclear) Error() string { return u.err.Error() }

// Undo puts an interface back as Before says. What somebody else has put in
// the place of anole's qdisc stays. An interface that is gone is
// journal.ErrGone.
func (c *Conn) Undo(b *Before) error {
	err := c.undo(b)
	if Gone(err) {
		return journal.ErrGone
	}
	return err
}

func (c *Conn) undo(b *Before) error {
	if _, err := c.ByIndex(b.Index); err != nil {
		return err
	}
	root, ok, err := c.Root(b.Index)
	if err != nil {
		return err
	}
	switch ours := ok && root.Ours(); {
	case b.Root != nil && (ours || !ok || root.Default()): // the default after an undo that was cut short
		err = c.Restore(b.Index, b.Root)
	case ours:
		err = c.DelRoot(b.Index, root.Handle)
	}
	if err != nil {
		return err
	}
	kind, err := c.Clsact(b.Index)
	if err != nil || kind != "clsact" {
		return err
	}
	others, err := c.ClearPrograms(b.Index)
	if err == nil && !b.Clsact && others == 0 {
		err = c.DelClsact(b.Index)
	}
	return err
}
