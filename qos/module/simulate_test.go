package module

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos/sim"
)

// simulated runs the verb.
func simulated(t *testing.T, asJSON bool, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	c := simulateCommand()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err = c.ExecuteContext(core.WithEnv(t.Context(), &core.Env{Out: &b, Err: &bytes.Buffer{}, JSON: asJSON}))
	return b.String(), err
}

func reported(t *testing.T, args ...string) (string, *simulation) {
	t.Helper()
	out, err := simulated(t, true, args...)
	if err != nil {
		t.Fatal(err)
	}
	var s simulation
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatal(err)
	}
	return out, &s
}

func TestSimulateComparesPoliciesOnOneLoad(t *testing.T) {
	dir := t.TempDir()
	low, page := filepath.Join(dir, "low.yaml"), filepath.Join(dir, "p.html")
	if err := os.WriteFile(low, []byte("version: 1\ncontrol: {target: 0.3}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--nodes", "4", "--hours", "1", "--seed", "9", "--compare", low, "--plot", page}
	out, s := reported(t, args...)
	names := []string{sim.Alone, sim.Unprotected, "default policy", "low"}
	for i, want := range names {
		if got := s.Scenarios[i].Name; got != want {
			t.Errorf("scenario %d is %q, want %q", i, got, want)
		}
	}
	if def, low := s.Scenarios[2].BE.Work, s.Scenarios[3].BE.Work; !(low < def) {
		t.Errorf("target 0.3 does %v core-s, the default %v", low, def)
	}
	if again, _ := reported(t, args...); again != out {
		t.Error("the same seed gave other bytes")
	}
	b, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(b), "<svg") || !strings.Contains(string(b), ">low<") {
		t.Errorf("plot: %v, %d bytes", err, len(b))
	}
	table, err := simulated(t, false, args...)
	if err != nil || strings.Count(table, "\n") < 8 || !strings.Contains(table, "LS VIOLATION") {
		t.Errorf("table %q, %v", table, err)
	}
}

// What --write-trace wrote gives the same as the seed.
func TestSimulateWrittenTrace(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trace")
	shape := []string{"--nodes", "3", "--hours", "1", "--seed", "5"}
	if _, err := simulated(t, false, append(shape, "--write-trace", dir)...); err != nil {
		t.Fatal(err)
	}
	_, direct := reported(t, shape...)
	_, read := reported(t, "--trace", dir, "--hours", "1", "--seed", "5")
	text, err := simulated(t, false, "--trace", dir, "--hours", "1", "--nodes", "2")
	if err != nil || !strings.Contains(text, "The trace recorded") || !strings.Contains(text, "12 containers on other machines are left out") {
		t.Errorf("%v\n%s", err, text)
	}
	a, _ := json.Marshal(direct.Report)
	b, _ := json.Marshal(read.Report)
	if !bytes.Equal(a, b) || read.Trace == nil || read.Trace.Rows["batch_instance"] == 0 {
		t.Errorf("the trace read back gives another report: %+v", read.Trace)
	}
}

func TestSimulateRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("version: 1\ncontrol: {targt: 0.3}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"bad.yaml:2":                         {"--policy", bad},
		"no such file":                       {"--compare", bad + "x"},
		"ends in .svg or .html":              {"--plot", "x.png"},
		"whole seconds":                      {"--sample", "1500ms"},
		"only with --trace":                  {"--from", "1h"},
		"--nodes 0: want at least 1":         {"--nodes", "0"},
		"--hours -1: want above 0":           {"--hours", "-1"},
		"tick 7s: does not divide":           {"--tick", "7s"},
		"/no/such/place: want a directory":   {"--plot", "/no/such/place/p.svg"},
		"no machine_meta.csv, .csv.gz or":    {"--trace", t.TempDir()},
		"only without --trace":               {"--trace", "a", "--write-trace", "b"},
		"unknown flag: --node":               {"--node", "3"},
		"interference 3: want 0 to 1":        {"--interference", "3"},
		"unknown command \"x\"":              {"x"},
		"--noise -1: want 0 or above":        {"--noise", "-1"},
		"--slo 0: want above 0":              {"--slo", "0"},
		"--tick 0: want above 0":             {"--tick", "0"},
		"--seed\" flag: strconv.ParseUint: ": {"--seed", "-1"},
	} {
		if _, err := simulated(t, false, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", args, err, want)
		}
	}
}

// A trace that cannot be used is the user's to mend, as a recording is.
func TestSimulateBadTraceIsExitCode2(t *testing.T) {
	dir := t.TempDir()
	if _, err := simulated(t, false, "--nodes", "2", "--hours", "1", "--write-trace", dir); err != nil {
		t.Fatal(err)
	}
	out, err := simulated(t, false, "--trace", dir, "--from", "30h")
	if core.ExitCode(err) != core.ExitUsage || !strings.Contains(err.Error(), "cannot begin at 30h0m0s: the trace is 1h0m0s long") || out != "" {
		t.Errorf("behind the end: %q, %v", out, err)
	}
	if _, err := simulated(t, false, "--trace", dir, "--from", "30m", "--hours", "0.5"); err != nil {
		t.Errorf("from its middle: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "machine_meta.csv"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("m_x,0,1\n"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := simulated(t, false, "--trace", dir); core.ExitCode(err) != core.ExitUsage || !strings.Contains(err.Error(), "machine_meta.csv:3: 3 fields") {
		t.Errorf("a bad row: %v", err)
	}
}

// docs/simulate.md names each field of the report.
func TestSimulateDocNamesEachField(t *testing.T) {
	doc, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(reflect.Type)
	walk = func(r reflect.Type) {
		for r.Kind() == reflect.Pointer || r.Kind() == reflect.Slice {
			r = r.Elem()
		}
		if r.Kind() != reflect.Struct {
			return
		}
		for i := range r.NumField() {
			f := r.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && !bytes.Contains(doc, []byte("`"+name)) {
				t.Errorf("docs/simulate.md does not name %s", name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[simulation]())
}
