package workload

import (
	"path"
	"strings"
)

// Above lists the cgroups between the workload and its pod's, the pod's last,
// which the kubelet gives a CPU limit of their own; nil outside of pods and for
// a pod that is a workload itself.
func (w *Workload) Above() []string {
	if w.PodUID == "" || w.Kind == KindPod {
		return nil
	}
	at, end := place{}, ""
	for name := range strings.SplitSeq(strings.Trim(w.Path, "/"), "/") {
		if at, _ = at.step(name); at.isPod {
			end = at.path
			break
		}
	}
	if end == "" || !strings.HasPrefix(w.Path, end+"/") {
		return nil
	}
	var out []string
	for p := path.Dir(w.Path); ; p = path.Dir(p) {
		if out = append(out, p); p == end {
			return out
		}
	}
}
