package workload

import (
	"encoding/json"
	"path"
	"strings"
	"testing"
)

func show(w Workload) string {
	b, _ := json.Marshal(w)
	return string(b)
}

func TestGlob(t *testing.T) {
	cases := []struct {
		pattern string
		yes, no string // divided by spaces
	}{
		{"/a/**", "/a/b /a/b/c", "/a /ab /b/a/c"},
		{"/**", "/a /a/b", "/"},
		{"/**/x", "/x /a/x /a/b/x", "/ax /a/bx /x/y"},
		{"/a/**/x", "/a/x /a/b/c/x", "/ax /a/xx"},
		{"*", "/a /a/b", ""},
		{"web*", "/a/web /web1", "/web/a /aweb"},
		{"/a/*", "/a/b", "/a/b/c /a"},
		{"/a?c", "/abc", "/a/c /ac"},
		{"/[a-c]", "/a /c", "/d /ab"},
		{"/[!a-c]x", "/dx", "/ax //x"},
		{"/[*]", "/*", "/a"},
		{"/[]", "", "/a"},
		{`/a\x2db`, `/a\x2db`, "/a-b"},
		{"/a.b", "/a.b", "/axb"},
		{`/[\d]`, `/\ /d`, "/7"},
		{"/[^a]", "/^ /a", "/b"},
	}
	for _, c := range cases {
		g, err := compileGlob(c.pattern)
		if c.yes == "" && err != nil {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range strings.Fields(c.yes) {
			if !g.match(s) {
				t.Errorf("%q does not match %q", c.pattern, s)
			}
		}
		for _, s := range strings.Fields(c.no) {
			if g.match(s) {
				t.Errorf("%q matches %q", c.pattern, s)
			}
		}
	}
}

func TestGlobRefuses(t *testing.T) {
	for _, p := range []string{"", "/a**", "/**a", "/***", "/[", "/[]", "/[!]", "/[a/b]", "/[+-9]", "/[z-a]", strings.Repeat("a", maxPattern+1)} {
		if _, err := compileGlob(p); err == nil {
			t.Errorf("%q was accepted", p)
		}
	}
}

// FuzzGlob compares with path.Match on the patterns that both know.
func FuzzGlob(f *testing.F) {
	f.Add("/a/**/b", "/a/b")
	f.Add("/[!-0]*?", "/ab")
	f.Add("a[]]", "a]")
	f.Add("/*/[a-z]", "/é/\xff")
	f.Fuzz(func(t *testing.T, p, s string) {
		g, err := compileGlob(p)
		if err != nil {
			return
		}
		got := g.match(s)
		if strings.Contains(p, "**") || strings.ContainsAny(p, `\[`) || !strings.Contains(p, "/") || strings.ContainsAny(p+s, "\uFFFD") || !valid(p) || !valid(s) {
			return
		}
		want, err := path.Match(p, s)
		if err == nil && got != want {
			t.Fatalf("pattern %q, name %q: %v, path.Match says %v", p, s, got, want)
		}
	})
}

func valid(s string) bool { return strings.ToValidUTF8(s, "\uFFFD") == s }

func TestMatch(t *testing.T) {
	w := &Workload{
		Path: "/system.slice/web@a.service", Kind: KindService, Unit: `web@a\x2db.service`, ContainerID: "abcdef", KubeQoS: Burstable,
		Labels: map[string]string{"app": "web", "team": "x/y"},
	}
	exe := func() []string { return []string{"/bin/sh", "/usr/sbin/nginx"} }
	cases := []struct {
		name string
		m    Match
		want bool
	}{
		{"path", Match{Path: "/system.slice/**"}, true},
		{"path no", Match{Path: "/user.slice/**"}, false},
		{"base", Match{Path: "web@*"}, true},
		{"unit raw", Match{Unit: `web@a\x2db.service`}, true},
		{"unit plain", Match{Unit: "web@a-b.service"}, true},
		{"unit no", Match{Unit: "db.service"}, false},
		{"exe", Match{Exe: "/usr/sbin/*"}, true},
		{"exe base", Match{Exe: "nginx"}, true},
		{"exe no", Match{Exe: "mysqld"}, false},
		{"label", Match{Label: map[string]string{"app": "web"}}, true},
		{"label any", Match{Label: map[string]string{"team": "*"}}, true},
		{"label other value", Match{Label: map[string]string{"app": "db"}}, false},
		{"label absent", Match{Label: map[string]string{"zone": "*"}}, false},
		{"kind", Match{Kind: KindService}, true},
		{"kind no", Match{Kind: KindScope}, false},
		{"qos", Match{KubeQoS: Burstable}, true},
		{"qos no", Match{KubeQoS: BestEffort}, false},
		{"container", Match{ContainerID: "abc"}, true},
		{"container no", Match{ContainerID: "bcd"}, false},
		{"all hold", Match{Path: "/**", Kind: KindService, Exe: "sh"}, true},
		{"one fails", Match{Path: "/**", Kind: KindScope, Exe: "sh"}, false},
	}
	for _, c := range cases {
		m, err := Compile(c.m)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := m.Match(w, exe); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestMatchAsksForProgramsLast(t *testing.T) {
	asked := 0
	exe := func() []string { asked++; return []string{"/bin/a"} }
	w := &Workload{Path: "/a", Kind: KindPlain}
	for _, c := range []struct {
		m    Match
		want int
	}{{Match{Path: "/a"}, 0}, {Match{Path: "/b", Exe: "a"}, 0}, {Match{Path: "/a", Exe: "a"}, 1}} {
		asked = 0
		m, err := Compile(c.m)
		if err != nil {
			t.Fatal(err)
		}
		m.Match(w, exe)
		if asked != c.want || m.NeedsExe() != (c.m.Exe != "") {
			t.Errorf("%+v: asked %d times, want %d; needs exe %v", c.m, asked, c.want, m.NeedsExe())
		}
	}
	m, _ := Compile(Match{Exe: "a"})
	if m.Match(w, nil) {
		t.Error("matched without programs to look at")
	}
}

func TestCompileRefuses(t *testing.T) {
	cases := []struct {
		m    Match
		says string
	}{
		{Match{}, "without conditions"},
		{Match{Label: map[string]string{}}, "without conditions"},
		{Match{Path: "a/b"}, "path"},
		{Match{Path: "/a**"}, "path"},
		{Match{Unit: "/a.service"}, "unit"},
		{Match{Exe: "bin/sh"}, "exe"},
		{Match{Exe: "["}, "exe"},
		{Match{Kind: "vm"}, "kind"},
		{Match{KubeQoS: "Burstable"}, "kubeQoS"},
		{Match{ContainerID: "abc*"}, "containerID"},
		{Match{Label: map[string]string{"": "x"}}, "label"},
		{Match{Label: map[string]string{"a b": "x"}}, "label"},
	}
	for _, c := range cases {
		if _, err := Compile(c.m); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: error %v does not name %q", c.m, err, c.says)
		}
	}
}
