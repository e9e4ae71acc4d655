package qos

import "testing"

func TestMixedLines(t *testing.T) {
	const none = "rbps=max wbps=max riops=max wiops=max"
	ours := "rbps=1 wbps=2 riops=3 wiops=4"
	for _, c := range []struct{ name, now, was, want string }{
		{"one field is theirs", "rbps=1 wbps=2 riops=99 wiops=4", "", "rbps=max wbps=max riops=99 wiops=max"},
		{"one is theirs, there was a line", "rbps=1 wbps=2 riops=99 wiops=4", "rbps=7 wbps=max riops=max wiops=max", "rbps=7 wbps=max riops=99 wiops=max"},
		{"all are theirs", "rbps=5 wbps=6 riops=7 wiops=8", "", "rbps=5 wbps=6 riops=7 wiops=8"},
		{"they took one away", "rbps=1 wbps=2 riops=max wiops=4", "", ""},
		{"they took the line away", "", "rbps=7 wbps=max riops=max wiops=max", ""},
	} {
		if got := mixed(c.now, ours, c.was, none); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := mixed("12345", "3", "", "0"); got != "12345" {
		t.Errorf("a line of one word: %q", got)
	}
}
