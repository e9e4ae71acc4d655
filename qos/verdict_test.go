package qos

import (
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/workload"
)

// verdictOf is what a policy gives a workload.
func verdictOf(t *testing.T, p Policy, w *workload.Workload) verdict {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	rules, err := compile(&p)
	if err != nil {
		t.Fatal(err)
	}
	consents, err := p.Tenants.compile()
	if err != nil {
		t.Fatal(err)
	}
	return p.judge(match(rules, w, nil), w, consents, BurstMode{})
}

func podWith(kubeQoS, namespace, key, value string) *workload.Workload {
	return &workload.Workload{Path: "/kubepods/x", Kind: workload.KindContainer, KubeQoS: kubeQoS, Namespace: namespace, Labels: map[string]string{key: value}, Source: workload.FromNRI}
}

func TestLabelsLowerAndNeverRaise(t *testing.T) {
	for _, c := range []struct {
		kubeQoS, key, value string
		want                class.Class
		refused             dialect.Reason
	}{
		{"burstable", "app", "web", class.LS, ""},
		{"burstable", dialect.KoordinatorClass, "BE", class.BE, ""},
		{"guaranteed", dialect.KoordinatorClass, "LS", class.LS, ""},
		{"guaranteed", dialect.VolcanoPreempt, "true", class.BE, ""},
		{"guaranteed", dialect.KoordinatorClass, "LSR", class.LS, dialect.NotAllowed},
		{"guaranteed", dialect.KatalystLevel, "system_cores", class.LS, dialect.NotAllowed},
		{"besteffort", dialect.KoordinatorClass, "LS", class.BE, dialect.NotAllowed},
		{"besteffort", dialect.Class, "NONE", class.BE, dialect.NotAllowed},
		{"", dialect.VolcanoLevel, "LS", class.None, dialect.NotAllowed},
		{"", dialect.VolcanoLevel, "BE", class.BE, ""},
		{"burstable", dialect.KoordinatorClass, "1e30", class.LS, dialect.Unknown},
	} {
		v := verdictOf(t, DefaultPolicy(), podWith(c.kubeQoS, "prod", c.key, c.value))
		if v.class != c.want || (c.refused == "") != (len(v.refused) == 0) || c.refused != "" && v.refused[0].Reason != c.refused {
			t.Errorf("%s %s=%s: %+v", c.kubeQoS, c.key, c.value, v)
		}
	}
	v := verdictOf(t, DefaultPolicy(), podWith("burstable", "", dialect.KoordinatorClass, "BE"))
	if v.rule != "label koordinator.sh/qosClass=BE from nri; without it LS by built-in: kubeQoS burstable" {
		t.Errorf("rule %q", v.rule)
	}
}

func TestConsentOfThePolicy(t *testing.T) {
	p := DefaultPolicy()
	p.Tenants.Namespaces = []NamespacePolicy{{"kube-*", class.System}, {"prod", class.LSR}, {"*", class.None}}
	p.Tenants.Highest = class.LSE // the last of the list stands before it
	for _, c := range []struct {
		ns, value string
		want      class.Class
	}{
		{"kube-system", "SYSTEM", class.System}, {"prod", "LSR", class.LSR}, {"prod", "LSE", class.LSR}, {"prod", "SYSTEM", class.LS}, {"dev", "LSR", class.LS},
	} {
		if v := verdictOf(t, p, podWith("burstable", c.ns, dialect.KoordinatorClass, c.value)); v.class != c.want {
			t.Errorf("%s in %s: %+v", c.value, c.ns, v)
		}
	}
	if v := verdictOf(t, p, podWith("", "", dialect.KoordinatorClass, "LSE")); v.class != class.LSE {
		t.Errorf("without a namespace: %+v", v)
	}
	p.Tenants.Namespaces[0].Name = "a/b"
	if err := p.Validate(); err == nil || !strings.Contains(err.Error(), "tenants.namespaces") {
		t.Errorf("a namespace with a slash: %v", err)
	}
}

func TestRulesGoBeforeLabels(t *testing.T) {
	p := DefaultPolicy()
	p.Rules = []Rule{{Match: workload.Match{Namespace: "prod"}, Class: class.LSR}}
	if v := verdictOf(t, p, podWith("burstable", "prod", dialect.KoordinatorClass, "BE")); v.class != class.LSR || v.rule != "rules[0]: namespace prod" {
		t.Errorf("%+v", v)
	}
	if v := verdictOf(t, p, podWith("burstable", "dev", dialect.KoordinatorClass, "BE")); v.class != class.BE {
		t.Errorf("%+v", v)
	}
	p.Tenants.Labels = "off"
	if v := verdictOf(t, p, podWith("burstable", "dev", dialect.KoordinatorClass, "BE")); v.class != class.LS {
		t.Errorf("labels are off: %+v", v)
	}
}

func TestBurstByAnnotation(t *testing.T) {
	w := podWith("burstable", "prod", "app", "web")
	w.Annotations = map[string]string{dialect.Burst: "250%"}
	if v := verdictOf(t, DefaultPolicy(), w); v.mode.Percent != 250 || v.mode.Of(0.4) != 100*time.Millisecond {
		t.Errorf("%+v", v)
	}
	w.KubeQoS = "besteffort"
	if v := verdictOf(t, DefaultPolicy(), w); !v.mode.Off() || len(v.refused) != 1 || v.refused[0].Reason != dialect.NoEffect {
		t.Errorf("best effort: %+v", v)
	}
	w.KubeQoS, w.Annotations[dialect.Burst] = "burstable", "-1ms"
	if v := verdictOf(t, DefaultPolicy(), w); v.mode != BurstAuto || len(v.refused) != 1 || v.refused[0].Reason != dialect.Malformed {
		t.Errorf("malformed: %+v", v)
	}
}
