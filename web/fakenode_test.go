package web

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// What the synthetic node isolates beside the CPU.
var fakeDisks = []obj{
	{"disk": "nvme0n1", "number": "259:0", "mechanism": "io.max", "why": "limits of bytes and requests; io.cost is not built into this kernel",
		"be_limit": obj{"read_bytes": 2e8, "write_bytes": 1e8, "read_ops": 9000, "write_ops": 4000}, "be_limit_why": "reads take 310µs > 220µs", "quiet_us": 110, "latency": 1.1},
	{"disk": "sda", "number": "8:0", "mechanism": "io.cost", "why": "the kernel charges by what requests cost", "be_limit": nil, "be_limit_why": "", "quiet_us": 0, "latency": 0},
}

var fakeLinks = []obj{
	{"interface": "eth0", "using": "edt", "rate": "10Gbit", "ingress": "10Gbit", "classes": []obj{
		{"class": "LS", "guaranteed": "7Gbit", "sent_bytes": 9 << 30, "sent_dropped": 0, "received_bytes": 4 << 30, "received_dropped": 0},
		{"class": "BE", "guaranteed": "1Gbit", "sent_bytes": 70 << 30, "sent_dropped": 1312, "received_bytes": 2 << 30, "received_dropped": 12},
		{"class": "REST", "guaranteed": "2Gbit", "sent_bytes": 1 << 30, "sent_dropped": 0, "received_bytes": 1 << 29, "received_dropped": 0},
	}},
	{"interface": "eth1", "using": "off", "why": "it has a queueing discipline that somebody chose: fq_codel"},
}

var fakeMechanisms = []obj{
	{"name": "priority", "using": "cpu.idle", "why": "cpu.bvt_warp_ns: absent (no ANCK); cpu.qos_level: absent; cpu.idle: present"},
	{"name": "suppression", "using": "cpu.cfs_quota_us", "why": "quota moves in 1 ms steps; cpuset would move by whole CPUs"},
	{"name": "burst", "using": "cpu.cfs_burst_us", "why": "mainline: burst ≤ quota, deepened by a longer period"},
	{"name": "pressure", "using": "shadow cgroup2 tree", "why": "cgroup v1 has no PSI files"},
	{"name": "run queue", "using": "tp_btf", "why": "BTF present, tp_btf sched_switch attached"},
	{"name": "rt lane", "using": "", "why": "off in the policy"},
	{"name": "memory bound", "using": "memory.limit_in_bytes", "why": "stepped: cgroup v1 has no memory.high"},
	{"name": "io nvme0n1", "using": "io.max", "why": "limits of bytes and requests"},
	{"name": "cache", "using": "off", "why": "resctrl: the CPU has no cache allocation"},
	{"name": "cpi", "using": "off", "why": "perf counters: this machine has no PMU"},
	{"name": "core scheduling", "using": "off", "why": "the kernel was built without CONFIG_SCHED_CORE"},
	{"name": "network", "using": "EDT + fq", "why": "fq sends each packet at its time of departure"},
}

// fakeBare is a node where only the CPU is isolated, each part with its reason.
var fakeBare = append(fakeMechanisms[:6:6],
	obj{"name": "memory", "using": "off", "why": "memory isolation needs the memory controller"},
	obj{"name": "io", "using": "off", "why": "no disk to control"},
	obj{"name": "network", "using": "off", "why": "the policy names no interface: net.interfaces"})

// resources adds what a workload has of memory, disks and network.
func (a *fakeAgent) resources(w obj, now time.Time) {
	id, class := w["id"].(string), w["class"].(string)
	used := uint64(a.node.last(now, false, "anole_qos_memory_used_bytes", "class", class) / 3)
	m := obj{"used_bytes": used, "limit_bytes": nil, "cache_bytes": used / 3, "protected_bytes": 0, "bound_bytes": nil, "major_faults": 0, "oom_kills": 0}
	w["memory"], w["network"], w["sources"] = m, "REST", []string{"tree"}
	switch class {
	case "LS", "LSR":
		m["protected_bytes"], w["network"] = used, "LS"
	case "BE":
		m["bound_bytes"], m["major_faults"], w["network"] = used+used/8, 211, "BE"
		w["io"] = obj{"read_bytes": 31 << 20, "write_bytes": 88 << 20, "read_ops": 310, "write_ops": 702}
	}
	if id == "web" {
		w["pod"], w["image"], w["sources"] = "shop/web-7d9f", "registry.example/web:1.4", []string{"nri", "cri", "tree"}
		w["labels"] = obj{"koordinator.sh/qosClass": "LS", "team": "shop"}
		w["labels_from"] = obj{"koordinator.sh/qosClass": "nri", "team": "nri", "koordinator.sh/cpuBurst": "cri"}
		w["refused"] = []obj{{"key": "koordinator.sh/cpuBurst", "value": "{nonsense", "reason": "malformed", "text": "is no JSON object"}}
	}
}

// containers is the answer of the workload room.
func (a *fakeAgent) containers() obj {
	now := time.Now()
	if a.bare.Load() {
		return obj{"time": now.UnixMilli(), "containers": 0, "disagreements": 0, "conflicts": []obj{}, "sources": []obj{
			{"name": "nri", "wanted": true, "reason": "no_peer", "problem": "needs a container runtime; none of these is there: /var/run/nri/nri.sock"}, {"name": "cri", "wanted": true, "reason": "no_privilege", "problem": "permission denied"}, {"name": "events"},
		}}
	}
	return obj{
		"time": now.UnixMilli(), "containers": 23, "disagreements": 1,
		"sources": []obj{
			{"name": "nri", "wanted": true, "connected": true, "detail": "/var/run/nri/nri.sock, containerd 1.7", "containers": 21, "last_event": now.Add(-3 * time.Second).UnixMilli(), "connects": 1},
			{"name": "cri", "wanted": true, "connected": true, "detail": "/run/containerd/containerd.sock, by asking", "containers": 21, "last_event": now.Add(-time.Second).UnixMilli(), "disagreements": 4, "connects": 1},
			{"name": "events", "wanted": true, "problem": "permission denied", "connects": 2},
		},
		"conflicts": []obj{{"id": "0a1b", "pod": "shop/cart-5", "field": "label koordinator.sh/qosClass", "taken": "BE", "from": "nri", "refused": "LS", "opposing": "cri"}},
	}
}

// grow makes a status one of a very big node, with names as long as they come.
func grow(out obj) {
	var workloads, io, links []obj
	for i := range 2000 {
		w := maps.Clone(out["workloads"].([]obj)[i%len(fakeLoads)])
		w["id"] = fmt.Sprintf("/kubepods.slice/kubepods-besteffort.slice/pod%05d/cri-containerd-%s.scope", i, strings.Repeat("0123456789abcdef", 4))
		w["name"] = w["id"]
		w["labels_from"] = obj{"q": "nri"}
		w["refused"] = []obj{{"key": "q", "value": strings.Repeat("x", 64), "reason": "malformed", "text": "is none"}}
		workloads = append(workloads, w)
	}
	for i := range 64 {
		d, l := maps.Clone(fakeDisks[i%2]), maps.Clone(fakeLinks[i%2])
		d["disk"], l["interface"] = fmt.Sprintf("nvme%dn1", i), fmt.Sprintf("enp%ds0f0np0", i)
		io, links = append(io, d), append(links, l)
	}
	out["workloads"], out["io"], out["network"] = workloads, io, links
}
