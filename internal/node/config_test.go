package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/procfs"
)

func TestConfigErrors(t *testing.T) {
	tr := &trace{}
	dependent := plain(tr, "b")
	dependent.Needs = []string{"a"}
	r := registry(t, plain(tr, "a"), dependent)
	for _, c := range []struct{ name, config, want string }{
		{"no version", "agent: {}\n", `F: the version is missing; write "version: 1" at the top`},
		{"wrong version", "version: 2\n", `F:1:1: version: this agent reads version 1 of the file, not 2`},
		{"two mistakes", "version: 1\nagnet: {}\nagent:\n  console: {listen: 7070}\n",
			"F:2:1: unknown key \"agnet\"; did you mean \"agent\"?\n" +
				`F:4:13: agent.console.listen: "7070" is not an address with a port, such as 127.0.0.1:7070`},
		{"history", "version: 1\nagent: {history: {retention: 1s, maxSize: 1MiB, interval: 1ms}}\n",
			"F:2:19: agent.history.retention: 1s is below 10m\nF:2:34: agent.history.maxSize: 1MiB is below 16MiB\nF:2:49: agent.history.interval: 1ms is below 100ms"},
		{"size", "version: 1\nagent: {history: {maxSize: 1e30}}\n", `F:2:28: agent.history.maxSize: wants a size such as "256MiB" or "1GB", got "1e30"`},
		{"disable unknown", "version: 1\nagent: {disable: [x]}\n", `F:2:9: agent.disable: no module "x" is built in`},
		{"disable needed", "version: 1\nagent: {disable: [a]}\n", `F:2:9: agent.disable: "a" is needed by "b": disable both or none`},
		{"modules", "version: 1\na: {value: x}\nb: {vaule: 1}\n", "F:2:12: a.value: wants a whole number, got \"x\"\nF:3:5: b: unknown key \"vaule\"; did you mean \"value\"?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opt := options(t, r, c.config)
			_, err := Check(opt)
			if err == nil {
				t.Fatal("accepted")
			}
			if got := strings.ReplaceAll(err.Error(), opt.Config, "F"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if err := New(opt).Run(context.Background()); core.ExitCode(err) != core.ExitUsage {
				t.Errorf("the agent ended with %v, exit code %d", err, core.ExitCode(err))
			}
		})
	}
}

func TestConfigFiles(t *testing.T) {
	r := registry(t, plain(&trace{}, "a"))
	opt := options(t, r, "version: 1\na: {value: 1, refuse: ''}\n")
	d := filepath.Join(filepath.Dir(opt.Config), "conf.d")
	write(t, filepath.Join(d, "20.yaml"), "a: {value: 3}\n")
	write(t, filepath.Join(d, "10.yaml"), "a: {value: 2}\nagent: {log: {level: warn}}\n")
	write(t, filepath.Join(d, "30.yml.bak"), "nonsense")
	cfg, err := Check(opt)
	if err != nil {
		t.Fatal(err)
	}
	var c fakeConfig
	if err := cfg.Section("a").Decode(&c); err != nil || c.Value != 3 || cfg.Agent.Log.Level != "warn" || len(cfg.Files) != 3 {
		t.Errorf("%+v %+v %v", c, cfg, err)
	}
	write(t, filepath.Join(d, "40.yaml"), "a:\n  valu: 3\n")
	if _, err := Check(opt); err == nil || !strings.HasPrefix(err.Error(), filepath.Join(d, "40.yaml")+":2:3: ") {
		t.Errorf("the drop-in's error says %v", err)
	}
	opt.Config = filepath.Join(t.TempDir(), "none.yaml")
	if _, err := Check(opt); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file that was asked for: %v", err)
	}
	opt.Required = false
	if _, err := Check(opt); err != nil {
		t.Errorf("a missing file at the default path: %v", err)
	}
}

func TestDefaultFileIsAccepted(t *testing.T) {
	r := registry(t, plain(&trace{}, "a"))
	infos, err := r.Ordered()
	if err != nil {
		t.Fatal(err)
	}
	b, err := DefaultConfigFile(infos)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "  # a value\n  value: 0\n") {
		t.Errorf("no comment from the doc tag:\n%s", b)
	}
	if _, err := Check(options(t, r, string(b))); err != nil {
		t.Error(err)
	}
}

func TestDoctorWithoutAgent(t *testing.T) {
	r := registry(t, info("rich", func() core.Module { return &rich{fake{name: "rich", t: &trace{}}} }))
	for name, config := range map[string]string{"good": quiet, "bad": "version: 7\n", "refused": quiet + "rich: {refuse: no}\n"} {
		res, err := Doctor(options(t, r, config))
		if (err == nil) != (name == "good") || len(res) != 3 {
			t.Fatalf("%s: %v, %v", name, res, err)
		}
		if res[0].Answer != "yes" || res[1].Reason != "no_hardware" || res[2].Answer != "could not tell" {
			t.Errorf("%s: %+v", name, res)
		}
	}
}

func FuzzStartTicks(f *testing.F) {
	f.Add([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 777 1"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, b []byte) { startTicks(b) })
}

func FuzzListenInodes(f *testing.F) {
	f.Add([]byte("  sl  local_address\n   0: 0100007F:1B9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n"), uint16(7070))
	f.Fuzz(func(t *testing.T, b []byte, port uint16) {
		for _, i := range procfs.ListenInodes(b, port) {
			if i == "" || i == "0" {
				t.Fatalf("inode %q", i)
			}
		}
	})
}

func TestParsers(t *testing.T) {
	if n, ok := startTicks([]byte("1 (a) b) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 777 1")); !ok || n != 777 {
		t.Errorf("start time %d, %v", n, ok)
	}
	table := []byte("  sl  local_address rem_address   st\n" +
		"   0: 0100007F:1B9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n" +
		"   1: 0100007F:1B9E 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 777 1\n")
	if got := procfs.ListenInodes(table, 7070); len(got) != 1 || got[0] != "12345" {
		t.Errorf("inodes %v", got)
	}
}
