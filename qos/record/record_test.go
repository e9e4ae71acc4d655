package record

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/workload"
)

func f(v float64) *float64 { return &v }

func sampleLines() []*Line {
	return []*Line{
		{Header: &Header{Version: Version, Start: time.Unix(1_700_000_000, 123).UTC(), Node: "n", CPUs: 2, Limits: burst.Mainline(), Mechanism: "cpu.idle", Policy: "version: 1\n"}},
		{Join: &Join{Workload: workload.Workload{ID: "a", Path: "/a", Ino: 7, Labels: map[string]string{"x": "y"}}, Programs: []string{"/bin/a"}}},
		{Step: &Step{At: 100, Dt: 100, Busy: f(0.1234567890123456), RunQueue: &RunQueue{P99: 5, N: 100}, Slow: []Slow{{Ino: 7, ID: "server:80@1", Of: "web", P99: 9, Usual: 3, Cause: "io_pressure"}}, Samples: []Sample{{Ino: 7, Fresh: true, Used: 1.0 / 3, Delta: 33, Limit: f(0)}}, Cap: f(1.5), Why: "w", Looks: []Look{{Controller: "io", Of: "sda", In: []byte(`{"x":1}`), Out: []byte(`{}`)}}}},
		{Policy: "version: 1\n"},
		{Leave: 7},
		{Step: &Step{At: 200, Dt: 100}},
	}
}

func readAll(r *Reader) (out []*Line, err error) {
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
}

func TestReadsWhatWasWritten(t *testing.T) {
	for _, name := range []string{"plain.jsonl", "small.jsonl.zst"} {
		path := filepath.Join(t.TempDir(), name)
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		want := sampleLines()
		for _, l := range want {
			if err := w.Write(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAll(r)
		if err != nil || r.Torn() || !reflect.DeepEqual(r.Header(), want[0].Header) || !reflect.DeepEqual(got, want[1:]) {
			t.Errorf("%s: %v, torn %v: %+v", name, err, r.Torn(), got)
		}
		r.Close()
		if _, err := Create(path); !errors.Is(err, os.ErrExist) {
			t.Errorf("%s was written over: %v", name, err)
		}
		cutOff(t, path, len(want)-1)
	}
}

// cutOff reads each beginning of a file: lines that are whole, or an error that
// says that there is no header.
func cutOff(t *testing.T, path string, lines int) {
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		r, err := NewReader(bytes.NewReader(whole[:n]), "cut")
		if err != nil {
			continue
		}
		got, err := readAll(r)
		if err != nil || !r.Torn() && len(got) == lines {
			t.Errorf("%s cut to %d of %d bytes: %v, %d lines, torn %v", path, n, len(whole), err, len(got), r.Torn())
		}
		r.Close()
	}
}

func TestRefusesWhatNoWriterWrites(t *testing.T) {
	head := `{"header":{"anole_record":1,"cpus":2,"policy":"version: 1\n"}}` + "\n"
	join := `{"join":{"workload":{"id":"a","ino":7}}}` + "\n"
	for name, c := range map[string]struct{ in, want string }{
		"empty":              {"", "x:1: it is empty: a recording begins with a header"},
		"no JSON":            {"hello\n", "x:1: not a line of a recording: "},
		"another file":       {`{"a":1}` + "\n", "x:1: 0 of header, join, leave, policy and step where one is wanted"},
		"no header":          {join, "x:1: no header: this is no recording of anole qos record"},
		"newer":              {`{"header":{"anole_record":2,"cpus":2}}` + "\n", "x:1: format 2; this anole reads format 1"},
		"no CPUs":            {`{"header":{"anole_record":1}}` + "\n", "x:1: header: 0 CPUs"},
		"two headers":        {head + head, "x:2: a second header"},
		"two at once":        {head + `{"leave":7,"policy":"x"}` + "\n", "x:2: 2 of header, join, leave, policy and step where one is wanted"},
		"leaves twice":       {head + join + `{"leave":7}` + "\n" + `{"leave":7}` + "\n", "x:4: leave: workload 7 has not joined"},
		"stranger":           {head + `{"step":{"t":1,"w":[{"i":9}]}}` + "\n", "x:2: step: workload 9 has not joined"},
		"stranger's grant":   {head + `{"step":{"t":1,"grants":[9]}}` + "\n", "x:2: step: a grant for workload 9, which has not joined"},
		"back in time":       {head + `{"step":{"t":5}}` + "\n" + `{"step":{"t":4}}` + "\n", "x:3: step at 4 ns, after one at 5 ns"},
		"negative use":       {head + join + `{"step":{"t":1,"w":[{"i":7,"u":-1}]}}` + "\n", "x:3: step: workload 7: a value is out of range"},
		"a use of 1e300":     {head + join + `{"step":{"t":1,"w":[{"i":7,"u":1e300}]}}` + "\n", "x:3: step: workload 7: a value is out of range"},
		"busy of -1":         {head + `{"step":{"t":1,"busy":-1}}` + "\n", "x:2: step: busy -1 is out of range"},
		"half a look":        {head + `{"step":{"t":1,"looks":[{"c":"io","of":"sda","in":{}}]}}` + "\n", "x:2: step: look 1 is not whole"},
		"negative p99":       {head + `{"step":{"t":1,"runq":{"p99":-1,"n":1}}}` + "\n", "x:2: step: p99 of -1 ns"},
		"a stranger's slow":  {head + `{"step":{"t":1,"slow":[{"i":9,"id":"a"}]}}` + "\n", "x:2: step: a slow service of workload 9, which has not joined"},
		"half a slow one":    {head + join + `{"step":{"t":1,"slow":[{"i":7,"p99":5}]}}` + "\n", "x:3: step: slow service 1 is not whole"},
		"share of nothing":   {`{"header":{"anole_record":1,"cpus":2,"state":{"pending":1,"others":0,"feedback":{"share":0}}}}` + "\n", "x:1: header: a value of the state is out of range"},
		"workload of no one": {head + `{"join":{"workload":{"id":"a"}}}` + "\n", "x:2: join: a workload without inode or id"},
	} {
		r, err := NewReader(strings.NewReader(c.in), "x")
		if err == nil {
			_, err = readAll(r)
			r.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, zst := range []string{"", ".zst"} {
		path := filepath.Join(f.TempDir(), "seed"+zst)
		w, err := Create(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range sampleLines() {
			if err := w.Write(l); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b), "fuzz")
		if err != nil {
			return
		}
		defer r.Close()
		got, err := readAll(r)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 2 {
				t.Fatalf("an error without its line: %v", err)
			}
			return
		}
		var again bytes.Buffer
		w := NewWriter(&again)
		for _, l := range append([]*Line{{Header: r.Header()}}, got...) {
			if err := w.Write(l); err != nil {
				t.Fatal(err)
			}
		}
		r2, err := NewReader(&again, "again")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(r2); err != nil {
			t.Fatalf("what was read does not read again: %v", err)
		}
	})
}
