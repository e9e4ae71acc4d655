package dialect

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

func pair(k, v string) map[string]string { return map[string]string{k: v} }

func TestWordsOfEachProject(t *testing.T) {
	for _, c := range []struct {
		key, value string
		want       class.Class
		refused    Reason
	}{
		{Class, "BE", class.BE, ""}, {Class, "NONE", class.None, ""}, {Class, "SYSTEM", class.System, ""},
		{KoordinatorClass, "LSE", class.LSE, ""}, {KoordinatorClass, "LSR", class.LSR, ""}, {KoordinatorClass, "LS", class.LS, ""},
		{KoordinatorClass, "BE", class.BE, ""}, {KoordinatorClass, "SYSTEM", class.System, ""},
		{VolcanoLevel, "LC", class.LSE, ""}, {VolcanoLevel, "HLS", class.LSR, ""}, {VolcanoLevel, "LS", class.LS, ""}, {VolcanoLevel, "BE", class.BE, ""},
		{VolcanoLevel, "-1", class.BE, ""}, {VolcanoLevel, "-7", class.BE, ""}, {VolcanoLevel, "0", class.LS, ""}, {VolcanoLevel, "7", class.LS, ""},
		{VolcanoPreempt, "true", class.BE, ""},
		{KatalystLevel, "reclaimed_cores", class.BE, ""}, {KatalystLevel, "shared_cores", class.LS, ""},
		{KatalystLevel, "dedicated_cores", class.LSE, ""}, {KatalystLevel, "system_cores", class.System, ""},

		{KoordinatorClass, "be", 0, Unknown}, {KoordinatorClass, "NONE", 0, Unknown}, {KoordinatorClass, "", 0, Unknown}, {KoordinatorClass, "BE ", 0, Unknown},
		{Class, "ls", 0, Unknown}, {Class, "NaN", 0, Unknown}, {Class, strings.Repeat("x", 1<<20), 0, TooLong},
		{VolcanoLevel, "1e30", 0, Unknown}, {VolcanoLevel, "NaN", 0, Unknown}, {VolcanoLevel, "-9223372036854775809", 0, Unknown},
		{VolcanoLevel, "8", 0, Malformed}, {VolcanoLevel, "-99", 0, Malformed}, {VolcanoLevel, "offline", 0, Unknown},
		{VolcanoPreempt, "TRUE", 0, Unknown}, {VolcanoPreempt, "1", 0, Unknown},
		{KatalystLevel, "reclaimed", 0, Unknown},
	} {
		for _, a := range []Ask{Read(pair(c.key, c.value), nil), Read(nil, pair(c.key, c.value)), Read(pair(c.key, c.value), pair(c.key, c.value))} {
			switch {
			case c.refused == "" && (len(a.Refusals) > 0 || a.ClassBy.Key != c.key || a.Class != c.want):
				t.Errorf("%s=%s: %+v", c.key, c.value, a)
			case c.refused != "" && (len(a.Refusals) != 1 || a.Refusals[0].Reason != c.refused || a.ClassBy.Key != "" || len(a.Refusals[0].Value) > 80):
				t.Errorf("%s=%.20s: %+v", c.key, c.value, a)
			}
		}
	}
	if a := Read(pair(VolcanoPreempt, "false"), nil); a.ClassBy.Key != "" || len(a.Refusals) != 0 {
		t.Errorf("not preemptable: %+v", a)
	}
}

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		labels, annotations map[string]string
		want                class.Class
		by                  string
		refused             []string
	}{
		{map[string]string{KoordinatorClass: "LS", VolcanoPreempt: "true"}, nil, class.BE, VolcanoPreempt, []string{KoordinatorClass}},
		{map[string]string{KoordinatorClass: "LSR"}, map[string]string{KoordinatorClass: "BE"}, class.BE, KoordinatorClass, []string{KoordinatorClass}},
		{map[string]string{KoordinatorClass: "BE", Class: "LS"}, nil, class.LS, Class, []string{KoordinatorClass}},
		{map[string]string{Class: "LS"}, map[string]string{Class: "BE"}, class.BE, Class, []string{Class}},
		{map[string]string{KatalystLevel: "system_cores", VolcanoLevel: "0", KoordinatorClass: "LS"}, nil, class.LS, KoordinatorClass, []string{KatalystLevel}},
		{map[string]string{KoordinatorClass: "?", VolcanoLevel: "BE"}, nil, class.BE, VolcanoLevel, []string{KoordinatorClass}},
	} {
		a := Read(c.labels, c.annotations)
		var got []string
		for _, r := range a.Refusals {
			got = append(got, r.Key)
		}
		if a.Class != c.want || a.ClassBy.Key != c.by || !slices.Equal(got, c.refused) {
			t.Errorf("%v %v: %+v", c.labels, c.annotations, a)
		}
	}
}

