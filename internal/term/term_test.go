package term

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	tab := NewTable("NAME", "USE", "NOTE")
	tab.Row("alpha", "5 %", Cell{"fine", Green})
	tab.Row("ä", "100 %", "evil\x1b[2J\nname")
	var b bytes.Buffer
	if err := tab.Write(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME     USE  NOTE\nalpha    5 %  fine\nä      100 %  evil?[2J name\n"
	if b.String() != want {
		t.Errorf("got\n%q\nwant\n%q", b.String(), want)
	}
	b.Reset()
	if err := tab.write(&b, true, 0, wrap); err != nil || !strings.Contains(b.String(), "\x1b[32mfine\x1b[0m") {
		t.Errorf("with colours %q, %v", b.String(), err)
	}
	b.Reset()
	empty := NewTable("A", "B")
	if err := empty.Write(&b); err != nil || b.String() != "A  B\n" {
		t.Errorf("empty table %q, %v", b.String(), err)
	}
}

func TestDuration(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0 ns", 1500: "1.50 µs", 12 * time.Millisecond: "12.0 ms", 1250 * time.Millisecond: "1.25 s", 125 * time.Second: "2m 5s",
		26 * time.Hour: "1d 2h", 90 * time.Minute: "1h 30m", -time.Second: "-1.00 s",
	} {
		if got := Duration(in); got != want {
			t.Errorf("Duration(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestProgressWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	p := NewProgress(&b, "measure", 3)
	for i := range 3 {
		p.Set(int64(i))
	}
	p.Done()
	if lines := strings.Count(b.String(), "\n"); lines != 2 || strings.Contains(b.String(), "\x1b") {
		t.Errorf("output %q", b.String())
	}
	if Colours(&b) || IsTerminal(&b) {
		t.Error("a buffer is taken for a terminal")
	}
}
