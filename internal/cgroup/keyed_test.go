package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/anole-os/anole/internal/journal"
)

func TestLine(t *testing.T) {
	b := []byte("default 100\n8:16 rbps=2097152 wbps=max\n8:1 50\n")
	for key, want := range map[string]string{"8:16": "rbps=2097152 wbps=max", "8:1": "50", "default": "100", "8": "", "1": ""} {
		if got := Line(b, key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}

func TestHolds(t *testing.T) {
	for _, c := range []struct {
		got, value string
		want       bool
	}{
		{"rbps=1 wbps=2 riops=max wiops=max", "wbps=2 rbps=1", true},
		{"rbps=1 wbps=2", "wbps=3", false},
		{"", "5", false},
		{"", "", true},
		{"50", "5", false},
	} {
		if got := Holds(c.got, c.value); got != c.want {
			t.Errorf("%q holds %q: %v", c.got, c.value, got)
		}
	}
}

// keyedFile is a directory with one file, and a Writer with a journal.
func keyedFile(t *testing.T, content string) (w *Writer, j *journal.Journal, d *Dir, dir string) {
	t.Helper()
	at := t.TempDir()
	if err := os.WriteFile(filepath.Join(at, "f"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	dir = t.TempDir()
	if j, err = journal.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return NewWriter(j, "test"), j, d, dir
}

// An ordinary file keeps what was written last, as one line: enough to see what
// SetKeyed and its undo write.
func TestSetKeyedWritesOnlyWhatDiffers(t *testing.T) {
	w, j, d, _ := keyedFile(t, "8:0 rbps=5 wbps=max\n")
	none := func(string) string { return "rbps=max wbps=max" }
	old, wrote, err := w.SetKeyed(Keyed{Dir: d, File: "f", Key: "8:0", Value: "rbps=5", Back: none})
	if err != nil || wrote || old != "rbps=5 wbps=max" || len(j.Pending()) != 0 {
		t.Errorf("a line that holds it already: %q %v %v, %d entries", old, wrote, err, len(j.Pending()))
	}
	if _, wrote, err = w.SetKeyed(Keyed{Dir: d, File: "f", Key: "8:16", Value: "7"}); err != nil || !wrote {
		t.Errorf("a new line: %v %v", wrote, err)
	}
	if p := j.Pending(); len(p) != 1 || p[0].Path != d.Path()+"/f 8:16" {
		t.Errorf("journal: %+v", p)
	}
}

func TestKeyedUndo(t *testing.T) {
	line := func(value string) Keyed { return Keyed{File: "f", Key: "8:0", Value: value} }
	for _, c := range []struct{ name, before, meanwhile, after string }{
		{"as it was", "8:0 100\n", "8:0 7\n", "8:0 100"},
		{"written by nobody yet", "8:0 100\n", "8:0 100\n", "8:0 100\n"},
		{"the disk is gone, and its line", "8:0 100\n", "8:16 9\n", "8:16 9\n"},
	} {
		w, j, d, dir := keyedFile(t, c.before)
		k := line("7")
		k.Dir = d
		if _, _, err := w.SetKeyed(k); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.Path(), "f"), []byte(c.meanwhile), 0o600); err != nil {
			t.Fatal(err)
		}
		// As after kill -9: the journal is read again by another process.
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := journal.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		rep := again.Restore(t.Context(), Undo)
		_ = again.Close()
		b, _ := os.ReadFile(filepath.Join(d.Path(), "f"))
		if len(rep.Failed) > 0 || string(b) != c.after {
			t.Errorf("%s: %q, want %q; %+v", c.name, b, c.after, rep)
		}
	}
}

func TestKeysSelectsLines(t *testing.T) {
	w, j, d, _ := keyedFile(t, "")
	for _, key := range []string{"8:0", "8:16"} {
		if _, _, err := w.SetKeyed(Keyed{Dir: d, File: "f", Key: key, Value: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.ForgetWhere(d.Keys("f", "8:0")); err != nil {
		t.Fatal(err)
	}
	if p := j.Pending(); len(p) != 1 || p[0].Path != d.Path()+"/f 8:16" {
		t.Errorf("left: %+v", p)
	}
	if err := w.ForgetWhere(d.Keys("other", "")); err != nil || len(j.Pending()) != 1 {
		t.Error("lines of another file were selected")
	}
}

func TestChosen(t *testing.T) {
	for s, want := range map[string]string{"[none] mq-deadline bfq\n": "none", "none mq-deadline [bfq]": "bfq", "none": "", "": ""} {
		if got := Chosen(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestBelow(t *testing.T) {
	at := t.TempDir()
	for _, p := range []string{"a/b/c", "d", "e"} {
		if err := os.MkdirAll(filepath.Join(at, p), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(at, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := Below(at, 10)
	if want := []string{"a", "a/b", "a/b/c", "d", "e"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := Below(at, 2); len(got) != 2 {
		t.Errorf("no more than two: %v", got)
	}
	if got := Below(filepath.Join(at, "none"), 10); len(got) != 0 {
		t.Errorf("%v below nothing", got)
	}
}
