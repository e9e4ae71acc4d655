package module

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/internal/yamlx"
)

// enforcerEnv has a process of this test be an enforcer.
const enforcerEnv = "ANOLE_TEST_GM_ENFORCER"

func TestMain(m *testing.M) {
	if os.Getenv(enforcerEnv) != "" {
		if enforcerRun(os.Stdin, os.Stdout) != nil {
			os.Exit(1)
		}
		return
	}
	if line := os.Getenv(verbEnv); line != "" {
		os.Exit(verbMain(line))
	}
	os.Exit(m.Run())
}

// runVerb runs a verb of gm; env's outputs are those that it gives.
func runVerb(ctx context.Context, env *core.Env, in io.Reader, args ...string) (out, messages string, err error) {
	var o, e bytes.Buffer
	env.Out, env.Err = &o, &e
	c := New().Command()
	c.SetArgs(args)
	c.SetIn(in)
	c.SetOut(&o)
	c.SetErr(&e)
	c.SilenceUsage, c.SilenceErrors = true, true
	err = c.ExecuteContext(core.WithEnv(ctx, env))
	return o.String(), e.String(), err
}

// A GM_CPU that is none is told of once, by each verb; status shows it in its own way.
func TestLimitWarning(t *testing.T) {
	for _, c := range []struct {
		value string
		verb  []string
		want  int
	}{
		{"avx3", []string{"rng", "fill", "--bytes", "1"}, 1}, {"avx3", []string{"selftest"}, 1}, {"avx3", []string{"key", "show", "none"}, 1},
		{"avx3", []string{"status"}, 0}, {"generic", []string{"rng", "fill", "--bytes", "1"}, 0}, {"", []string{"rng", "fill", "--bytes", "1"}, 0},
	} {
		t.Setenv("GM_CPU", c.value)
		out, messages, _ := runVerb(t.Context(), &core.Env{}, strings.NewReader(""), c.verb...)
		if got := strings.Count(messages, `warning: GM_CPU is "avx3", want one of [`); got != c.want || strings.Contains(out, "warning") {
			t.Errorf("GM_CPU=%q %v: told %d times, want %d: %q", c.value, c.verb, got, c.want, messages)
		}
	}
}

// sound has this process be as it was, when a test ends.
func sound(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		policy.Default.Set(mustPolicy(policy.DefaultConfig()))
		if r := selftest.Run(context.Background()); r.State != selftest.Passed {
			t.Errorf("%+v", r.Failures())
		}
	})
}

func mustPolicy(c policy.Config) *policy.Policy {
	p, err := policy.New(c)
	if err != nil {
		panic(err)
	}
	return p
}

