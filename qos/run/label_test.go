package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/qos/class"
)

func TestParseLabels(t *testing.T) {
	long := strings.Repeat("a", 63)
	got, err := ParseLabels([]string{"app=web", "example.com/Team_1.x-y=", long + "=" + long, "app=web"})
	want := map[string]string{"app": "web", "example.com/Team_1.x-y": "", long: long}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := ParseLabels(nil); got != nil || err != nil {
		t.Errorf("no labels: %v, %v", got, err)
	}
}

func TestBadLabelsSayHowToMendThem(t *testing.T) {
	many := make([]string, MaxLabels+1)
	for i := range many {
		many[i] = fmt.Sprintf("k%d=v", i)
	}
	for _, c := range []struct {
		list []string
		says string
	}{
		{[]string{"app"}, "key=value"},
		{[]string{""}, "key=value"},
		{[]string{"=web"}, "the key is empty"},
		{[]string{"a b=x"}, "bad key"},
		{[]string{"-a=x"}, "bad key"},
		{[]string{"a.=x"}, "bad key"},
		{[]string{"ä=x"}, "bad key"},
		{[]string{strings.Repeat("a", 64) + "=x"}, "1 to 63"},
		{[]string{"a/b/c=x"}, "bad key"},
		{[]string{"/a=x"}, "example.com/team"},
		{[]string{"a/=x"}, "bad key"},
		{[]string{"Example.com/a=x"}, "lower case"},
		{[]string{"a..b/c=x"}, "DNS name"},
		{[]string{strings.Repeat("a", 254) + "/c=x"}, "DNS name"},
		{[]string{"a=b=c"}, "bad value"},
		{[]string{"a=*"}, "bad value"},
		{[]string{"a=b\n"}, "bad value"},
		{[]string{"a=" + strings.Repeat("b", 64)}, "bad value"},
		{[]string{"a=1", "a=2"}, `a is given as "1" too`},
		{many, "at most 64"},
	} {
		_, err := ParseLabels(c.list)
		var f *FlagError
		if !errors.As(err, &f) || f.Flag != "--label" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v; want %q", c.list, err, c.says)
		}
	}
}

func TestRunRefusesBadLabels(t *testing.T) {
	o := Options{Class: class.BE, Argv: []string{"true"}, RunDir: t.TempDir(), Labels: map[string]string{"a b": "x"}}
	var f *FlagError
	if _, err := Run(t.Context(), o); !errors.As(err, &f) || f.Flag != "--label" {
		t.Error(err)
	}
	if r := records(o.RunDir); len(r) > 0 {
		t.Errorf("left behind: %q", r)
	}
}

// The record of a run with all the labels that it may have can be read back: a
// sweep would drop it otherwise, with its workload.
func TestLabelsAreReadFromTheRecord(t *testing.T) {
	dir := t.TempDir()
	labels := map[string]string{}
	for i := range MaxLabels {
		labels[strings.Repeat("p", 253)+"/"+fmt.Sprintf("%063d", i)] = strings.Repeat("v", 63)
	}
	if err := checkLabels(labels); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]map[string]string{"web": {"app": "web", "empty": ""}, "plain": nil, "most": labels} {
		path := "/anole-ls/" + name
		var dirs []string
		for i := range len(wanted) {
			dirs = append(dirs, fmt.Sprintf("/sys/fs/cgroup/%d%s", i, path))
		}
		r, err := newRecord(class.LS, name, dirs)
		if err != nil {
			t.Fatal(err)
		}
		r.Labels = want
		if err := r.claim(dir); err != nil {
			t.Fatal(err)
		}
		if got := Labels(dir, path); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if swept, err := Sweep(dir); len(swept) > 0 || err != nil {
		t.Errorf("swept %q, %v: this process lives", swept, err)
	}
	for _, path := range []string{"", "/", "/anole-ls", "/anole-ls/", "/anole-ls/none", "/anole-be/web", "/anole-ls/web/sub", "/anole-ls/../web", "/system.slice/web"} {
		if got := Labels(dir, path); got != nil {
			t.Errorf("%q: %v", path, got)
		}
	}
}

// A record as it was before there were labels.
func TestRecordWithoutLabelsLoads(t *testing.T) {
	dir := t.TempDir()
	old := `{"version":1,"class":"LS","name":"x","pid":2,"start":3,"boot_id":"b","cgroups":["/sys/fs/cgroup/cpu/anole-ls/x"],"burst":"auto"}`
	if err := os.MkdirAll(recordDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(recordDir(dir), "ls.x.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, ok := Bank(dir, "/anole-ls/x"); !ok || !m.Auto || Labels(dir, "/anole-ls/x") != nil {
		t.Errorf("burst %v %v, labels %v", m, ok, Labels(dir, "/anole-ls/x"))
	}
	r, err := parseRecord([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(r); err != nil || string(b) != old {
		t.Errorf("%s, %v; want the same without labels", b, err)
	}
}

// The labels are on disk before the command, and so an agent, can see the cgroup.
func TestRunRecordsItsLabels(t *testing.T) {
	node(t)
	o := options(t, "true")
	o.Labels = map[string]string{"app": "web"}
	var got map[string]string
	o.OnStart = func(s Started) { got = Labels(o.RunDir, s.Cgroup) }
	if res, err := Run(t.Context(), o); err != nil || res.ExitCode != 0 || !maps.Equal(got, o.Labels) {
		t.Errorf("%+v, %v: labels %v", res, err, got)
	}
	if got := Labels(o.RunDir, "/anole-be/"+o.Name); got != nil {
		t.Errorf("labels %v after the end", got)
	}
}

// What is taken is in the form that it was given in, and rules can match it.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"app=web", "a.b/c=", "=", "a", "a=*", "A/b=c", "a=b=c", "a\x00=b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		labels, err := ParseLabels([]string{s})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--label ") {
				t.Fatalf("%v does not begin with the flag", err)
			}
			return
		}
		for k, v := range labels {
			if k == "" || k+"="+v != s || strings.ContainsAny(s, " \t\n*\x00") {
				t.Fatalf("takes %q as %v", s, labels)
			}
		}
	})
}
