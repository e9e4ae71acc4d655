package workload

import "maps"

// Kind says what a workload is.
type Kind string

// Kinds. Pod and Slice are workloads only when they hold processes themselves.
const (
	KindAnole     Kind = "anole"     // made by anole itself: /anole-<class>/<name>
	KindContainer Kind = "container" // of any runtime, in a pod or not
	KindPod       Kind = "pod"       // a pod with processes outside its containers, as of a VM runtime
	KindService   Kind = "service"   // a systemd unit that is neither scope nor slice
	KindScope     Kind = "scope"     // a systemd scope, as of a login session
	KindSlice     Kind = "slice"     // a systemd slice with processes of its own
	KindPlain     Kind = "plain"     // any other cgroup with processes
)

// Kinds lists every Kind.
func Kinds() []Kind {
	return []Kind{KindAnole, KindContainer, KindPod, KindService, KindScope, KindSlice, KindPlain}
}

// Kubernetes QoS classes as the kubelet spells them in cgroup paths; Guaranteed
// is the class of a pod that lies under neither of the other two.
const (
	Guaranteed = "guaranteed"
	Burstable  = "burstable"
	BestEffort = "besteffort"
)

// Workload is one thing that runs on the node. A *Workload from a Table is
// shared and must not be changed; it stays valid, as a description, after the
// workload is gone.
type Workload struct {
	// ID names the workload to people and in the API: short, typable, stable
	// for the workload's life, unique among the live ones. Examples:
	// "anole-ls/web", "docker/3f2a90c1d2e4", "system.slice/nginx.service".
	ID   string `json:"id"`
	Name string `json:"name"` // a word for tables; not unique
	// Path is the cgroup's path within the hierarchy that the table follows,
	// from its root: "/system.slice/nginx.service".
	Path string `json:"path"`
	// Ino is the inode of that cgroup directory, which is the kernel's cgroup
	// id and the workload's identity: a group made anew under the same path is
	// another workload. 0 from Parse, which looks at no node.
	Ino uint64 `json:"ino,omitempty"`
	// Source is the most trusted of those who told of it; "tree" when only its
	// path did.
	Source Origin `json:"source"`
	Kind   Kind   `json:"kind"`
	// Unit is the systemd unit as systemd spells it, escapes included; "" if the
	// cgroup is none.
	Unit string `json:"unit,omitempty"`
	// Runtime is the container runtime ("docker", "containerd", "cri-o",
	// "podman", "lxc"), "" where the path does not tell.
	Runtime     string            `json:"runtime,omitempty"`
	ContainerID string            `json:"container_id,omitempty"` // in full
	PodUID      string            `json:"pod_uid,omitempty"`      // with dashes, as in the Kubernetes API
	KubeQoS     string            `json:"kube_qos,omitempty"`     // Guaranteed, Burstable, BestEffort, or "" outside Kubernetes
	PodName     string            `json:"pod_name,omitempty"`     // this and what follows from Options.Records
	Namespace   string            `json:"namespace,omitempty"`    // of the pod
	Image       string            `json:"image,omitempty"`        //
	Sandbox     bool              `json:"sandbox,omitempty"`      // it only holds its pod's namespaces
	Annotations map[string]string `json:"annotations,omitempty"`  //
	Labels      map[string]string `json:"labels,omitempty"`       // from Options.Records and Options.Enrich; nil without

	// Told is what sources other than the tree said of the container, nil if
	// none did.
	Told *Container `json:"-"`
}

// whole says whether all that lies below the cgroup belongs to the workload.
func (w *Workload) whole() bool {
	switch w.Kind {
	case KindPod, KindSlice, KindPlain:
		return false
	}
	return !isUserManager(w.Unit)
}

// Clone gives a copy that the caller may change.
func (w *Workload) Clone() *Workload {
	c := *w
	c.Labels, c.Annotations = maps.Clone(w.Labels), maps.Clone(w.Annotations)
	return &c
}