// started is a module that runs.
func started(t *testing.T, edit ...func(*Config)) *Module {
	t.Helper()
	sound(t)
	m := New()
	for _, f := range edit {
		f(&m.cfg)
	}
	if err := m.Provision(&core.Host{Log: slog.New(slog.DiscardHandler), Offers: &core.Offers{}}); err != nil {
		t.Fatal(err)
	}
	m.argv = []string{"/usr/bin/env", enforcerEnv + "=1", os.Args[0]}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// agent is a client of the module's routes.
func agent(m *Module) *http.Client {
	mux := http.NewServeMux()
	m.Routes(mux)
	return &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w.Result(), nil
	})}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestModule(t *testing.T) {
	m := started(t)
	if s := m.Status(); s.State != core.Running || !strings.Contains(s.Summary, "policy intl; self-test passed") {
		t.Errorf("%+v", s)
	}
	metricsAreClean(t, m)
	out, _, err := runVerb(t.Context(), &core.Env{Agent: agent(m)}, nil, "status")
	if err != nil || !strings.Contains(out, "the agent") || !strings.Contains(out, "passed, ") || !strings.Contains(out, "intl, 100 bits at least") {
		t.Errorf("%v\n%s", err, out)
	}
	out, _, err = runVerb(t.Context(), &core.Env{JSON: true}, nil, "status")
	var s struct {
		Of string
		status
	}
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || s.Of != "program" || len(s.Implementations) != 3 || s.SelfTest.State != selftest.Passed || !s.RNG.OK {
		t.Errorf("%v\n%s", err, out)
	}
	next := New()
	next.cfg.Mode = policy.Only
	if err := m.Reconfigure(t.Context(), &next.cfg); err != nil {
		t.Fatal(err)
	}
	if err := policy.Check(policy.Sign, policy.RSA, policy.Params{KeyBits: 4096}); !policy.Denied(err) {
		t.Errorf("after a change of the policy: %v", err)
	}
	out, _, err = runVerb(t.Context(), &core.Env{Agent: agent(m)}, nil, "status")
	if err != nil || !strings.Contains(out, "gm-only") || !strings.Contains(out, "sign with rsa, 1 times") {
		t.Errorf("%v\n%s", err, out)
	}
	bad := New()
	bad.cfg.MinBits = -1
	if err := m.Reconfigure(t.Context(), &bad.cfg); err == nil || policy.Default.Policy().Config().Mode != policy.Only {
		t.Errorf("a bad configuration was taken, or ended the old one: %v", err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := m.Status(); s.State != core.Stopped {
		t.Errorf("%+v", s)
	}
}

func metricsAreClean(t *testing.T, m *Module) {
	t.Helper()
	known := map[*core.Desc]bool{}
	for _, d := range m.Metrics() {
		known[d] = true
		kind := map[core.Kind]dto.MetricType{core.Counter: dto.MetricType_COUNTER, core.Gauge: dto.MetricType_GAUGE}[d.Kind]
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &d.Name, Help: &d.Help, Type: &kind, Metric: []*dto.Metric{{}}}}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", d.Name, problems, err)
		}
	}
	seen := values(m)
	m.Collect(func(x core.Metric) {
		if !known[x.Desc] || len(x.Values) != len(x.Desc.Labels) {
			t.Errorf("%s with labels %v: not described so", x.Desc.Name, x.Values)
		}
	})
	if seen["selftest_status"] != 1 || seen["rng_up"] != 1 || seen["impl_info|sm4|"+implementations()[2].Implementation] != 1 || seen["rng_health_failures_total|source"] != 0 {
		t.Errorf("%v", seen)
	}
}

// values are the metrics, by name without anole_gm_ and the labels' values.
func values(m *Module) map[string]float64 {
	seen := map[string]float64{}
	m.Collect(func(x core.Metric) {
		seen[strings.Join(append([]string{strings.TrimPrefix(x.Desc.Name, "anole_gm_")}, x.Values...), "|")] = x.Value
	})
	return seen
}

// Where a known answer is wrong the agent's room is in state failed, and no verb does
// anything.
func TestSelfTestFails(t *testing.T) {
	s := newShell(t)
	s.run("key gen --out a.key --no-pass")
	s.write("text", "text")
	defer kat.Spoil("SM4-GCM", "generic")()
	selftest.Run(t.Context())
	m := started(t)
	if s := m.Status(); s.State != core.Failed || s.Summary != "self-test of SM4-GCM (generic) failed: the answer is not the known one" {
		t.Errorf("%+v", s)
	}
	if v := values(m); v["selftest_status"] != 0 {
		t.Errorf("%v", v)
	}
	for _, line := range []string{"key gen --out b.key --no-pass", "key pub a.key", "csr make --key a.key --subject CN=a", "ca init --no-pass --subject CN=a", "enc text --new-pass env:WORD", "dec text --pass env:WORD --out b",
		"ima sign --sigfile --key a.key text", "luks format c --size 1MiB --key-file text",
		"sum text", "rng fill --bytes 1 -f b", "cms encrypt --to a.pem --out b text", "cms verify text", "cert verify a.pem", "uefi verify text", "uefi hash text",
		"modsign verify text", "modsign load text", "ima verify --sigfile --key a.pem text", "ima label --sigfile text", "ima enforce --key a.pem --mode log ."} {
		s.fails(core.ExitFailed, "cryptography is in its error state: anole gm selftest", line)
	}
	if out := s.run("status"); !strings.Contains(out, "failed, ") || !strings.Contains(out, "problem") {
		t.Errorf("%s", out)
	}
	if l, err := os.ReadDir("."); err != nil || len(l) != 2 {
		t.Errorf("left over: %v", l)
	}
}

