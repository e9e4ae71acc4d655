package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Match is a rule that picks workloads, as it stands in a policy file. All
// fields that are set must hold; at least one must be set. In patterns, *, ? and
// sets like [a-z] stay within a path element, and /** is everything below a
// path but not the path itself. A pattern without a slash is matched against
// the last element, so "*" is any.
type Match struct {
	Path        string            `yaml:"path,omitempty" json:"path,omitempty"`                // pattern over the cgroup path, "/a/**"
	Unit        string            `yaml:"unit,omitempty" json:"unit,omitempty"`                // pattern over the unit, "nginx@*.service"
	Exe         string            `yaml:"exe,omitempty" json:"exe,omitempty"`                  // pattern over a member process's program, "/usr/sbin/nginx" or "nginx"
	Namespace   string            `yaml:"namespace,omitempty" json:"namespace,omitempty"`      // pattern over the pod's namespace, "team-*"
	Pod         string            `yaml:"pod,omitempty" json:"pod,omitempty"`                  // pattern over the pod's name
	Image       string            `yaml:"image,omitempty" json:"image,omitempty"`              // pattern over the image's name; without a slash over its last element, "nginx:*"
	Label       map[string]string `yaml:"label,omitempty" json:"label,omitempty"`              // each label's value; "*" is any
	Kind        Kind              `yaml:"kind,omitempty" json:"kind,omitempty"`                // one of Kinds
	KubeQoS     string            `yaml:"kubeQoS,omitempty" json:"kube_qos,omitempty"`         // Guaranteed, Burstable or BestEffort
	ContainerID string            `yaml:"containerID,omitempty" json:"container_id,omitempty"` // a prefix
}

// Matcher is a compiled Match. It is immutable and safe for concurrent use.
type Matcher struct {
	m               Match
	path, unit, exe *glob

	namespace, pod, image *glob
}

// Compile checks a rule; the error names the field.
func Compile(m Match) (*Matcher, error) {
	c := &Matcher{m: m}
	if m.empty() {
		return nil, fmt.Errorf("a match without conditions; to match all, say path: \"/**\"")
	}
	var err error
	for _, f := range []struct {
		name, pattern string
		to            **glob
	}{
		{"path", m.Path, &c.path}, {"unit", m.Unit, &c.unit}, {"exe", m.Exe, &c.exe},
		{"namespace", m.Namespace, &c.namespace}, {"pod", m.Pod, &c.pod}, {"image", m.Image, &c.image},
	} {
		if f.pattern == "" {
			continue
		}
		if *f.to, err = compileGlob(f.pattern); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if err := checkShape(f.name, f.pattern); err != nil {
			return nil, err
		}
	}
	for k := range m.Label {
		if k == "" || strings.ContainsAny(k, " \t\n") {
			return nil, fmt.Errorf("label: %q is not a label's name", k)
		}
	}
	c.m.Label = maps.Clone(m.Label)
	return c, c.checkWords()
}

func checkShape(field, pattern string) error {
	slash := strings.Contains(pattern, "/")
	switch {
	case field == "unit" && slash:
		return fmt.Errorf("unit: %q must hold no slash; match the cgroup by path", pattern)
	case (field == "namespace" || field == "pod") && slash:
		return fmt.Errorf("%s: %q must hold no slash", field, pattern)
	case (field == "path" || field == "exe") && slash && pattern[0] != '/':
		return fmt.Errorf("%s: %q must begin with a slash or hold none", field, pattern)
	}
	return nil
}

func (m *Match) empty() bool {
	return m.Path == "" && m.Unit == "" && m.Exe == "" && m.Namespace == "" && m.Pod == "" && m.Image == "" && len(m.Label) == 0 && m.Kind == "" && m.KubeQoS == "" && m.ContainerID == ""
}

func (c *Matcher) checkWords() error {
	if k := c.m.Kind; k != "" && !slices.Contains(Kinds(), k) {
		return fmt.Errorf("kind: %q is none of %v", k, Kinds())
	}
	qos := []string{Guaranteed, Burstable, BestEffort}
	if q := c.m.KubeQoS; q != "" && !slices.Contains(qos, q) {
		return fmt.Errorf("kubeQoS: %q is none of %v", q, qos)
	}
	if id := c.m.ContainerID; strings.ContainsAny(id, "*?[]/ \t\n") || len(id) > 255 {
		return fmt.Errorf("containerID: %q is not the beginning of an id", id)
	}
	return nil
}

// NeedsExe says whether Match may ask for the programs of a workload.
func (c *Matcher) NeedsExe() bool { return c.exe != nil }

// Match says whether the rule picks w. exe gives the paths of the programs
// that w's processes run, see Table.Exe; it is called at most once, and only
// if everything else in the rule holds. A nil exe gives none.
func (c *Matcher) Match(w *Workload, exe func() []string) bool {
	switch {
	case c.m.Kind != "" && c.m.Kind != w.Kind,
		c.m.KubeQoS != "" && c.m.KubeQoS != w.KubeQoS,
		!strings.HasPrefix(w.ContainerID, c.m.ContainerID),
		c.namespace != nil && (w.Namespace == "" || !c.namespace.match(w.Namespace)),
		c.pod != nil && (w.PodName == "" || !c.pod.match(w.PodName)),
		c.image != nil && (w.Image == "" || !c.image.match(w.Image)),
		c.path != nil && !c.path.match(w.Path),
		c.unit != nil && (w.Unit == "" || !c.unit.re.MatchString(w.Unit) && !c.unit.re.MatchString(unescape(w.Unit))):
		return false
	}
	for k, want := range c.m.Label {
		if v, ok := w.Labels[k]; !ok || want != "*" && v != want {
			return false
		}
	}
	if c.exe == nil {
		return true
	}
	return exe != nil && slices.ContainsFunc(exe(), c.exe.match)
}
