package ca

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"time"

	"github.com/anole-os/anole/gm/sm3"
)

// Entry is a certificate that was issued.
type Entry struct {
	Serial   string    `json:"serial"` // hexadecimal, as x509.Serial
	Issuer   string    `json:"issuer"` // Root or Intermediate
	Profile  string    `json:"profile"`
	Half     string    `json:"half,omitempty"` // of a pair: sign or enc
	Subject  string    `json:"subject"`
	Issued   time.Time `json:"issued"`
	NotAfter time.Time `json:"not_after"`
	DER      []byte    `json:"der"`
	Kept     []byte    `json:"kept,omitempty"` // its key, enveloped for escrow.key
	// Revoked and Reason are of one that was revoked.
	Revoked *time.Time `json:"-"`
	Reason  int        `json:"-"`
}

// record is a line of the index: one of the three.
type record struct {
	Issue  []*Entry `json:"issue,omitempty"`
	Revoke []revoke `json:"revoke,omitempty"`
	List   *list    `json:"list,omitempty"`
}

type revoke struct {
	Serial string    `json:"serial"`
	Time   time.Time `json:"time"`
	Reason int       `json:"reason"`
}

type list struct {
	Issuer string    `json:"issuer"`
	Number int64     `json:"number"`
	Time   time.Time `json:"time"`
}

// index is what the file says.
type index struct {
	entries []*Entry
	at      map[string]*Entry
	lists   map[string]int64 // by issuer: the newest number
	lines   int              // that were read
	size    int64            // of them
	sum     string           // of the last line
	want    *head            // what must be met on the way, if anything
	met     bool
}

const sumLen = 16

func newIndex() *index {
	return &index{at: map[string]*Entry{}, lists: map[string]int64{}, sum: "0000000000000000"}
}

func chain(last string, value []byte) string {
	sum := sm3.Sum(append([]byte(last), value...))
	return hex.EncodeToString(sum[:sumLen/2])
}

// line writes a record as it follows the last line.
func (x *index) line(r *record) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write index: %w", err)
	}
	b := append([]byte(chain(x.sum, value)), ' ')
	return append(append(b, value...), '\n'), nil
}

// take reads lines that are whole, and leaves what follows the last of them.
func (x *index) take(b []byte) error {
	for {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			return nil
		}
		if err := x.one(b[:end]); err != nil {
			return fmt.Errorf("read index at byte %d: %w", x.size, err)
		}
		x.lines++
		x.size += int64(end) + 1
		x.meet()
		b = b[end+1:]
	}
}

var errDamaged = errors.New("the line does not follow from the one before: it was changed, or lines are missing; restore the file from a copy")

func (x *index) one(line []byte) error {
	if len(line) < sumLen+2 || line[sumLen] != ' ' {
		return errDamaged
	}
	value := line[sumLen+1:]
	sum := chain(x.sum, value)
	if sum != string(line[:sumLen]) {
		return errDamaged
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return errDamaged
	}
	if err := x.apply(&r); err != nil {
		return err
	}
	x.sum = sum
	return nil
}

// apply notes a record; it refuses what contradicts those before.
func (x *index) apply(r *record) error {
	for _, e := range r.Issue {
		if e == nil || e.Serial == "" || x.at[e.Serial] != nil {
			return errors.New("a serial number is there twice")
		}
		x.at[e.Serial] = e
		x.entries = append(x.entries, e)
	}
	for i := range r.Revoke {
		v := &r.Revoke[i]
		e := x.at[v.Serial]
		if e == nil || e.Revoked != nil {
			return errors.New("what was never issued, or is revoked already, is revoked")
		}
		e.Revoked, e.Reason = &v.Time, v.Reason
	}
	if r.List != nil {
		if r.List.Number <= x.lists[r.List.Issuer] {
			return errors.New("a list's number is there twice")
		}
		x.lists[r.List.Issuer] = r.List.Number
	}
	return nil
}

// catchUp reads what was written since, and gives the bytes of a line without its end.
func (x *index) catchUp(f *os.File) (torn int, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, x.size, 1<<40))
	if err != nil {
		return 0, fmt.Errorf("read index: %w", err)
	}
	before := x.size
	if err := x.take(b); err != nil {
		return 0, err
	}
	return len(b) - int(x.size-before), nil
}

// add writes a record behind the others and has it on the disk. The caller has the lock
// and has caught up.
func (x *index) add(f *os.File, r *record) error {
	line, err := x.line(r)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(line, x.size)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		// Nobody was told of it: it must not be there later.
		return errors.Join(fmt.Errorf("write index: %w", err), f.Truncate(x.size))
	}
	return x.take(line)
}

func serialOf(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		return new(big.Int)
	}
	return n
}
