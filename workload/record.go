package workload

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Origin says who told something of a workload.
type Origin string

// Origins, from the most trusted to the least: who is asked before a container
// starts knows it first and exactly; the tree knows only names.
const (
	FromNRI    Origin = "nri"    // the runtime calls a plugin (Node Resource Interface)
	FromCRI    Origin = "cri"    // the Kubernetes runtime interface, asked by us
	FromEvents Origin = "events" // containerd's own API and event stream
	FromTree   Origin = "tree"   // the path of the cgroup
	FromRun    Origin = "run"    // anole qos run, of its own workloads
)

// trust is the order of Origins that speak of containers.
var trust = [...]Origin{FromNRI, FromCRI, FromEvents, FromTree}

func rank(o Origin) int { return slices.Index(trust[:], o) }

// Record is what one source knows of one container. Empty fields are not
// known. A source gives a Record away: its maps are not changed afterwards.
type Record struct {
	ID        string `json:"id"`                  // of the container, in full
	PodUID    string `json:"pod_uid,omitempty"`   // as in the Kubernetes API
	PodName   string `json:"pod_name,omitempty"`  //
	Namespace string `json:"namespace,omitempty"` // of the pod; of containerd for containers without a pod
	Name      string `json:"name,omitempty"`      // of the container within its pod
	Image     string `json:"image,omitempty"`
	// Labels and Annotations are the container's with the pod's laid over them.
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Cgroup is the path of the container's cgroup from the hierarchy's root, ""
	// where the source does not tell. It finds containers whose id is no 256-bit
	// number and so does not show in a path.
	Cgroup  string `json:"cgroup,omitempty"`
	Runtime string `json:"runtime,omitempty"` // "containerd", "cri-o"
	Sandbox bool   `json:"sandbox,omitempty"` // the container that only holds a pod's namespaces
	// Running says that the container is made: whoever makes it changes nothing of
	// its cgroup any more, and its program runs or is about to.
	Running bool `json:"running,omitempty"`
	// Created is when the runtime made the container, zero if it does not say. A
	// later one under the same ID is another container.
	Created time.Time `json:"created,omitzero"`
	When    time.Time `json:"when"` // of the source's last word
}

// Limits of what is kept of one record. All of it comes from whoever may start
// containers.
const (
	// MaxValue is the longest label or annotation kept whole, in bytes. Of a
	// longer one that many and the word "…" are kept, so that a reader sees that
	// it is none of the short words it knows.
	MaxValue  = 4096
	maxKey    = 317 // a DNS name of 253, a slash, a name of 63 (Kubernetes, "Syntax and character set")
	maxPairs  = 256
	maxBytes  = 64 << 10
	cutMark   = "…"
	maxRecord = 512 // of the other fields, each
)

// Cut says whether a value was too long to be kept whole.
func Cut(v string) bool { return len(v) > MaxValue }

// bounded gives the record within the limits, and how many pairs were left out
// or cut.
func (r Record) bounded() (Record, int) {
	for _, s := range []*string{&r.PodUID, &r.PodName, &r.Namespace, &r.Name, &r.Image, &r.Runtime} {
		*s = clip(*s, maxRecord)
	}
	if len(r.Cgroup) > 4096 || !strings.HasPrefix(r.Cgroup, "/") {
		r.Cgroup = "" // no path of the kernel's
	}
	var a, b int
	r.Labels, a = boundedMap(r.Labels)
	r.Annotations, b = boundedMap(r.Annotations)
	return r, a + b
}

// boundedMap gives m within the limits. What is left out does not depend on
// the order of the map: the longest go first.
func boundedMap(m map[string]string) (map[string]string, int) {
	if len(m) == 0 {
		return nil, 0
	}
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int {
		if d := min(len(m[a]), MaxValue+1) - min(len(m[b]), MaxValue+1); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	out, size, lost := make(map[string]string, len(m)), 0, 0
	for _, k := range keys {
		v := clip(m[k], MaxValue)
		if len(k) > maxKey || len(out) == maxPairs || size+len(k)+len(v) > maxBytes {
			lost++
			continue
		}
		if len(v) != len(m[k]) {
			lost++
		}
		size += len(k) + len(v)
		out[strings.Clone(k)] = v // not a part of some large message
	}
	return out, lost
}

// clip cuts s to at most n bytes and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return strings.Clone(s)
	}
	s = s[:n]
	for i := 0; i < utf8.UTFMax && !utf8.ValidString(s); i++ {
		s = s[:len(s)-1]
	}
	for len(s) < n { // so that Cut tells it from a whole one
		s += "."
	}
	return s + cutMark
}

// overlay gives both maps as one; over wins. Neither is changed.
func overlay(under, over map[string]string) map[string]string {
	if len(under) == 0 {
		return over
	}
	if len(over) == 0 {
		return under
	}
	out := maps.Clone(under)
	maps.Copy(out, over)
	return out
}

// Overlay gives a container's labels or annotations with its pod's laid over
// them: what the pod says holds for all its containers.
func Overlay(container, pod map[string]string) map[string]string { return overlay(container, pod) }

// CgroupPath reads the cgroup of an OCI runtime spec (linux.cgroupsPath): a
// path, or for the systemd driver "slice:prefix:name". It gives "" for one that
// is relative, which is not known without the runtime's own cgroup.
func CgroupPath(s string) string {
	f := strings.Split(s, ":")
	if len(f) != 3 {
		if !strings.HasPrefix(s, "/") {
			return ""
		}
		return s
	}
	slice, prefix, name := f[0], f[1], f[2]
	if name == "" || strings.Contains(name, "/") || strings.Contains(prefix, "/") {
		return ""
	}
	if slice == "" {
		slice = "system.slice"
	}
	if prefix != "" {
		name = prefix + "-" + name
	}
	if !strings.HasSuffix(name, ".slice") {
		name += ".scope"
	}
	dir := expandSlice(slice)
	if dir == "" {
		return ""
	}
	return dir + "/" + name
}

// expandSlice gives the path of a slice: a-b.slice lies in a.slice
// (systemd.slice(5)).
func expandSlice(s string) string {
	name, ok := strings.CutSuffix(s, ".slice")
	if !ok || name == "" || strings.ContainsAny(s, "/") {
		return ""
	}
	if name == "-" {
		return ""
	}
	var b strings.Builder
	for i, c := range name {
		if c == '-' && i > 0 {
			b.WriteString("/" + name[:i] + ".slice")
		}
	}
	return b.String() + "/" + s
}
