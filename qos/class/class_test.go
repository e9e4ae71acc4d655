package class

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestNamesReadBack(t *testing.T) {
	for _, c := range All() {
		for _, s := range []string{c.String(), strings.ToLower(c.String())} {
			if got, err := Parse(s); err != nil || got != c {
				t.Errorf("Parse(%q) = %v, %v; want %v", s, got, err, c)
			}
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Class
		if err := json.Unmarshal(b, &back); err != nil || back != c {
			t.Errorf("%s read back as %v, %v", b, back, err)
		}
	}
	if len(All()) != int(Count) {
		t.Errorf("All lists %d of %d classes", len(All()), Count)
	}
}

func TestUnknownClass(t *testing.T) {
	for _, s := range []string{"", "BEST", "LS ", "1", "Class(7)"} {
		if c, err := Parse(s); err == nil || c != None || !strings.Contains(err.Error(), "LSE, LSR, LS, BE") {
			t.Errorf("Parse(%q) = %v, %v", s, c, err)
		}
	}
	if got := Class(200).String(); got != "Class(200)" {
		t.Errorf("got %s", got)
	}
}

func TestSensitive(t *testing.T) {
	want := map[Class]bool{LSE: true, LSR: true, LS: true}
	for c := None; c < Count; c++ {
		if c.Sensitive() != want[c] {
			t.Errorf("%v.Sensitive() = %v", c, c.Sensitive())
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("LS")
	f.Add("bé")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Parse(s)
		if err == nil && !strings.EqualFold(c.String(), s) {
			t.Fatalf("Parse(%q) = %v", s, c)
		}
		if err != nil && c != None {
			t.Fatalf("Parse(%q) = %v with %v", s, c, err)
		}
	})
}
