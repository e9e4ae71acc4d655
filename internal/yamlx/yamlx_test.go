package yamlx

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type loop struct {
	Period Duration `yaml:"period" doc:"how often the loop runs"`
	Skew   Duration `yaml:"skew,omitempty" negative:"allow"`
	Gain   float64  `yaml:"gain"`
}

type sample struct {
	Name   string            `yaml:"name" doc:"what it is called"`
	On     bool              `yaml:"on"`
	Count  uint16            `yaml:"count"`
	Size   Bytes             `yaml:"size" doc:"how large"`
	Loop   loop              `yaml:"loop" doc:"the control loop"`
	Loops  []loop            `yaml:"loops"`
	Labels map[string]string `yaml:"labels"`
	Any    any               `yaml:"any,omitempty"`
}

func TestDecodeKeepsDefaults(t *testing.T) {
	s := sample{Name: "default", Count: 3, Loop: loop{Period: Duration(time.Second), Gain: 2}}
	src := "on: true\nloop: {gain: 1.5, skew: -2ms}\nsize: 256MiB\nlabels: {a: 1, b: x}\nloops: [{period: 1h}, {}]\n"
	if err := Decode([]byte(src), "f", &s); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "default", On: true, Count: 3, Size: 256 << 20,
		Loop:   loop{Period: Duration(time.Second), Gain: 1.5, Skew: Duration(-2 * time.Millisecond)},
		Loops:  []loop{{Period: Duration(time.Hour)}, {}},
		Labels: map[string]string{"a": "1", "b": "x"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("got  %+v\nwant %+v", s, want)
	}
	for _, empty := range []string{"", "# only a comment\n", "---\n", "~\n", "loop:\n"} {
		again := want
		if err := Decode([]byte(empty), "f", &again); err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%q: %v, %+v", empty, err, again)
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"unknown key", "nme: x\n", `f.yaml:1:1: unknown key "nme"; did you mean "name"?`},
		{"unknown nested", "loop:\n  gain: 1\n  perod: 1s\n", `f.yaml:3:3: loop: unknown key "perod"; did you mean "period"?`},
		{"nothing near", "loop: {zzzzzz: 1}\n", `f.yaml:1:8: loop: unknown key "zzzzzz"; known are gain, period, skew`},
		{"duplicate", "name: a\non: true\nname: b\n", `f.yaml:3:1: key "name" is given twice, first on line 1`},
		{"wrong type", "count: many\n", `f.yaml:1:8: count: wants a whole number, not negative, got "many"`},
		{"bool for text", "name: true\n", `f.yaml:1:7: name: wants a text, got true (quote it to mean the word)`},
		{"text for bool", "on: 'true'\n", `f.yaml:1:5: on: wants true or false, got "true"`},
		{"out of range", "count: 70000\n", `f.yaml:1:8: count: 70000 is out of range`},
		{"negative", "count: -1\n", `f.yaml:1:8: count: -1 is out of range`},
		{"nan", "loop: {gain: .nan}\n", `f.yaml:1:14: loop.gain: wants a finite number, got .nan`},
		{"inf", "loop: {gain: 1e999}\n", `f.yaml:1:14: loop.gain: wants a number, got "1e999"`},
		{"bare duration", "loop: {period: 5}\n", `f.yaml:1:16: loop.period: wants a duration with its unit, such as "100ms", "5s" or "24h", got "5"`},
		{"negative duration", "loop: {period: -5s}\n", `f.yaml:1:16: loop.period: -5s: a negative duration is not allowed here`},
		{"size 1e30", "size: 1e30\n", `f.yaml:1:7: size: wants a size such as "256MiB" or "1GB", got "1e30"`},
		{"size overflow", "size: 9999999TiB\n", `f.yaml:1:7: size: the size 9999999TiB is out of range`},
		{"list for keys", "loop: [1]\n", `f.yaml:1:7: loop: wants keys and values, got a list`},
		{"keys for list", "loops: {a: b}\n", `f.yaml:1:8: loops: wants a list, got keys and values`},
		{"in a list", "loops:\n- {}\n- {gian: 1}\n", `f.yaml:3:4: loops[1]: unknown key "gian"; did you mean "gain"?`},
		{"no value", "name:\n", `f.yaml:1:6: name: has no value`},
		{"second document", "name: a\n---\nname: b\n", `f.yaml:2: a second document begins here; one document a file`},
		{"merge key", "x: &a {on: true}\n<<: *a\n", `f.yaml:2:1: merge keys (<<) are not supported`},
		{"tag", "name: !exec ls\n", `f.yaml:1:7: name: unknown tag !exec`},
		{"unexported field", "private: 1\n", `f.yaml:1:1: unknown key "private"; known are any, count, labels, loop, loops, name, on, size`},
		{"several", "nme: x\ncount: -1\nsize: {}\n", `f.yaml:1:1: unknown key "nme"; did you mean "name"?
f.yaml:2:8: count: -1 is out of range
f.yaml:3:7: size: wants a size such as "256MiB", got keys and values`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Decode([]byte(c.src), "f.yaml", &sample{})
			if err == nil {
				t.Fatal("accepted")
			}
			if err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
	if err := Decode([]byte("a: [\n"), "f.yaml", &sample{}); err == nil || !strings.HasPrefix(err.Error(), "f.yaml:") {
		t.Errorf("syntax error without a place: %v", err)
	}
}

func TestAliasesAreBounded(t *testing.T) {
	var s sample
	if err := Decode([]byte("loop: &l {gain: 3}\nloops: [*l, *l]\n"), "f", &s); err != nil || s.Loops[1].Gain != 3 {
		t.Fatalf("alias: %v %+v", err, s)
	}
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		p, q := string(rune('0'+i-1)), string(rune('0'+i))
		b.WriteString("a" + q + ": &a" + q + " [" + strings.Repeat("*a"+p+",", 9) + "*a" + p + "]\n")
	}
	if _, err := Parse([]byte(b.String()), "f"); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Fatalf("a billion laughs: %v", err)
	}
}

