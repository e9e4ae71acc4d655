package qos

import (
	"fmt"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/workload"
)

// TenantPolicy says what those who own workloads may ask for by labels and
// annotations, see package dialect. The policy's own rules go before labels,
// the built-in ones give the class that a label changes.
type TenantPolicy struct {
	Labels     string            `yaml:"labels" json:"labels" doc:"Read the class and burst that labels and annotations ask for (anole.io/qos-class, anole.io/cpu-burst, and those of Koordinator, Volcano and Katalyst): auto or off."`
	Highest    class.Class       `yaml:"highest" json:"highest" doc:"The highest class that any workload may ask for; NONE lets each only lower the class that it has without labels."`
	Namespaces []NamespacePolicy `yaml:"namespaces,omitempty" json:"namespaces,omitempty" doc:"Consent for pods of some namespaces; the first that matches counts instead of highest."`
}

// NamespacePolicy is a consent for some namespaces.
type NamespacePolicy struct {
	Name    string      `yaml:"name" json:"name" doc:"Namespace; * and ? match as in rules."`
	Highest class.Class `yaml:"highest" json:"highest" doc:"The highest class that its pods may ask for."`
}

func defaultTenants() TenantPolicy { return TenantPolicy{Labels: "auto"} }

// validate gives each mistake to say, with its key.
func (t *TenantPolicy) validate(say func(format string, a ...any)) {
	if t.Labels != "auto" && t.Labels != "off" {
		say("tenants.labels: %q is not one of auto, off", t.Labels)
	}
	if _, err := t.compile(); err != nil {
		say("tenants.namespaces: %v", err)
	}
}

// consent is a NamespacePolicy ready to match.
type consent struct {
	m       *workload.Matcher
	highest class.Class
}

func (t *TenantPolicy) compile() ([]consent, error) {
	var out []consent
	for i, n := range t.Namespaces {
		m, err := workload.Compile(workload.Match{Namespace: n.Name})
		if err != nil {
			return nil, fmt.Errorf("namespaces[%d].name: %w", i, err)
		}
		out = append(out, consent{m, n.Highest})
	}
	return out, nil
}
