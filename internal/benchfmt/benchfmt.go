// Package benchfmt is the form of bench results that all rooms share: the
// record, the committed JSON file, and the table and chart that the READMEs
// show of it.
package benchfmt

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Spread is the range of a value over the rounds of a bench.
type Spread struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// Result is one line of a bench.
type Result struct {
	ID   string `json:"id"`   // stable, unique in its file
	What string `json:"what"` // one line for people
	Unit string `json:"unit"` // of Ours and Peer
	// Ours and Peer are what was measured. Without a peer, Peer and Ratio are
	// 0 and PeerName is "".
	Ours     float64 `json:"ours"`
	Peer     float64 `json:"peer"`
	PeerName string  `json:"peer_name"`
	// Ratio is ours to peer. It need not be Ours/Peer: a median of the rounds'
	// ratios is not the ratio of the medians.
	Ratio float64 `json:"ratio"`
	// Spread is the range over the rounds of what Target judges.
	Spread Spread `json:"spread"`
	// Target is a condition on Ratio where there is a peer and on Ours where
	// there is none; "" judges nothing. See ParseTarget.
	Target string `json:"target"`
	Meets  bool   `json:"meets"`
	Rounds int    `json:"rounds"`
	Kernel string `json:"kernel"`
	Date   string `json:"date"` // of the measurement, 2006-01-02
}

// Judged is the value that Target is a condition on.
func (r *Result) Judged() float64 {
	if r.PeerName != "" {
		return r.Ratio
	}
	return r.Ours
}

// Judge sets Meets from Target. A Result without a target meets it.
func (r *Result) Judge() error {
	if r.Target == "" {
		r.Meets = true
		return nil
	}
	t, err := ParseTarget(r.Target)
	if err != nil {
		return fmt.Errorf("judge %s: %w", r.ID, err)
	}
	r.Meets = t.Met(r.Judged())
	return nil
}

func (r *Result) check() error {
	if r.ID == "" {
		return errors.New("a result has no id")
	}
	for _, v := range []float64{r.Ours, r.Peer, r.Ratio, r.Spread.Min, r.Spread.Max} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("result %s: %v is not a measurement", r.ID, v)
		}
	}
	return nil
}

// Read reads a file of results. A file that does not exist has none.
func Read(path string) ([]Result, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	out, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("read results %s: %w", path, err)
	}
	return out, nil
}

func parse(b []byte) ([]Result, error) {
	var out []Result
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i := range out {
		if err := out[i].check(); err != nil {
			return nil, err
		}
		if seen[out[i].ID] {
			return nil, fmt.Errorf("id %s is there twice", out[i].ID)
		}
		seen[out[i].ID] = true
	}
	return out, nil
}

// Write puts results into a file: those with an id that the file has replace
// it in place, others are appended, all else stays. The file is replaced as a
// whole or not at all; two writers at once must not be.
func Write(path string, results []Result) error {
	all, err := Read(path)
	if err != nil {
		return err
	}
	for _, r := range results {
		if err := r.check(); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
		if i := slices.IndexFunc(all, func(o Result) bool { return o.ID == r.ID }); i >= 0 {
			all[i] = r
		} else {
			all = append(all, r)
		}
	}
	if all == nil {
		all = []Result{}
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write results: %w", err)
	}
	return replace(path, append(b, '\n'))
}

// replace swaps a file's content in one step. A file whose content is that
// already keeps its time stamp.
func replace(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(b) {
		return nil
	}
	mode := fs.FileMode(0o644)
	if st, err := os.Stat(path); err == nil {
		mode = st.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = cmp.Or(err, f.Chmod(mode), f.Sync()); err != nil {
		_ = f.Close()
		return fmt.Errorf("replace %s: %w", path, err)
	}
	if err = cmp.Or(f.Close(), os.Rename(f.Name(), path)); err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