func TestMergeKeepsPlaces(t *testing.T) {
	parse := func(src, file string) *Doc {
		d, err := Parse([]byte(src), file)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := parse("name: a\nloop: {gain: 1, period: 1s}\nloops: [{}, {}]\nlabels: {a: x}\n", "main.yaml")
	over := parse("loop:\n  gain: 2\nloops: [{gain: 7}]\nlabels: {b: y}\n", "conf.d/10.yaml")
	m := Merge(base, over)
	var s sample
	if err := m.Decode(&s); err != nil {
		t.Fatal(err)
	}
	want := sample{Name: "a", Loop: loop{Gain: 2, Period: Duration(time.Second)}, Loops: []loop{{Gain: 7}}, Labels: map[string]string{"a": "x", "b": "y"}}
	if !reflect.DeepEqual(s, want) {
		t.Fatalf("got  %+v\nwant %+v", s, want)
	}
	err := Merge(m, parse("\nloop: {gain: many}\nnam: x\n", "conf.d/20.yaml")).Decode(&s)
	wantErr := "conf.d/20.yaml:2:14: loop.gain: wants a number, got \"many\"\n" +
		"conf.d/20.yaml:3:1: unknown key \"nam\"; did you mean \"name\"?"
	if err == nil || err.Error() != wantErr {
		t.Fatalf("got\n%v\nwant\n%s", err, wantErr)
	}
	if !Equal(base, parse("# other\nlabels:\n  a: 'x'\nloops: [{}, {}]\nloop: {period: 1s, gain: 1}\nname: \"a\"\n", "z")) {
		t.Error("the same content in another style is not Equal")
	}
	if Equal(base, m) {
		t.Error("different content is Equal")
	}
	if got := m.Section("loop").Errorf("gain", "too %s", "high").Error(); got != "conf.d/10.yaml:2:3: loop.gain: too high" {
		t.Errorf("Errorf gave %q", got)
	}
	if err := m.CheckKeys("name", "loop", "loops"); err == nil || !strings.Contains(err.Error(), `main.yaml:4:1: unknown key "labels"`) {
		t.Errorf("CheckKeys gave %v", err)
	}
}

func TestQuantitiesRoundTrip(t *testing.T) {
	for in, want := range map[string]Bytes{
		"0": 0, "1": 1, "5B": 5, "256MiB": 256 << 20, "1GB": 1e9, "64Ki": 64 << 10, "500k": 500e3, "1.5 GiB": 3 << 29,
		"9223372036854775807": 1<<63 - 1, "1kb": 1000,
	} {
		got, err := ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
		if back, err := ParseBytes(got.String()); err != nil || back != got {
			t.Errorf("%q came back as %d, %v", got.String(), back, err)
		}
	}
	for _, in := range []string{"", "-1", "-1MiB", "NaN", ".nan", "inf", "1e30", "1e3", "MiB", "5 apples", "1..2", ".5", "5.", "0x10", "9223372036854775808", "9000000000TiB", strings.Repeat("9", 50)} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d", in, got)
		}
	}
	for in, want := range map[time.Duration]string{0: "0s", time.Hour: "1h", 90 * time.Minute: "1h30m", 24 * time.Hour: "24h", 1500 * time.Millisecond: "1.5s", time.Hour + time.Second: "1h0m1s", 10 * time.Minute: "10m"} {
		if got := Duration(in).String(); got != want {
			t.Errorf("%v is written %q, want %q", in, got, want)
		}
	}
	type both struct {
		D Duration `json:"d" yaml:"d"`
		B Bytes    `json:"b" yaml:"b"`
	}
	in := both{Duration(90 * time.Second), 3 << 20}
	j, err := json.Marshal(in)
	if err != nil || string(j) != `{"d":"1m30s","b":"3MiB"}` {
		t.Fatalf("JSON %s, %v", j, err)
	}
	var out both
	if err := json.Unmarshal(j, &out); err != nil || out != in {
		t.Errorf("JSON gave %+v, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"b":1024}`), &out); err != nil || out.B != 1024 {
		t.Errorf("a plain JSON number gave %v, %v", out.B, err)
	}
	if json.Unmarshal([]byte(`{"b":1e30}`), &out) == nil || json.Unmarshal([]byte(`{"d":5}`), &out) == nil {
		t.Error("JSON 1e30 bytes or a bare duration was accepted")
	}
	y, err := yaml.Marshal(in)
	if err != nil || yaml.Unmarshal(y, &out) != nil || out != in {
		t.Errorf("YAML %q gave %+v", y, out)
	}
}

