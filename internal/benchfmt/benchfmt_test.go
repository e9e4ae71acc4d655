package benchfmt

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func sample() []Result {
	return []Result{
		{
			ID: "ls-p99-fair", What: "p99 of LS | beside BE", Unit: "ms", Ours: 3.1, Peer: 2.8, PeerName: "LS alone", Ratio: 1.107,
			Spread: Spread{1.02, 1.21}, Target: "<=1.25", Meets: true, Rounds: 7, Kernel: "6.18.0 amd64", Date: "2026-01-02",
		},
		{
			ID: "start", What: "start to ready", Unit: "ms", Ours: 412, Spread: Spread{390, 480}, Target: "<=300", Rounds: 20,
			Kernel: "6.18.0 amd64", Date: "2026-01-03",
		},
	}
}

func TestKeys(t *testing.T) {
	b, err := json.Marshal(sample()[0])
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	var keys []string
	depth := 0
	for tok, err := d.Token(); err == nil; tok, err = d.Token() {
		switch v := tok.(type) {
		case json.Delim:
			if v == '{' {
				depth++
			} else {
				depth--
			}
		case string:
			if depth == 1 && strings.Contains(string(b), `"`+v+`":`) {
				keys = append(keys, v)
			}
		}
	}
	want := []string{"id", "what", "unit", "ours", "peer", "peer_name", "ratio", "spread", "target", "meets", "rounds", "kernel", "date"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys %v\nwant %v", keys, want)
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		target string
		v      float64
		met    bool
	}{
		{"<=1.25", 1.25, true}, {"<=1.25", 1.2501, false}, {">= 0.90", 0.9, true}, {"≥0.9", 0.89, false}, {"=0", 0, true},
		{"=0", 0.001, false}, {"<1.0", 1, false}, {"> 3", 3.1, true}, {"≤ 150", 151, false}, {"<=1", math.NaN(), false},
	} {
		p, err := ParseTarget(c.target)
		if err != nil || p.Met(c.v) != c.met {
			t.Errorf("%s of %v: %v %v", c.target, c.v, p, err)
		}
	}
	for _, bad := range []string{"", "1.25", "<=", "<= x", "=>1", "<=NaN", ">Inf"} {
		if p, err := ParseTarget(bad); err == nil {
			t.Errorf("%q is %v", bad, p)
		}
	}
}

func TestJudge(t *testing.T) {
	r := Result{ID: "a", Ours: 400, Ratio: 1, Target: "<=300"}
	if err := r.Judge(); err != nil || r.Meets {
		t.Errorf("without a peer, ours counts: %+v %v", r, err)
	}
	r.PeerName = "x"
	if err := r.Judge(); err != nil || !r.Meets {
		t.Errorf("with a peer, the ratio counts: %+v %v", r, err)
	}
	r.Target = ""
	r.Meets = false
	if err := r.Judge(); err != nil || !r.Meets {
		t.Error("no target was missed")
	}
	r.Target = "fast"
	if err := r.Judge(); err == nil {
		t.Error("a target that means nothing was judged")
	}
}

func TestWriteMerges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "room.json")
	if err := Write(path, sample()); err != nil {
		t.Fatal(err)
	}
	changed := sample()[1]
	changed.Ours = 100
	other := Result{ID: "new"}
	if err := Write(path, []Result{changed, other}); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := []Result{sample()[0], changed, other}; !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if err := Write(path, []Result{{ID: "nan", Ours: math.NaN()}}); err == nil {
		t.Error("NaN was written")
	}
	if again, err := Read(path); err != nil || !slices.Equal(again, got) {
		t.Errorf("a refused write changed the file: %+v %v", again, err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v %v", files, err)
	}
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{"{}", `[{"id":""}]`, `[{"id":"a"},{"id":"a"}]`, "["} {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err := Read(path); err == nil {
			t.Errorf("%s: %+v", text, r)
		}
		if err := Write(path, sample()); err == nil {
			t.Errorf("%s was overwritten", text)
		}
	}
	if r, err := Read(filepath.Join(t.TempDir(), "none")); err != nil || r != nil {
		t.Errorf("no file: %v %v", r, err)
	}
}

const golden = `| | ours | peer | ratio (min–max) | target | |
|---|--:|--:|--:|--:|:-:|
| p99 of LS \| beside BE | 3.10 ms | 2.80 ms<br>LS alone | **1.11** (1.02–1.21) | ≤ 1.25 | ✓ |
| start to ready | 412 ms (390–480) |  |  | ≤ 300 | ✗ |

Measured on Linux 6.18.0 amd64, 2026-01-02 to 2026-01-03, 7 to 20 rounds; where there is a peer, both interleaved.
`

func TestTable(t *testing.T) {
	if got := Table(sample()); got != golden {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
}

func TestDraw(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	before := "head\n<!-- bench:qos -->\nold\n<!-- /bench:qos -->\ntail <!-- bench:kv --><!-- /bench:kv -->\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	want := "head\n<!-- bench:qos -->\n" + golden + "<!-- /bench:qos -->\ntail <!-- bench:kv --><!-- /bench:kv -->\n"
	for range 2 {
		if err := Draw(path, "qos", sample()); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != want {
			t.Fatalf("got\n%s", b)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode changed: %v %v", st.Mode(), err)
	}
	if err := Draw(path, "smc", nil); !errors.Is(err, ErrNoMarker) {
		t.Errorf("no marker: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != want {
		t.Error("a failed draw changed the file")
	}
}

func TestSVG(t *testing.T) {
	rows := append(sample(), Result{ID: "x", What: `a <b> & "c"`, PeerName: "p", Ratio: 40, Spread: Spread{12, 90}, Target: ">=3", Meets: true})
	got := SVG("QoS & more", rows)
	d := xml.NewDecoder(strings.NewReader(got))
	bars := map[string]int{}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not XML: %v\n%s", err, got)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars[e.Attr[0].Value]++
		}
	}
	if bars["meets"] != 2 || bars["bg"] != 1 {
		t.Errorf("bars %v: want one for each of the two results with a peer", bars)
	}
	if !strings.Contains(got, "prefers-color-scheme: dark") || !strings.Contains(got, "40.0×") {
		t.Error("no dark colours, or no ratio")
	}
	if SVG("QoS & more", rows) != got {
		t.Error("drawn twice it differs")
	}
	if !strings.HasPrefix(SVG("none", nil), "<svg") {
		t.Error("no results: no chart")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`[{"id":"a","ours":1,"target":"<=1.25"}]`))
	f.Add([]byte(`[{"id":"a","what":"|<!-- /bench:qos -->","peer_name":"p","ratio":1e308,"spread":{"min":1e-308,"max":1e308},"target":">0"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := parse(b)
		if err != nil {
			return
		}
		once, err := between([]byte("<!-- bench:x --><!-- /bench:x -->"), "x", Table(rows))
		if err != nil {
			t.Fatal(err)
		}
		twice, err := between(once, "x", Table(rows))
		if err != nil || string(once) != string(twice) {
			t.Fatalf("not idempotent: %v\n%s\n%s", err, once, twice)
		}
		SVG("t", rows)
	})
}
