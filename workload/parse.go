package workload

import (
	"path"
	"strings"
)

// Parse reads a cgroup path, such as a line of /proc/PID/cgroup, and gives the
// recognised workload that it lies in; Path is then the part of p that names
// the workload. ok is false where nothing is recognised and only a look at the
// processes can tell whether p is a plain workload. Ino, Labels and Source are
// not set.
func Parse(p string) (w Workload, ok bool) {
	at := place{}
	for name := range strings.SplitSeq(strings.Trim(path.Clean("/"+p), "/"), "/") {
		next, found := at.step(name)
		if found != nil {
			found.ID = found.shortID()
			return *found, true
		}
		at = next
	}
	return Workload{}, false
}

// place is what the path of a cgroup says, read from the root down as long as
// nothing is recognised as a workload.
type place struct {
	path   string // "" at the root
	name   string // the last element
	depth  int    // the number of elements
	kube   bool   // at or below the kubelet's root cgroup
	qos    string
	podUID string
	isPod  bool // this very cgroup is a pod's
}

// step goes down to the child called name. w is not nil when the child is a
// workload whatever it holds.
func (p place) step(name string) (next place, w *Workload) {
	next = p
	next.path, next.name, next.depth, next.isPod = p.path+"/"+name, name, p.depth+1, false
	next.readKube()
	if p.depth == 1 && strings.HasPrefix(p.name, anolePrefix) {
		return next, next.workload(KindAnole)
	}
	if runtime, id := containerName(p.name, name); id != "" {
		w = next.workload(KindContainer)
		w.Runtime, w.ContainerID, w.Name = runtime, id, short(id)
		return next, w
	}
	switch path.Ext(unit(name)) {
	case ".scope":
		return next, next.workload(KindScope)
	case ".service":
		if !isUserManager(name) {
			return next, next.workload(KindService)
		}
	}
	return next, nil
}

// anolePrefix begins the names of anole's own top-level groups: anole-ls.
const anolePrefix = "anole-"

// plain gives the workload that the place is if it holds processes.
func (p place) plain() *Workload {
	if p.isPod {
		return p.workload(KindPod)
	}
	switch path.Ext(unit(p.name)) {
	case "":
		return p.workload(KindPlain)
	case ".slice":
		return p.workload(KindSlice)
	}
	// A user's service manager, or a unit whose cgroup is as a rule an empty
	// one: mount, socket, swap.
	return p.workload(KindService)
}

func (p place) workload(k Kind) *Workload {
	w := &Workload{Path: p.path, Kind: k, Name: p.name, PodUID: p.podUID, KubeQoS: p.qos}
	if k == KindAnole {
		return w
	}
	if u := unit(p.name); u != "" {
		w.Unit, w.Name = u, unescape(strings.TrimSuffix(u, path.Ext(u)))
	}
	if k == KindPod {
		w.Name = p.podUID
	}
	return w
}

// readKube notes what the last element says of Kubernetes. The kubelet's
// names are in pkg/kubelet/cm of Kubernetes: with the cgroupfs driver
// /kubepods/burstable/pod<uid>, with the systemd driver
// /kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice
// with the dashes of the uid made underscores. Kind and others put a prefix
// before kubepods.
func (p *place) readKube() {
	name, _, colon := strings.Cut(p.name, ":") // see colonForm
	slice, isSlice := strings.CutSuffix(name, ".slice")
	if colon && !isSlice {
		return
	}
	switch {
	case name == "kubepods", isSlice && (slice == "kubepods" || strings.HasSuffix(slice, "-kubepods")):
		p.kube = true
		return
	case isSlice && (strings.HasPrefix(slice, "kubepods-") || strings.Contains(slice, "-kubepods-")):
		p.kube = true
	}
	if !p.kube {
		return
	}
	head, uid := slice, ""
	if i := strings.LastIndex("-"+slice, "-pod"); i >= 0 {
		head, uid = slice[:max(i-1, 0)], podUID(slice[i+len("pod"):])
	}
	for _, q := range []string{Burstable, BestEffort, Guaranteed} {
		if head == q || strings.HasSuffix(head, "-"+q) {
			p.qos = q
		}
	}
	if uid == "" || p.podUID != "" {
		return
	}
	p.podUID, p.isPod = uid, true
	if p.qos == "" {
		p.qos = Guaranteed
	}
}

// podUID reads a pod's uid as it stands in a path, "" if it is none: a UUID, or
// for a static pod the 32 hex digits of a hash.
func podUID(s string) string {
	s = strings.ReplaceAll(s, "_", "-")
	if bare := strings.ReplaceAll(s, "-", ""); len(bare) != 32 || !isHex(bare) {
		return ""
	}
	if len(s) != 32 && (len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-') {
		return ""
	}
	return s
}
