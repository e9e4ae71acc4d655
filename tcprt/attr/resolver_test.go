package attr

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/workload"
)

const id = "3f2a90c1d2e43f2a90c1d2e43f2a90c1d2e43f2a90c1d2e43f2a90c1d2e4abcd"

// proc is a /proc with one process that listens on port 80.
func proc(t *testing.T, pid int, comm, cgroup string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "proc", fmt.Sprint(pid))
	for _, d := range []string{"ns", "fd", "net"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("comm", comm+"\n")
	write("cgroup", cgroup)
	write("net/tcp", "  sl  local_address rem_address   st\n   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1\n")
	for link, to := range map[string]string{"ns/net": "net:[99]", "fd/3": "socket:[12345]"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

var web = tcprt.Service{Role: tcprt.Server, Port: 80, NetNS: 99, Cgroup: 1}

func TestNamesOfWhoListens(t *testing.T) {
	for cgroup, want := range map[string]tcprt.Names{
		"0::/system.slice/nginx.service\n":                                               {Unit: "nginx.service", Command: "nginx"},
		"5:memory:/docker/" + id + "\n0::/\n":                                            {Container: id[:12], Command: "nginx"},
		"0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-" + id + ".scope\n": {Container: "web", Pod: "web-1", Namespace: "default", Command: "nginx"},
		"4:cpu,cpuacct:/anole-ls/web\n0::/anole-psi-ls\n":                                {Container: "anole-ls/web", Command: "nginx"},
		"0::/\n": {Command: "nginx"},
	} {
		records := workload.NewRegistry()
		r := New(proc(t, 42, "nginx", cgroup), records)
		if want.Pod != "" {
			records.Feed(workload.FromCRI).Put(workload.Record{ID: id, PodName: "web-1", Namespace: "default", Name: "web"})
		}
		now := time.Now()
		if got := r.Names(web, now); got != want {
			t.Errorf("%q: %+v, want %+v", cgroup, got, want)
		}
		if r.PID(web) != 42 {
			t.Errorf("process %d", r.PID(web))
		}
		if got := r.Names(tcprt.Service{Role: tcprt.Server, Port: 81, NetNS: 99}, now); got != (tcprt.Names{}) {
			t.Errorf("of nobody: %+v", got)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What the registry hears later is told from then on.
func TestNamesComeLater(t *testing.T) {
	records := workload.NewRegistry()
	r := New(proc(t, 42, "nginx", "0::/kubepods.slice/cri-containerd-"+id+".scope\n"), records)
	defer r.Close()
	now := time.Now()
	if got := r.Names(web, now); got.Pod != "" || got.Container == "" {
		t.Errorf("%+v", got)
	}
	records.Feed(workload.FromCRI).Put(workload.Record{ID: id, PodName: "web-1", Namespace: "default", Name: "web"})
	if got := r.Names(web, now); got.String() != "default/web-1/web" {
		t.Errorf("%+v", got)
	}
}

// A process that is gone leaves the name that the kernel gave.
func TestSawWhoIsGone(t *testing.T) {
	r := New(t.TempDir(), nil)
	defer r.Close()
	s := tcprt.Service{Role: tcprt.Client, Port: 443, NetNS: 99, Cgroup: 1}
	r.Saw(s, tcprt.Owner{PID: 7, Command: tcprt.Command{'c', 'u', 0x1b, 'l'}}, time.Now())
	if got := r.Names(s, time.Now()); got.Command == "" || got.Command == "cu\x1bl" {
		t.Errorf("%q", got.Command)
	}
	r.Forget(func(tcprt.Service) bool { return false })
	if r.PID(s) != 0 {
		t.Error("it was not forgotten")
	}
}