func TestBurstWishes(t *testing.T) {
	for _, c := range []struct {
		key, value string
		want       burst.Mode
		refused    Reason
	}{
		{Burst, "off", burst.ModeOff, ""}, {Burst, "auto", burst.ModeAuto, ""},
		{Burst, "300ms", burst.Mode{Set: true, Budget: 300 * time.Millisecond}, ""},
		{Burst, "200%", burst.Mode{Set: true, Percent: 200}, ""}, // more than a quota: a longer period gives it
		{KoordinatorBurst, `{"policy":"none"}`, burst.ModeOff, ""},
		{KoordinatorBurst, `{"policy":"auto","cpuBurstPercent":1000}`, burst.ModeAuto, ""},
		{KoordinatorBurst, `{"policy":"cpuBurstOnly","cpuBurstPercent":10000}`, burst.Mode{Set: true, Percent: 10000}, ""},
		{KoordinatorBurst, `{"cpuBurstPercent":0}`, burst.ModeOff, ""},
		{KoordinatorBurst, `{"policy":"cfsQuotaBurstOnly","cfsQuotaBurstPercent":300,"cfsQuotaBurstPeriodSeconds":-1,"new":1}`, burst.ModeAuto, ""},
		{KoordinatorBurst, `{}`, burst.Mode{}, ""},

		{Burst, "-300ms", burst.Mode{}, Malformed}, {Burst, "1e30", burst.Mode{}, Malformed}, {Burst, "NaN", burst.Mode{}, Malformed},
		{Burst, "11s", burst.Mode{}, Malformed}, {Burst, "9999999h", burst.Mode{}, Malformed}, {Burst, "-5%", burst.Mode{}, Malformed},
		{Burst, "1e30%", burst.Mode{}, Malformed}, {Burst, "NaN%", burst.Mode{}, Malformed}, {Burst, "10001%", burst.Mode{}, Malformed}, {Burst, "", burst.Mode{}, Malformed},
		{Burst, strings.Repeat("9", 1<<20), burst.Mode{}, TooLong},
		{KoordinatorBurst, `{"cpuBurstPercent":-1}`, burst.Mode{}, Malformed}, {KoordinatorBurst, `{"cpuBurstPercent":1e30}`, burst.Mode{}, Malformed},
		{KoordinatorBurst, `{"cpuBurstPercent":NaN}`, burst.Mode{}, Malformed}, {KoordinatorBurst, `{"cpuBurstPercent":10001}`, burst.Mode{}, Malformed},
		{KoordinatorBurst, `{"policy":"max"}`, burst.Mode{}, Unknown}, {KoordinatorBurst, `null`, burst.Mode{}, Malformed}, {KoordinatorBurst, `[]`, burst.Mode{}, Malformed},
		{KoordinatorBurst, `{"policy":"auto"`, burst.Mode{}, Malformed}, {KoordinatorBurst, `{"policy":"cpuBurstOnly","cfsQuotaBurstPercent":1}`, burst.Mode{}, Malformed},
		{KoordinatorBurst, "{" + strings.Repeat(" ", 1<<20) + "}", burst.Mode{}, TooLong},
	} {
		a := Read(nil, pair(c.key, c.value))
		ok := a.Burst == c.want && (len(a.Refusals) == 0) == (c.refused == "")
		if c.refused != "" {
			ok = ok && len(a.Refusals) == 1 && a.Refusals[0].Reason == c.refused
		}
		if !ok {
			t.Errorf("%s=%.40s: %+v", c.key, c.value, a)
		}
	}
	a := Read(nil, map[string]string{Burst: "off", KoordinatorBurst: `{"policy":"auto"}`})
	if a.Burst != burst.ModeOff || len(a.Refusals) != 1 || a.Refusals[0].Reason != Contradict {
		t.Errorf("two wishes: %+v", a)
	}
}