func TestEncodeComments(t *testing.T) {
	got, err := Encode(Section{"version", "form of this file", 1}, Section{"room", "a room", sample{Name: "x", Size: 1 << 20, Loop: loop{Period: Duration(time.Second)}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `# form of this file
version: 1
# a room
room:
  # what it is called
  name: x
  on: false
  count: 0
  # how large
  size: 1MiB
  # the control loop
  loop:
    # how often the loop runs
    period: 1s
    gain: 0
  loops: []
  labels: {}
`
	if string(got) != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	var back struct {
		Version int
		Room    sample
	}
	if err := Decode(got, "default", &back); err != nil {
		t.Fatal(err)
	}
	ks := Keys("room", &back.Room)
	if ks[3] != (Key{"room.size", "size", "1MiB", "how large"}) || ks[4].Path != "room.loop.period" || ks[4].Default != "1s" {
		t.Errorf("keys %+v", ks)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"period", "gain", "enabled"}
	for in, want := range map[string]string{"Period": "period", "perido": "period", "gani": "gain", "enable": "enabled", "xyz": "", "": ""} {
		if got := Nearest(in, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"name: a", "loop: {period: 1s}", "loops: [{gain: .5}, *x]", "a: &a [*a]", "<<: x", "size: 1e30", "? [a]\n: b", "\x00", "--- \n--- ", "any: {a: [1, 2]}", "labels: {~: x}", "!!binary x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var s sample
		if Decode(src, "f", &s) != nil {
			return
		}
		s.Any = nil
		out, err := Encode(Section{Key: "s", Value: s})
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		var back struct{ S sample }
		if err := Decode(out, "f", &back); err != nil {
			t.Fatalf("decode what was encoded: %v\n%s", err, out)
		}
		if back.S.Name != s.Name || back.S.Size != s.Size || back.S.Loop != s.Loop {
			t.Fatalf("%+v came back as %+v", s, back.S)
		}
	})
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"1", "256MiB", "1.5GB", "1e30", "-1", "NaN"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q is %d", s, b)
		}
		if back, err := ParseBytes(b.String()); err != nil || back != b {
			t.Fatalf("%q: %d came back as %d, %v", s, b, back, err)
		}
	})
}
