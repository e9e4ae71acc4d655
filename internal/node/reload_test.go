package node

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/testkit"
)

func agileInfo(tr *trace, name string) core.Info {
	return info(name, func() core.Module { return &agile{fake{name: name, t: tr}} })
}

func reload(t *testing.T, a *agent, config string) error {
	t.Helper()
	write(t, a.opt.Config, config)
	_, err := a.Reload(context.Background())
	return err
}

// unwatched is an agent that reloads when it is told only.
func unwatched(t *testing.T, r *core.Registry, config string) *agent {
	opt := options(t, r, config)
	opt.Debounce = 1 << 50
	return run(t, opt)
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	tr := &trace{}
	a := unwatched(t, registry(t, plain(tr, "a"), agileInfo(tr, "b"), plain(tr, "c")), quiet+"a: {value: 1}\n")
	wantTrace(t, tr, "start a 1", "start b 0", "start c 0")

	for _, c := range []struct {
		name, config string
		want         []string
	}{
		{"nothing but a comment", quiet + "# hello\na: {value: 1}\n", nil},
		{"one that must restart", quiet + "a: {value: 2}\n", []string{"stop a", "start a 2"}},
		{"one that takes it in stride", quiet + "a: {value: 2}\nb: {value: 5}\n", []string{"reconfigure b 5"}},
		{"both kinds", quiet + "a: {value: 3}\nb: {value: 6}\n", []string{"stop a", "start a 3", "reconfigure b 6"}},
		{"one leaves", strings.Replace(quiet, "agent: {", "agent: {disable: [c], ", 1) + "a: {value: 3}\nb: {value: 6}\n", []string{"stop c"}},
		{"and comes back", quiet + "a: {value: 3}\nb: {value: 6}\n", []string{"start c 0"}},
	} {
		if err := reload(t, a, c.config); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := tr.take(); strings.Join(got, "; ") != strings.Join(c.want, "; ") {
			t.Errorf("%s: modules did %q, want %q", c.name, got, c.want)
		}
	}
	st := a.Status().Config
	if st.Generation != 6 || st.Reloads["ok"] != 5 || st.Reloads["unchanged"] != 1 {
		t.Errorf("status %+v", st)
	}
}

func TestReloadRestartsWhatIsWired(t *testing.T) {
	tr := &trace{}
	user := info("b", func() core.Module { return &agile{fake{name: "b", t: tr}} }, "a")
	a := unwatched(t, registry(t, plain(tr, "a"), user, plain(tr, "z")), quiet)
	tr.take()
	if err := reload(t, a, quiet+"a: {value: 2}\n"); err != nil {
		t.Fatal(err)
	}
	wantTrace(t, tr, "stop b", "stop a", "start a 2", "start b 0")
}

