package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

func TestBadOptionsNameTheFlag(t *testing.T) {
	good := Options{Class: class.BE, Name: "t-run-x", Argv: []string{"true"}, RunDir: t.TempDir(), CPUs: 0.5, Memory: 1 << 30}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flag   string
		change func(*Options)
	}{
		{"--class", func(o *Options) { o.Class = class.None }},
		{"--class", func(o *Options) { o.Class = class.System }},
		{"--class", func(o *Options) { o.Class = 200 }},
		{"--name", func(o *Options) { o.Name = "a/b" }},
		{"--name", func(o *Options) { o.Name = ".." }},
		{"--name", func(o *Options) { o.Name = "-x" }},
		{"--name", func(o *Options) { o.Name = "a b" }},
		{"--name", func(o *Options) { o.Name = strings.Repeat("a", 65) }},
		{"--cpus", func(o *Options) { o.CPUs = math.NaN() }},
		{"--cpus", func(o *Options) { o.CPUs = math.Inf(1) }},
		{"--cpus", func(o *Options) { o.CPUs = -1 }},
		{"--cpus", func(o *Options) { o.CPUs = 1e30 }},
		{"--memory", func(o *Options) { o.Memory = 1 }},
		{"--memory", func(o *Options) { o.Memory = -1 }},
		{"--burst", func(o *Options) { o.CPUs, o.Burst = 0, qos.BurstMode{Set: true, Budget: time.Second} }},
		{"--burst", func(o *Options) { o.Burst = qos.BurstMode{Set: true, Budget: -time.Second} }},
	} {
		o := good
		c.change(&o)
		var f *FlagError
		res, err := Run(t.Context(), o)
		if !errors.As(err, &f) || f.Flag != c.flag || !strings.Contains(err.Error(), c.flag) || res.ExitCode != -1 {
			t.Errorf("want an error for %s: %+v, %v", c.flag, res, err)
		}
	}
	for _, argv := range [][]string{nil, {""}, {"a\x00b"}} {
		o := good
		o.Argv = argv
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("argv %q is taken", argv)
		}
	}
}

func TestTinyCPULimitNamesTheFlag(t *testing.T) {
	node(t)
	o := options(t, "true")
	o.CPUs = 1e-9
	var f *FlagError
	if _, err := Run(t.Context(), o); !errors.As(err, &f) || f.Flag != "--cpus" {
		t.Error(err)
	}
}