func TestConfig(t *testing.T) {
	def, err := loadConfig(filepath.Join(t.TempDir(), "none"), false)
	if err != nil || !reflect.DeepEqual(&def, New().Config()) {
		t.Errorf("nothing: %+v, %v", def, err)
	}
	if b, err := yamlx.Encode(yamlx.Section{Key: "gm", Value: New().Config()}); err != nil || strings.Count(string(b), "# ") < 15 {
		t.Errorf("%s, %v", b, err)
	}
	for src, want := range map[string]string{
		"mode: gm-only\n  minBits: 128\n  ima: {enforce: {mode: log, paths: [/usr], keys: [/k], timeout: 1s}}": "",
		"mode: gm":                                               `wants one of intl, hybrid, gm-preferred and gm-only, got "gm"`,
		"selfTest: true":                                         `gm.yaml:3:3: gm: unknown key "selfTest"; did you mean "selftest"?`,
		"ima: {enforce: {path: [/]}}":                            `did you mean "paths"?`,
		"minBits: 300":                                           "gm.minBits: wants 0 to 256, got 300",
		"ima: {enforce: {mode: deny}}":                           `gm.ima.enforce.mode "deny": off, log or enforce`,
		"ima: {enforce: {mode: log}}":                            "gm.ima.enforce.paths: nothing is watched",
		"ima: {enforce: {mode: log, paths: [/]}}":                "gm.ima.enforce.keys: without any",
		"ima: {enforce: {scope: all}}":                           `scope "all": filesystem, mount or path`,
		"ima: {enforce: {late: never}}":                          "late",
		"ima: {enforce: {timeout: 2m}}":                          "timeout 2m: 10ms to 1m",
		"ima: {enforce: {workers: -1}}":                          "workers -1",
		"ima: {enforce: {cache: -1}}":                            "cache -1",
		"ima: {enforce: {mode: log, paths: [a], digests: true}}": `paths: "a" must begin with /`,
		"ima: {enforce: {mode: log, paths: [/a], keys: [b]}}":    `keys: "b" must begin with /`,
	} {
		path := filepath.Join(t.TempDir(), "gm.yaml")
		if err := os.WriteFile(path, []byte("version: 1\ngm:\n  "+src+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := loadConfig(path, true)
		if err == nil {
			err = c.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}

func TestProbes(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"proc/crypto":             "name         : sm3\ndriver       : sm3-avx\nmodule       : kernel\n\nname         : xts(sm4)\ndriver       : xts-sm4\n",
		"sys/kernel/security/lsm": "x",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]feature.Result{}
	for _, p := range probes(root) {
		got[p.Name()] = p.Result()
	}
	if r := got["kernel sm3"]; r.Answer != feature.Yes || r.Detail != "sm3-avx" {
		t.Errorf("%+v", r)
	}
	for _, name := range []string{"kernel sm4", "kernel ima"} {
		if r := got[name]; r.Answer != feature.No || r.Reason != feature.NoKernel || r.Need == "" || r.Fix == "" {
			t.Errorf("%+v", r)
		}
	}
	if r := got["avx512"]; r.Answer == feature.Unknown {
		t.Errorf("%+v", r)
	}
	if err := os.Remove(filepath.Join(root, "sys/kernel/security/lsm")); err != nil {
		t.Fatal(err)
	}
	if r := feature.Describe("gm", "", "", "", kernelIMA(root)); r.Answer != feature.Unknown {
		t.Errorf("%+v", r)
	}
	if err := os.Mkdir(filepath.Join(root, "sys/kernel/security/ima"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := kernelIMA(root); err != nil {
		t.Error(err)
	}
}

// within waits for something to be so.
func within(t *testing.T, d time.Duration, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}
