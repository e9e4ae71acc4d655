package module

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
)

func TestSumVerb(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	save(t, in("abc"), []byte("abc"))
	save(t, in("odd\xff"), nil)
	const abc = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
	if out := wantExit(t, 0, "sum", in("abc")); out != abc+"  "+in("abc")+"\n" {
		t.Errorf("says %q", out)
	}
	list := wantExit(t, 0, "sum", "--tag", in("abc"), in("odd\xff"))
	if !strings.HasPrefix(list, "SM3 ("+in("abc")+") = "+abc+"\n") {
		t.Errorf("says %q", list)
	}
	save(t, in("list"), []byte(list))
	if out := wantExit(t, 0, "sum", "-c", in("list")); strings.Count(out, ": OK\n") != 2 {
		t.Errorf("says %q", out)
	}
	both := func(args ...string) (out, errs string) {
		t.Helper()
		out, errs, err := runVerb(t.Context(), &core.Env{}, strings.NewReader(""), args...)
		if core.ExitCode(err) != 1 {
			t.Errorf("%v: %v", args, err)
		}
		return out, errs
	}
	if out, errs := both("sum", in("missing"), in("abc")); errs != "anole: "+in("missing")+": No such file or directory\n" || out != abc+"  "+in("abc")+"\n" {
		t.Errorf("says %q and %q", out, errs)
	}
	save(t, in("abc"), []byte("abd"))
	if out, errs := both("sum", "--quiet", "-c", in("list")); out != in("abc")+": FAILED\n" || errs != "anole: WARNING: 1 computed checksum did NOT match\n" {
		t.Errorf("says %q and %q", out, errs)
	}
	if out, errs := both("sum", "--status", "-c", in("list")); out != "" || errs != "" {
		t.Errorf("says %q and %q", out, errs)
	}
	if err := os.Remove(in("odd\xff")); err != nil {
		t.Fatal(err)
	}
	if core.Default.Entry([]string{"/usr/bin/sm3sum", in("abc")}) == nil {
		t.Error("the binary is not sm3sum by its name")
	}
	wantExit(t, 2, "sum", "--tag", "-t", in("abc"))
	wantExit(t, 2, "sum", "--quiet", in("abc"))
	wantExit(t, 0, "sum", "-t", "--tag", in("abc"))
	wantExit(t, 0, "sum", "--progress", in("abc"))

	out := wantExit(t, 1, "-j", "sum", "-c", "--ignore-missing", in("list"))
	_, out, _ = strings.Cut(out, "[") // behind the warnings, which are on the other output
	out = "[" + out
	var files []summed
	if err := json.Unmarshal([]byte(out), &files); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(files) != 2 || files[0].Result != "failed" || *files[0].Bytes != 3 || files[0].SM3 == abc || files[1].Result != "missing" || !strings.HasSuffix(files[1].Raw, "ff") || files[1].Error == "" {
		t.Errorf("%s", out)
	}
	if out := wantExit(t, 0, "-j", "sum", in("abc")); !strings.Contains(out, `"result": "hashed"`) {
		t.Errorf("%s", out)
	}
}

func TestMeter(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "x"), make([]byte, 3000))
	var out bytes.Buffer
	m := newMeter(&out, true)
	m.names = []string{filepath.Join(dir, "x"), filepath.Join(dir, "missing")}
	m.set(0, 100)
	if out.Len() > 0 {
		t.Errorf("at once: %q", &out)
	}
	m.next, m.began = time.Time{}, time.Now().Add(-time.Second)
	m.set(1, 1500)
	if got := out.String(); !strings.HasPrefix(got, "1 files, 1.5 KiB of 2.9 KiB (50%), 1.5 KiB/s\n") && !strings.HasPrefix(got, "1 files, 1.5 KiB of 2.9 KiB (50%), 1.4 KiB/s\n") {
		t.Errorf("%q", got)
	}
	out.Reset()
	m.terminal, m.next = true, time.Time{}
	m.set(2, 1<<40)
	if _, err := io.WriteString(m.over(&out), "a line\n"); err != nil {
		t.Fatal(err)
	}
	m.done()
	if got := out.String(); !strings.HasPrefix(got, "2 files, 1.0 TiB of") || !strings.HasSuffix(got, "\r\x1b[Ka line\n") {
		t.Errorf("%q", got)
	}
	if sizes([]string{"/dev/null"}) != 0 {
		t.Error("a device has a size")
	}
}
