package workload

import (
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

const (
	id64   = "3f2a90c1d2e4b5968778695a4b3c2d1e0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	id12   = "3f2a90c1d2e4"
	uid    = "7d1b6f0c-2a35-4c8e-9f10-aabbccddeeff"
	uidSys = "7d1b6f0c_2a35_4c8e_9f10_aabbccddeeff"
	hash32 = "0123456789abcdef0123456789abcdef"
)

func TestParseLayouts(t *testing.T) {
	cont := func(id, runtime, path, qos, pod string) Workload {
		return Workload{ID: id, Name: id12, Path: path, Kind: KindContainer, Runtime: runtime, ContainerID: id64, KubeQoS: qos, PodUID: pod}
	}
	withUnit := func(w Workload, unit string) Workload { w.Unit = unit; return w }
	const (
		burst = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uidSys + ".slice"
		best  = "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + uidSys + ".slice"
		guar  = "/kubepods.slice/kubepods-pod" + uidSys + ".slice"
		kind  = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + uidSys + ".slice"
	)
	cri, crio, dock, pod := "cri-containerd-"+id64+".scope", "crio-"+id64+".scope", "docker-"+id64+".scope", "libpod-"+id64+".scope"
	cases := []struct {
		name, in string
		want     Workload
	}{
		{"systemd containerd burstable", burst + "/" + cri, withUnit(cont("containerd/"+id12, "containerd", burst+"/"+cri, Burstable, uid), cri)},
		{"systemd cri-o besteffort", best + "/" + crio, withUnit(cont("cri-o/"+id12, "cri-o", best+"/"+crio, BestEffort, uid), crio)},
		{"systemd docker guaranteed", guar + "/" + dock, withUnit(cont("docker/"+id12, "docker", guar+"/"+dock, Guaranteed, uid), dock)},
		{"kind prefix", kind + "/" + cri, withUnit(cont("containerd/"+id12, "containerd", kind+"/"+cri, Burstable, uid), cri)},
		{"nested in a container", burst + "/" + cri + "/init/app.service", withUnit(cont("containerd/"+id12, "containerd", burst+"/"+cri, Burstable, uid), cri)},
		{
			"cgroupfs burstable", "/kubepods/burstable/pod" + uid + "/" + id64,
			cont("container/"+id12, "", "/kubepods/burstable/pod"+uid+"/"+id64, Burstable, uid),
		},
		{
			"cgroupfs besteffort", "/kubepods/besteffort/pod" + uid + "/" + id64 + "/x",
			cont("container/"+id12, "", "/kubepods/besteffort/pod"+uid+"/"+id64, BestEffort, uid),
		},
		{
			"cgroupfs guaranteed", "/kubepods/pod" + uid + "/crio-" + id64,
			cont("cri-o/"+id12, "cri-o", "/kubepods/pod"+uid+"/crio-"+id64, Guaranteed, uid),
		},
		{
			"static pod", "/kubepods/burstable/pod" + hash32 + "/" + id64,
			cont("container/"+id12, "", "/kubepods/burstable/pod"+hash32+"/"+id64, Burstable, hash32),
		},
		{
			"mixed drivers", "/kubepods-besteffort-pod" + uidSys + ".slice:cri-containerd:" + id64,
			cont("containerd/"+id12, "containerd", "/kubepods-besteffort-pod"+uidSys+".slice:cri-containerd:"+id64, BestEffort, uid),
		},
		{"docker cgroupfs", "/docker/" + id64, cont("docker/"+id12, "docker", "/docker/"+id64, "", "")},
		{"docker parent", "/batch/" + id64, cont("container/"+id12, "", "/batch/"+id64, "", "")},
		{"docker systemd", "/system.slice/" + dock, withUnit(cont("docker/"+id12, "docker", "/system.slice/"+dock, "", ""), dock)},
		{"podman systemd", "/machine.slice/" + pod + "/container", withUnit(cont("podman/"+id12, "podman", "/machine.slice/"+pod, "", ""), pod)},
		{"podman cgroupfs", "/libpod_parent/libpod-" + id64, cont("podman/"+id12, "podman", "/libpod_parent/libpod-"+id64, "", "")},
		{
			"podman rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/" + pod,
			withUnit(cont("podman/"+id12, "podman", "/user.slice/user-1000.slice/user@1000.service/user.slice/"+pod, "", ""), pod),
		},
		{"other runtime", "/x/kata-" + id64, cont("kata/"+id12, "kata", "/x/kata-"+id64, "", "")},
		{"lxc", "/lxc/web1/init.scope", Workload{ID: "lxc/web1", Name: "web1", Path: "/lxc/web1", Kind: KindContainer, Runtime: "lxc", ContainerID: "web1"}},
		{"lxc payload", "/lxc.payload.web1", Workload{ID: "lxc/web1", Name: "web1", Path: "/lxc.payload.web1", Kind: KindContainer, Runtime: "lxc", ContainerID: "web1"}},
		{"lxc payload dir", "/lxc.payload/web1", Workload{ID: "lxc/web1", Name: "web1", Path: "/lxc.payload/web1", Kind: KindContainer, Runtime: "lxc", ContainerID: "web1"}},
		{"service", "/system.slice/nginx.service", Workload{ID: "system.slice/nginx.service", Name: "nginx", Path: "/system.slice/nginx.service", Kind: KindService, Unit: "nginx.service"}},
		{"delegated service", "/system.slice/a.service/child/b.scope", Workload{ID: "system.slice/a.service", Name: "a", Path: "/system.slice/a.service", Kind: KindService, Unit: "a.service"}},
		{
			"instance with escapes", `/system.slice/system-a.slice/a@x\x2dy.service`,
			Workload{ID: `system.slice/system-a.slice/a@x\x2dy.service`, Name: "a@x-y", Path: `/system.slice/system-a.slice/a@x\x2dy.service`, Kind: KindService, Unit: `a@x\x2dy.service`},
		},
		{"escaped cgroup name", "/system.slice/_cpu.service", Workload{ID: "system.slice/_cpu.service", Name: "cpu", Path: "/system.slice/_cpu.service", Kind: KindService, Unit: "cpu.service"}},
		{"session", "/user.slice/user-0.slice/session-1.scope", Workload{ID: "user.slice/user-0.slice/session-1.scope", Name: "session-1", Path: "/user.slice/user-0.slice/session-1.scope", Kind: KindScope, Unit: "session-1.scope"}},
		{
			"user service", "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
			Workload{ID: "user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", Name: "foo", Path: "/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service", Kind: KindService, Unit: "foo.service"},
		},
		{"conmon is no container", "/machine.slice/libpod-conmon-" + id64 + ".scope", Workload{
			ID: "machine.slice/libpod-conmon-" + id64 + ".scope", Name: "libpod-conmon-" + id64, Path: "/machine.slice/libpod-conmon-" + id64 + ".scope",
			Kind: KindScope, Unit: "libpod-conmon-" + id64 + ".scope",
		}},
		{"init", "/init.scope", Workload{ID: "init.scope", Name: "init", Path: "/init.scope", Kind: KindScope, Unit: "init.scope"}},
		{"anole", "/anole-ls/web/x.service", Workload{ID: "anole-ls/web", Name: "web", Path: "/anole-ls/web", Kind: KindAnole}},
		{"anole unit-like", "/anole-be/a.service", Workload{ID: "anole-be/a.service", Name: "a.service", Path: "/anole-be/a.service", Kind: KindAnole}},
		{"unclean", "a//../system.slice/./x.service/", Workload{ID: "system.slice/x.service", Name: "x", Path: "/system.slice/x.service", Kind: KindService, Unit: "x.service"}},
		{"hostile name", "/system.slice/a\x1b[31m b\xff.service", Workload{ID: "system.slice/a%1B[31m%20b%FF.service", Name: "a\x1b[31m b\xff", Path: "/system.slice/a\x1b[31m b\xff.service", Kind: KindService, Unit: "a\x1b[31m b\xff.service"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Parse(c.in)
			if !ok {
				t.Fatal("not recognised")
			}
			if g, w := show(got), show(c.want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

func TestParseLeavesPlaces(t *testing.T) {
	for _, p := range []string{
		"", "/", "/a", "/a/b", "/kubepods", "/kubepods.slice/kubepods-burstable.slice", "/kubepods/burstable/pod" + uid,
		"/system.slice", "/docker", "/lxc", "/anole-ls", "/user.slice/user-0.slice/user@0.service", "/x/" + id64[1:], "/x/" + strings.ToUpper(id64),
		"/system.slice/dev-hugepages.mount", "/.service", "/-" + id64[1:], "/a:b:" + id64[1:], "/a::" + id64,
	} {
		if w, ok := Parse(p); ok {
			t.Errorf("%q was taken for %s", p, show(w))
		}
	}
}

func TestPlainKnowsItsAncestors(t *testing.T) {
	walk := func(p string) *Workload {
		at := place{}
		for name := range strings.SplitSeq(strings.Trim(p, "/"), "/") {
			at, _ = at.step(name)
		}
		return at.plain()
	}
	for p, want := range map[string]Workload{
		"/a/b":                               {Kind: KindPlain, Name: "b"},
		"/kubepods/burstable/pod" + uid:      {Kind: KindPod, Name: uid, PodUID: uid, KubeQoS: Burstable},
		"/kubepods/pod" + uid + "/kata_x":    {Kind: KindPlain, Name: "kata_x", PodUID: uid, KubeQoS: Guaranteed},
		"/kubepods/besteffort/other":         {Kind: KindPlain, Name: "other", KubeQoS: BestEffort},
		"/user.slice/user-0.slice":           {Kind: KindSlice, Name: "user-0", Unit: "user-0.slice"},
		"/a.slice/user@7.service":            {Kind: KindService, Name: "user@7", Unit: "user@7.service"},
		"/system.slice/x.mount":              {Kind: KindService, Name: "x", Unit: "x.mount"},
		"/notkube/burstable/pod" + uid:       {Kind: KindPlain, Name: "pod" + uid},
		"/kubepods/burstable/podnot-a-uid":   {Kind: KindPlain, Name: "podnot-a-uid", KubeQoS: Burstable},
		"/kubepods/pod" + uid + "/pod" + uid: {Kind: KindPlain, Name: "pod" + uid, PodUID: uid, KubeQoS: Guaranteed},
	} {
		want.Path = p
		if got := walk(p); show(*got) != show(want) {
			t.Errorf("%s:\ngot  %s\nwant %s", p, show(*got), show(want))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"/docker/" + id64, "/kubepods/burstable/pod" + uid + "/" + id64, "/a.slice:b:" + id64, `/system.slice/\x2d\xzz\x.service`,
		"/lxc.payload.", "/anole-ls/" + "\xff", "/kubepods-pod.slice/-pod.slice/x.scope", "/user@1.service/.scope/_.scope",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		w, ok := Parse(p)
		if !ok {
			return
		}
		clean := path.Clean("/" + p)
		if rest, ok := strings.CutPrefix(clean, w.Path); !ok || rest != "" && rest[0] != '/' || w.Path == "/" {
			t.Fatalf("path %q is not the beginning of %q", w.Path, clean)
		}
		if w.ID == "" || !utf8.ValidString(w.ID) || strings.ContainsAny(w.ID, " \n\x00\x1b") {
			t.Fatalf("id %q is not typable", w.ID)
		}
		again, ok := Parse(w.Path)
		if !ok || show(again) != show(w) {
			t.Fatalf("parsing %q again gave %s, not %s", w.Path, show(again), show(w))
		}
	})
}