func TestWhoMayAskForWhat(t *testing.T) {
	for _, c := range []struct {
		base, highest, ask, want class.Class
		refused                  bool
	}{
		{class.LS, class.None, class.BE, class.BE, false},
		{class.LS, class.None, class.LS, class.LS, false},
		{class.LS, class.None, class.LSR, class.LS, true},
		{class.LS, class.None, class.LSE, class.LS, true},
		{class.LS, class.None, class.System, class.LS, true},
		{class.LS, class.None, class.None, class.None, false},
		{class.BE, class.None, class.LS, class.BE, true},
		{class.BE, class.None, class.None, class.BE, true},
		{class.None, class.None, class.LS, class.None, true},
		{class.None, class.None, class.BE, class.BE, false},
		{class.BE, class.LS, class.LS, class.LS, false},
		{class.BE, class.LS, class.LSE, class.LS, true},
		{class.LS, class.LSR, class.LSE, class.LSR, true},
		{class.LS, class.LSE, class.LSE, class.LSE, false},
		{class.LS, class.LSE, class.System, class.LS, true},
		{class.LS, class.System, class.System, class.System, false},
		{class.LS, class.BE, class.LSR, class.LS, true}, // a consent below what it has takes nothing away
	} {
		a := Read(pair(Class, c.ask.String()), nil)
		got, by, refused := a.Resolve(c.base, c.highest)
		if got != c.want || (refused != nil) != c.refused || (by.Key != "") != (got != c.base || c.ask == c.base) {
			t.Errorf("%+v: %s, by %+v, %+v", c, got, by, refused)
		}
	}
}

// FuzzRead: nothing that a tenant writes breaks anything, raises a class beyond
// the policy, or comes out as long as it went in.
func FuzzRead(f *testing.F) {
	f.Add("BE", "LS", "1e30", "true", "system_cores", `{"cpuBurstPercent":1e30}`, "NaN", uint8(3), uint8(0))
	f.Add("LSE", "SYSTEM", "-8", "False", "x", `{"policy":"auto"}`, "-1ms", uint8(4), uint8(1))
	f.Fuzz(func(t *testing.T, own, koord, level, preempt, katalyst, json, wish string, base, highest uint8) {
		labels := map[string]string{Class: own, KoordinatorClass: koord, VolcanoPreempt: preempt, VolcanoLevel: koord}
		annotations := map[string]string{VolcanoLevel: level, KatalystLevel: katalyst, KoordinatorBurst: json, Burst: wish, Class: katalyst}
		was := maps.Clone(labels)
		b, h := class.Class(base%uint8(class.Count)), class.Class(highest%uint8(class.Count))
		a := Read(labels, annotations)
		got, by, refused := a.Resolve(b, h)
		if !maps.Equal(was, labels) {
			t.Fatal("the labels changed")
		}
		if Lower(Higher(b, h), got) {
			t.Fatalf("base %s, highest %s, got %s by %+v", b, h, got, by)
		}
		if refused != nil {
			a.Refusals = append(a.Refusals, *refused)
		}
		for _, r := range a.Refusals {
			if len(r.Value) > 80 || len(r.Text) > 512 || !utf8.ValidString(r.Value) || strings.ContainsAny(r.String(), "\n\x1b\x00") || !slices.Contains(Reasons(), r.Reason) {
				t.Fatalf("refusal %+v", r)
			}
		}
		if m := a.Burst; m.Budget < 0 || m.Budget > MaxBurst || m.Percent < 0 || m.Percent > burst.MaxPercent || m.Of(8192) < 0 || m.Of(8192) > burst.MaxBudget {
			t.Fatalf("burst %+v", m)
		}
	})
}