// A name that the kernel has taken for one of its files is found out on the
// node only.
func TestKernelFileName(t *testing.T) {
	node(t)
	o := options(t, "true")
	o.Name = "cgroup.procs"
	var f *FlagError
	if _, err := Run(t.Context(), o); !errors.As(err, &f) || f.Flag != "--name" {
		t.Error(err)
	}
	if len(records(o.RunDir)) > 0 {
		t.Error("a record is left")
	}
	o.Name = uniqueName()
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if err := errors.Join(os.Mkdir(a, 0o755), os.Mkdir(b, 0o755),
		os.WriteFile(filepath.Join(a, "prog"), nil, 0o600), os.WriteFile(filepath.Join(b, "prog"), nil, 0o700),
		os.WriteFile(filepath.Join(a, "plain"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=/nowhere", "PATH=" + a + ":" + b}
	for _, c := range []struct {
		name, dir string
		env       []string
		want      string
		code      int
	}{
		{"prog", "", env, b + "/prog", 0}, // the first is not executable
		{"plain", "", env, "", 126},
		{"none", "", env, "", 127},
		{"./prog", b, env, "./prog", 0},
		{"./prog", a, env, "", 126},
		{"prog", b, []string{"PATH="}, "", 127},
		{"prog", b, []string{"PATH=:/x"}, "./prog", 0}, // an empty element is the working directory
		{"prog", dir, []string{"PATH=b"}, "./b/prog", 0},
		{a, "", env, "", 126},
	} {
		got, err := lookup(c.name, c.dir, c.env)
		if got != c.want || err != nil && codeOf(err) != c.code || err == nil && c.code != 0 {
			t.Errorf("lookup %q in %q: %q, %v; want %q, code %d", c.name, c.dir, got, err, c.want, c.code)
		}
	}
}

func TestMadeNamesAreValidAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, command := range []string{"/usr/bin/sleep", "a b/c d", "…", "-x", "..", strings.Repeat("x", 300), "/usr/bin/sleep"} {
		n := makeName(command)
		if !validName(n) || seen[n] {
			t.Errorf("%q gives %q", command, n)
		}
		seen[n] = true
	}
}

// On cgroup2 the kernel itself starts the command in its cgroup and kills what
// is left. A hybrid node has that hierarchy too, if without controllers.
func TestUnifiedHierarchy(t *testing.T) {
	tree := node(t)
	mount := tree.Mount(cgroup.Unified)
	if mount == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup2", Reason: feature.NoKernel, Need: "a mounted cgroup2 hierarchy"})
	}
	root := t.TempDir()
	info := "30 24 0:27 / /cg rw - cgroup2 none rw\n"
	if err := errors.Join(os.MkdirAll(root+"/proc/self", 0o755), os.WriteFile(root+"/proc/self/mountinfo", []byte(info), 0o600), os.Symlink(mount, root+"/cg")); err != nil {
		t.Fatal(err)
	}
	o := options(t, "sh", "-c", "cat /proc/self/cgroup; setsid sleep 1000 & exit 4")
	o.Root, o.Stage = root, nil // the kernel does it alone
	res, out, err := output(t, o)
	if err != nil || res.ExitCode != 4 || !strings.Contains(out, "0::"+res.Cgroup+"\n") {
		t.Errorf("%+v, %v:\n%s", res, err, out)
	}
	o.Argv = []string{"/proc/self/mounts"}
	if res, err := Run(t.Context(), o); res.ExitCode != 126 || err == nil {
		t.Errorf("not executable: %+v, %v", res, err)
	}
	if v, _ := tree.Version("cpu"); v == cgroup.V1 {
		o.Argv, o.CPUs = []string{"true"}, 1
		if _, err := Run(t.Context(), o); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("limit without controller: %v", err)
		}
	}
}

func TestHandDown(t *testing.T) {
	dir := t.TempDir()
	control := filepath.Join(dir, "cgroup.subtree_control")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpu hugetlb memory\n"), 0o600),
		os.WriteFile(control, []byte("cpu\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := &site{}
	if err := s.handDown(dir); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(control); string(b) != "+memory" {
		t.Errorf("wrote %q: only what is wanted and not on yet", b)
	}
	if err := s.handDown(filepath.Join(dir, "none")); !cgroup.Gone(err) {
		t.Error(err)
	}
}

func TestCopyCPUSet(t *testing.T) {
	parent, child := t.TempDir(), t.TempDir()
	put := func(dir, file, text string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyCPUSet(parent, child); err != nil {
		t.Error("another controller's directory:", err)
	}
	put(parent, "cpuset.cpus", "0-3\n")
	put(parent, "cpuset.mems", "0\n")
	put(child, "cpuset.cpus", "2\n") // somebody's choice stays
	put(child, "cpuset.mems", "\n")
	if err := copyCPUSet(parent, child); err != nil {
		t.Fatal(err)
	}
	cpus, _ := os.ReadFile(filepath.Join(child, "cpuset.cpus"))
	mems, _ := os.ReadFile(filepath.Join(child, "cpuset.mems"))
	if string(cpus) != "2\n" || strings.TrimSpace(string(mems)) != "0" {
		t.Errorf("cpus %q, mems %q", cpus, mems)
	}
	if err := copyCPUSet(parent, filepath.Join(child, "none")); !cgroup.Gone(err) {
		t.Error(err)
	}
}

func TestGuardRefusesNonsense(t *testing.T) {
	if err := GuardMain(nil); err == nil {
		t.Error("no record")
	}
	for _, args := range [][]string{nil, {"--join"}, {"--status", "1", "--", "a", "b"}, {"--join", "rel", "--status", "3", "--", "a", "b"}, {"--status", "3", "--", "a"}, {"--x", "y", "--", "a", "b"}} {
		if err := Stage(args); err == nil {
			t.Errorf("stage takes %q", args)
		}
	}
}

func TestStageArgsRoundTrip(t *testing.T) {
	a := &stageArgs{join: []string{"/a", "/b"}, status: 5, path: "/bin/x", argv: []string{"--", "--join", ""}}
	b, err := parseStageArgs(a.encode())
	if err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v, %v; want %v", b, err, a)
	}
}

func FuzzStageArgs(f *testing.F) {
	f.Add("--join\n/a\n--status\n3\n--\n/bin/x\nx")
	f.Add("--status\n99999999999\n--\na\nb")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseStageArgs(strings.Split(s, "\n"))
		if err != nil {
			return
		}
		if len(a.argv) == 0 || a.status < 3 {
			t.Fatalf("%+v", a)
		}
		if b, err := parseStageArgs(a.encode()); err != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%+v, %v", b, err)
		}
	})
}