func TestReloadRollsBack(t *testing.T) {
	good := quiet + "a: {value: 1}\nb: {value: 1}\nc: {value: 1}\n"
	for _, c := range []struct {
		name, config, wantErr string
		want                  []string
	}{
		{"a start fails", quiet + "a: {value: 2}\nb: {value: 2}\nc: {failStart: true}\n", "anole.yaml:5:1: c: start c: no luck",
			[]string{"stop c", "stop a", "start a 2", "reconfigure b 2", "start c fails", "stop a", "reconfigure b 1", "start a 1", "start c 1"}},
		{"a reconfigure fails", quiet + "a: {value: 2}\nb: {failTake: true}\nc: {value: 1}\n", "anole.yaml:4:1: b: reconfigure b: not that one",
			[]string{"stop a", "start a 2", "reconfigure b fails", "stop a", "start a 1"}},
		{"provision refuses", quiet + "a: {value: 2}\nb: {value: 1}\nc: {refuse: 'too much'}\n", "anole.yaml:5:1: c: provision c: too much", nil},
		{"bad YAML", quiet + "a: {valeu: 2}\n", `anole.yaml:3:5: a: unknown key "valeu"; did you mean "value"?`, nil},
		{"bad agent section", "version: 1\nagent: {log: {level: loud}}\n", `anole.yaml:2:22: agent.log.level: wants one of debug, info, warn, error, got "loud"`, nil},
		{"unknown module", good + "d: {}\n", `anole.yaml:6:1: unknown key "d"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := &trace{}
			a := unwatched(t, registry(t, plain(tr, "a"), agileInfo(tr, "b"), plain(tr, "c")), good)
			wantTrace(t, tr, "start a 1", "start b 1", "start c 1")
			err := reload(t, a, c.config)
			if err == nil || !strings.Contains(err.Error(), c.wantErr) {
				t.Fatalf("got error\n%v\nwant\n%s", err, c.wantErr)
			}
			wantTrace(t, tr, c.want...)
			st := a.Status()
			if st.Config.Generation != 1 || !strings.Contains(st.Config.Error, c.wantErr) || st.State != core.Degraded {
				t.Errorf("status %+v", st)
			}
			for _, m := range []string{"a", "b", "c"} {
				if s := stateOf(st, m); s != core.Running {
					t.Errorf("%s is %s", m, s)
				}
			}
			if err := reload(t, a, good+"# again\n"); err != nil || a.Status().Config.Error != "" {
				t.Errorf("the good one again: %v, %q", err, a.Status().Config.Error)
			}
			tr.take()
			if err := a.finish(); err != nil {
				t.Error(err)
			}
			wantTrace(t, tr, "stop c", "stop b", "stop a")
		})
	}
}

func TestReloadOfTheAgentItself(t *testing.T) {
	a := unwatched(t, registry(t), quiet)
	a.log.Debug("before")
	next := "version: 1\nagent: {log: {level: debug, format: json}, console: {listen: '127.0.0.1:0'}, history: {enabled: false}, api: {socket: /elsewhere}}\n"
	write(t, a.opt.Config, next)
	res, err := a.Reload(context.Background())
	if err != nil || strings.Join(res.RestartFor, " ") != "agent.api" || strings.Join(res.Changed, " ") != "agent" {
		t.Fatalf("%+v, %v", res, err)
	}
	a.log.Debug("after")
	if log := a.opt.Log.(*testkit.Buffer).String(); strings.Contains(log, "before") || !strings.Contains(log, `"msg":"after"`) {
		t.Errorf("log\n%s", log)
	}
	addr := a.Status().Console.Address
	resp, err := http.Get("http://" + addr + "/api/v1/status")
	if err != nil {
		t.Fatalf("the console did not come up: %v", err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

func TestReloadOnFileChange(t *testing.T) {
	tr := &trace{}
	opt := options(t, registry(t, plain(tr, "a")), quiet)
	a := run(t, opt)
	tr.take()
	value := func(v string) {
		t.Helper()
		eventually(t, "reload to "+v, func() bool {
			return strings.Contains(strings.Join(tr.take(), ";"), "start a "+v)
		})
	}
	write(t, opt.Config, quiet+"a: {value: 1}\n")
	value("1")
	tmp := opt.Config + ".tmp"
	write(t, tmp, quiet+"a: {value: 2}\n")
	if err := os.Rename(tmp, opt.Config); err != nil {
		t.Fatal(err)
	}
	value("2")
	drop := filepath.Join(filepath.Dir(opt.Config), "conf.d", "10.yaml")
	write(t, drop, "a: {value: 3}\n") // conf.d itself is new
	value("3")
	write(t, drop, "a: {value: 4}\n")
	value("4")
	write(t, opt.Config, quiet+"a: {value: 9}\n# a drop-in is stronger\nb:\n")
	eventually(t, "refusal", func() bool { return strings.Contains(a.Status().Config.Error, `unknown key "b"`) })
	write(t, opt.Config, quiet)
	eventually(t, "recovery", func() bool { return a.Status().Config.Error == "" })
	if got := tr.take(); len(got) != 0 {
		t.Errorf("modules did %q", got)
	}
	a.Hangup()
	n := a.Status().Config.Reloads["unchanged"]
	a.Hangup()
	eventually(t, "a reload on SIGHUP", func() bool { return a.Status().Config.Reloads["unchanged"] > n })
}
