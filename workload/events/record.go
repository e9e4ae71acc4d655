package events

import (
	"encoding/json"
	"strings"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/anole-os/anole/workload"
)

// about says which container an event speaks of, "" if of none, and whether it
// is gone.
func about(e *types.Envelope) (id string, gone bool) {
	switch e.GetTopic() {
	case "/containers/create", "/containers/update":
		return field(e, 1), false
	case "/containers/delete":
		return field(e, 1), true
	case "/tasks/create", "/tasks/start":
		return field(e, 1), false
	}
	return "", false
}

// field gives a string of an event. The container's id is the first field of
// each that is listened to (events/container.proto and task.proto of
// containerd's API), so that no type need be known.
func field(e *types.Envelope, want protowire.Number) string {
	b := e.GetEvent().GetValue()
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ""
		}
		b = b[n:]
		if num == want && typ == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return ""
			}
			return string(v)
		}
		if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return ""
		}
		b = b[n:]
	}
	return ""
}

// criKind is the label that containerd's CRI service puts on its containers.
const criKind = "io.cri-containerd.kind"

// record reads one of containerd's containers; ok is false for one of CRI's.
func record(namespace string, k *containers.Container) (r workload.Record, ok bool) {
	labels := k.GetLabels()
	if _, cri := labels[criKind]; cri {
		return r, false
	}
	r = workload.Record{ID: key(namespace, k.GetID()), Name: k.GetID(), Image: k.GetImage(), Labels: labels, Runtime: "containerd"}
	if n := labels["nerdctl/name"]; n != "" {
		r.Name = n
	}
	if t := k.GetCreatedAt(); t.IsValid() {
		r.Created = t.AsTime()
	}
	r.Cgroup, r.Annotations = readSpec(k.GetSpec().GetValue())
	return r, true
}

// key names a container so that those of one name in two namespaces stay two.
// An id of 256 bits is one on all of them, and is how the cgroup tree calls it.
func key(namespace, id string) string {
	if namespace == "default" || len(id) == 64 || id == "" {
		return id
	}
	return strings.ReplaceAll(namespace, "/", "_") + ":" + id
}

// maxSpec bounds the part of a spec that is read; a real one has some 10 KiB.
const maxSpec = 1 << 20

// readSpec reads an OCI runtime spec (config.md, config-linux.md). One that is
// no JSON, as of other platforms' runtimes, says nothing.
func readSpec(b []byte) (cgroup string, annotations map[string]string) {
	var spec struct {
		Annotations map[string]string `json:"annotations"`
		Linux       struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if len(b) > maxSpec || json.Unmarshal(b, &spec) != nil {
		return "", nil
	}
	return workload.CgroupPath(spec.Linux.CgroupsPath), spec.Annotations
}