// Whatever a record says, a sweep kills and removes below class homes only.
func FuzzRecord(f *testing.F) {
	good := `{"version":1,"class":"BE","name":"x","pid":2,"start":3,"boot_id":"b","cgroups":["/sys/fs/cgroup/cpu/anole-be/x"]}`
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, "/cpu/anole-be/x", "/cpu/../../x", 1)))
	f.Add([]byte(strings.Replace(good, `"x"`, `".."`, 1)))
	f.Add([]byte(strings.Replace(good, "BE", "NONE", 1)))
	f.Add([]byte(strings.Replace(good, "}", `,"labels":{"app":"web"}}`, 1)))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		for _, c := range r.Cgroups {
			home := filepath.Base(filepath.Dir(c))
			if filepath.Clean(c) != c || filepath.Base(c) != r.Name || home != "anole-"+strings.ToLower(r.Class.String()) || !validName(r.Name) {
				t.Fatalf("takes %q for %s %s", c, r.Class, r.Name)
			}
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseRecord(again); err != nil {
			t.Fatalf("does not take its own %s: %v", again, err)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "web", "..", "a/b", "a\x00", "-a", strings.Repeat("a", 65)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if validName(s) && (len(s) > 64 || strings.ContainsAny(s, "/\x00 \n") || filepath.Clean("/h/"+s) != "/h/"+s || s[0] == '-') {
			t.Fatalf("takes %q", s)
		}
		if n := makeName(s); !validName(n) {
			t.Fatalf("makes %q of %q", n, s)
		}
	})
}

func TestRecordIsClaimedOnce(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecord(class.LS, "x", []string{"/c/anole-ls/x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.claim(dir); err != nil {
		t.Fatal(err)
	}
	if err := r.claim(dir); !errors.Is(err, os.ErrExist) {
		t.Error("claimed twice:", err)
	}
	if got := records(dir); !slices.Equal(got, []string{"ls.x.json"}) {
		t.Errorf("files %q", got)
	}
	if !r.alive(r.BootID) || r.alive("another boot") {
		t.Error("this process is alive in this boot only")
	}
	r.Start++
	if r.alive(r.BootID) {
		t.Error("a process with a reused id passes for the runner")
	}
}

// The guard of a dead run must spare a new one of the same name.
func TestGuardSparesTheNextOfTheName(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecord(class.LS, "x", []string{t.TempDir() + "/anole-ls/x"})
	if err != nil {
		t.Fatal(err)
	}
	path := r.file(dir)
	if err := r.claim(dir); err != nil {
		t.Fatal(err)
	}
	h, err := openRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.release()
	if err := errors.Join(os.Remove(path), r.claim(dir)); err != nil {
		t.Fatal(err)
	}
	if err := bury(h); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("the new record is gone:", err)
	}
}

// A runner may be gone before its guard has said that it watches.
func TestGuardOfARunnerThatIsGone(t *testing.T) {
	dir := t.TempDir()
	r, err := newRecord(class.LS, "x", []string{t.TempDir() + "/anole-ls/x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.claim(dir); err != nil {
		t.Fatal(err)
	}
	nobody, report, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	guard := exec.Command(exe(), "t-guard", r.file(dir))
	guard.Stdout = report
	if out, err := guard.StderrPipe(); err != nil {
		t.Fatal(err)
	} else if err := guard.Start(); err != nil {
		t.Fatal(err)
	} else if said, _ := io.ReadAll(out); len(said) > 0 {
		t.Errorf("the guard said %s", said)
	}
	_ = report.Close()
	if err := guard.Wait(); err != nil {
		t.Error(err)
	}
	if left := records(dir); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}
