package ca

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/x509"
)

// head is how far the index was when it was last written to, in a file of its own: so it
// is seen when the index's last lines are gone, which the lines themselves do not tell.
// It is written after the line: one that is killed in between leaves an index that is one
// line ahead, never one that is behind.
type head struct {
	Lines int              `json:"lines"`
	Size  int64            `json:"size"` // in bytes
	Sum   string           `json:"sum"`  // of the last line
	Lists map[string]int64 `json:"lists"`
}

// ErrRollback is of a folder from which something is missing that was there before.
var ErrRollback = errors.New("an older copy was put back, or something was taken away: restore all of the CA's folder from its newest backup")

const headName = "head"

// head tells how far the index is.
func (x *index) head() *head {
	return &head{Lines: x.lines, Size: x.size, Sum: x.sum, Lists: maps.Clone(x.lists)}
}

// expect has the index look for a head while it is read.
func (x *index) expect(h *head) {
	x.want = h
	x.meet()
}

// meet looks whether the index is at its head.
func (x *index) meet() {
	if h := x.want; h != nil && x.size == h.Size {
		x.met = x.lines == h.Lines && x.sum == h.Sum && maps.Equal(x.lists, h.Lists)
	}
}

// check is an error where the index, read to its end, is not one that grew from its head.
func (x *index) check() error {
	switch {
	case x.met:
		return nil
	case x.size < x.want.Size:
		return fmt.Errorf("check index: it has %d lines, and had %d (file %s): %w", x.lines, x.want.Lines, headName, ErrRollback)
	}
	return fmt.Errorf("check index: its first %d lines are not those that were there (file %s): %w", x.want.Lines, headName, ErrRollback)
}

func (c *CA) loadHead() (*head, error) {
	path := filepath.Join(c.dir, headName)
	b, err := whole.Read(path, maxSettings)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("check index: %w: %w", err, ErrRollback)
	}
	if err != nil {
		return nil, fmt.Errorf("check index: %w", err)
	}
	h := &head{}
	if err := json.Unmarshal(b, h); err != nil || h.Lines < 0 || h.Size < 0 {
		return nil, fmt.Errorf("check index: %s is damaged: %w", path, ErrRollback)
	}
	return h, nil
}

// saveHead writes the head into a folder. The temporary name is always the same, as the
// caller has the lock: one that was killed leaves a file that the next one takes.
func saveHead(dir string, h *head) error {
	b, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("write %s: %w", headName, err)
	}
	path := filepath.Join(dir, headName)
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", headName, err)
	}
	_, err = f.Write(append(b, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", headName, err)
	}
	return whole.SyncDir(dir)
}

// load reads the index to its end and checks it. The caller has the lock.
func (c *CA) load(file *os.File) (*index, error) {
	h, err := c.loadHead()
	if err != nil {
		return nil, err
	}
	x := newIndex()
	x.expect(h)
	torn, err := x.catchUp(file)
	if err != nil {
		return nil, err
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	if torn > 0 { // of someone who was killed
		if err := file.Truncate(x.size); err != nil {
			return nil, fmt.Errorf("cut index: %w", err)
		}
	}
	switch x.lines - h.Lines {
	case 0:
		return x, nil
	case 1: // someone was killed between the line and the head
		return x, saveHead(c.dir, x.head())
	}
	return nil, fmt.Errorf("check index: it has %d lines, and %s is of %d, though it is never more than one behind: %w", x.lines, headName, h.Lines, ErrRollback)
}

// add writes a record and the head after it. Where the head cannot be written nobody is
// told of the record, though it is there: of its certificates nobody has one.
func (c *CA) add(file *os.File, x *index, r *record) error {
	if err := x.add(file, r); err != nil {
		return err
	}
	return saveHead(c.dir, x.head())
}

// follows checks that an issuer's next list may come after the one that is in the folder:
// its number is greater, and it has all that were revoked and did not expire.
func (c *CA) follows(x *index, issuer string, number int64) error {
	path := filepath.Join(c.dir, "crl", issuer+".crl")
	b, err := whole.Read(path, 2*x509.MaxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("check last list: %w", err)
	}
	last, err := x509.ReadCRL(b)
	if err != nil || last.Number == nil {
		return fmt.Errorf("check last list: %s is damaged: restore it from a copy, such as the one that was published", path)
	}
	if !last.Number.IsInt64() || last.Number.Int64() >= number {
		return fmt.Errorf("check last list: %s has number %s, the next by the index would be %d: %w", path, last.Number, number, ErrRollback)
	}
	for i := range last.RevokedCertificateEntries {
		serial := x509.Serial(last.RevokedCertificateEntries[i].SerialNumber)
		e := x.at[serial]
		if e == nil || e.Issuer != issuer || e.Revoked == nil && e.NotAfter.After(now()) {
			return fmt.Errorf("check last list: %s has certificate %s, which by the index is not revoked: %w", path, serial, ErrRollback)
		}
	}
	return nil
}
