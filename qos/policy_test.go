package qos

import (
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/anole-os/anole/qos/class"
)

func TestPolicyErrors(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"unknown key", "version: 1\ncontrol:\n  tarket: 0.9\n", "p.yaml:3:3: control: unknown key \"tarket\"; did you mean \"target\"?"},
		{"unknown key in a rule", "version: 1\nrules:\n- match: {path: /a}\n  class: LS\n  brust: auto\n", "p.yaml:5:3: rules[0]: unknown key \"brust\"; did you mean \"burst\"?"},
		{"negative share", "version: 1\nbe:\n  floor: -0.1\n", "p.yaml:3:3: be.floor: -0.1 is not a share between 0 and 1"},
		{"negative duration", "version: 1\ncontrol:\n  interval: -100ms\n", "p.yaml:3:13: control.interval: -100ms: a negative duration is not allowed here"},
		{"1e30", "version: 1\ncontrol:\n  target: 1e30\n", "p.yaml:3:3: control.target: 1e+30 is not a share between 0.1 and 1"},
		{"NaN", "version: 1\ncontrol:\n  target: .nan\n", "p.yaml:3:11: control.target: wants a finite number, got .nan"},
		{"infinite", "version: 1\ncontrol:\n  pressure: .inf\n", "p.yaml:3:13: control.pressure: wants a finite number, got .inf"},
		{"bad class", "version: 1\nrules:\n- match: {path: /a}\n  class: BEST\n", "p.yaml:4:10: rules[0].class: class \"BEST\": want one of LSE, LSR, LS, BE, SYSTEM, NONE"},
		{"bad burst", "version: 1\nls:\n  burst: lots\n", "p.yaml:3:10: ls.burst: burst \"lots\": want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota such as 200%, at most 24h0m0s"},
		{"negative burst", "version: 1\nls:\n  burst: -3ms\n", "p.yaml:3:10: ls.burst: burst \"-3ms\": want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota such as 200%, at most 24h0m0s"},
		{"burst of years", "version: 1\nls:\n  burst: 10000h\n", "p.yaml:3:10: ls.burst: burst \"10000h\": want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota such as 200%, at most 24h0m0s"},
		{"empty match", "version: 1\nrules:\n- match: {}\n  class: LS\n", "p.yaml:2:1: rules: rules[0].match: a match without conditions; to match all, say path: \"/**\""},
		{"floor above target", "version: 1\nbe:\n  floor: 0.9\ncontrol:\n  target: 0.8\n", "p.yaml:3:3: be.floor: 0.9 is not below control.target 0.8"},
		{"a given value against a default", "version: 1\ncontrol:\n  target: 0.1\nbe:\n  floor: 0.5\n", "p.yaml:5:3: be.floor: 0.5 is not below control.target 0.1"},
		{"wrong version", "version: 2\n", "p.yaml:1:1: version: 2 is not known; this anole reads version 1"},
		{"not a mapping", "- a\n", "p.yaml:1:1: wants keys and values, got a list"},
		{"two at once", "version: 1\nbe:\n  floor: 7\n  suppress: maybe\n", "p.yaml:3:3: be.floor: 7 is not a share between 0 and 1\np.yaml:3:3: be.floor: 7 is not below control.target 0.99\np.yaml:4:3: be.suppress: \"maybe\" is not one of quota, cpuset, off"},
		{"two lines at once", "version: 1\nbe:\n  flor: 7\nls:\n  burst: lots\n", "p.yaml:3:3: be: unknown key \"flor\"; did you mean \"floor\"?\np.yaml:5:10: ls.burst: burst \"lots\": want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota such as 200%, at most 24h0m0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(c.src), "p.yaml")
			if err == nil {
				t.Fatal("accepted")
			}
			if got := err.Error(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestPolicyReadsBack(t *testing.T) {
	lane := true
	p := DefaultPolicy()
	p.Rules = []Rule{
		{Match: matchPath("/a/**"), Class: class.LS, Burst: BurstMode{Set: true, Budget: 300 * time.Millisecond}, RTLane: &lane},
		{Match: matchPath("/b"), Class: class.BE},
		{Match: matchPath("/c"), Class: class.LS, Burst: BurstOff},
	}
	for _, want := range []Policy{DefaultPolicy(), p} {
		b, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePolicy(b, "p.yaml")
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if len(got.Rules) == 0 && len(want.Rules) == 0 {
			got.Rules, want.Rules = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v\n%s", got, want, b)
		}
	}
}

func TestEmptyPolicyIsTheDefault(t *testing.T) {
	got, err := ParsePolicy(nil, "p.yaml")
	if err != nil || !reflect.DeepEqual(got, DefaultPolicy()) {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParsePolicy(f *testing.F) {
	def, err := yaml.Marshal(DefaultPolicy())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(def)
	f.Add([]byte("version: 1\nrules:\n- match: {path: /a, label: {x: '*'}}\n  class: be\n  burst: 1ms\n  rtLane: true\n"))
	f.Add([]byte("control: {interval: 1e30}\n"))
	f.Add([]byte("be: &a {floor: .nan}\nls: *a\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		p, err := ParsePolicy(src, "p.yaml")
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("accepted but not valid: %v", err)
		}
		if _, err := compile(&p); err != nil {
			t.Fatalf("accepted but not usable: %v", err)
		}
		b, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParsePolicy(b, "again.yaml"); err != nil {
			t.Fatalf("does not read back: %v\n%s", err, b)
		}
	})
}
