package qos

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/qos/shape"
	"github.com/anole-os/anole/test/fault/groups"
)

// trafficEnv makes the test binary a process that sends: it waits for a line, so
// that it can be put into a cgroup before it opens a socket.
const trafficEnv = "ANOLE_QOS_TRAFFIC"

func init() {
	body := os.Getenv(trafficEnv)
	if body == "" {
		return
	}
	in := bufio.NewReader(os.Stdin)
	var o load.TrafficOptions
	_, err := in.ReadString('\n')
	if err = errors.Join(err, json.Unmarshal([]byte(body), &o)); err == nil {
		err = load.Traffic(context.Background(), o, in, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// network is a node with an uplink, in whose namespace the test's goroutine is.
type network struct {
	*lab.Lab
	t    *testing.T
	sink *load.Sink
}

func openNetwork(t *testing.T) *network {
	t.Helper()
	testkit.NeedRoot(t)
	if testkit.Guest() {
		for _, m := range []string{"veth", "bridge", "sch_ingress", "sch_htb", "cls_bpf"} {
			testkit.Module(t, m)
		}
	}
	l, err := lab.Open()
	if errors.Is(err, unix.EPERM) {
		err = &feature.UnsupportedError{Feature: "network namespaces", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err}
	}
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	testkit.Need(t, shape.Supports(shape.HTB))
	n := &network{Lab: l, t: t}
	err = l.World.Do(func() (err error) {
		n.sink, err = load.ListenSink(lab.WorldAddr + ":0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.sink.Close() })
	leave, err := l.Node.Enter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leave(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// send starts a process in a group, in the node or a pod, that sends once go is
// called.
func (n *network) send(g *groups.Group, at *lab.Space) (begin func()) {
	n.t.Helper()
	body, err := json.Marshal(load.TrafficOptions{Addr: n.sink.Addr(), Proto: "udp", Rate: 40e6})
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), trafficEnv+"="+string(body))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	start := cmd.Start
	if at != nil {
		cmd.SysProcAttr = nil // the thread that starts it ends at once
		start = func() error { return at.Do(cmd.Start) }
	}
	if err := start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	g.Add(cmd.Process.Pid)
	return func() {
		if _, err := io.WriteString(in, "\n"); err != nil {
			n.t.Fatal(err)
		}
	}
}

func (n *network) show() string {
	n.t.Helper()
	out, err := n.Node.Show()
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// setFIFO gives the uplink the root qdisc "pfifo 7:", as somebody else would.
func (n *network) setFIFO() {
	n.t.Helper()
	index, err := n.Node.Index(lab.Uplink)
	if err == nil {
		err = n.Node.Netlink().QdiscReplace(&netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(7, 0)}, QdiscType: "pfifo"})
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// netPolicy shares the uplink at 200 Mbit.
func netPolicy(n *groups.Node) Policy {
	p := testPolicy(n)
	p.Net.Use = "htb"
	p.Net.Interfaces = map[string]NetInterface{lab.Uplink: {Rate: 200e6}}
	return p
}

// netClassOf is what explain says of a group.
func (r *rig) netClassOf(g *groups.Group) string {
	x, err := r.Explain(g.Rel)
	if err != nil {
		return ""
	}
	for _, f := range x.Files {
		if f.File == "network class" {
			return f.Current
		}
	}
	return ""
}

// sent counts what a class sent so far; it is read about once a second.
func (r *rig) sent(c shape.Class) uint64 { return r.Totals().Net.Count[shape.Out][c].Bytes }

func TestKernelNetworkClasses(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	was := w.show()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	fromLS, fromBE := w.send(ls, nil), w.send(be, nil)
	r := openRig(t, n, netPolicy(n), nil)
	r.until("classes", func() bool { return r.netClassOf(ls) == "LS" && r.netClassOf(be) == "BE" })
	fromBE()
	r.until("BE sends", func() bool { return r.sent(shape.BE) > 1e6 })
	if got := r.sent(shape.LS); got != 0 {
		t.Errorf("LS sent %d bytes and is silent", got)
	}
	fromLS()
	r.until("LS sends", func() bool { return r.sent(shape.LS) > 1e6 })
	s := r.Status()
	if len(s.Network) != 1 || s.Network[0].Using != "htb" || s.Network[0].Out != 200e6 || len(s.Network[0].Classes) != 3 {
		t.Errorf("status: %+v", s.Network)
	}
	if d := r.degradedBy("net"); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	// Another class: what it sends from now on counts there.
	r.set(func(p *Policy) { p.Rules[1].Class = class.None })
	r.until("BE is REST", func() bool { return r.netClassOf(be) == "REST" })
	r.set(func(p *Policy) { p.Net.Interfaces = map[string]NetInterface{} })
	r.steps(2)
	if is := w.show(); is != was {
		t.Errorf("off by policy: there is\n%s\nbefore it was\n%s", is, was)
	}
	r.close()
}

func TestKernelNetworkPods(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	routed, err := w.AddPod(1, false)
	if err != nil {
		t.Fatal(err)
	}
	bridged, err := w.AddPod(2, true)
	if err != nil {
		t.Fatal(err)
	}
	was := w.show()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	fromLS, fromBE := w.send(ls, routed.Space), w.send(be, bridged.Space)
	r := openRig(t, n, netPolicy(n), nil)
	r.until("classes", func() bool { return r.netClassOf(ls) == "LS" && r.netClassOf(be) == "BE" })
	if is := w.show(); strings.Count(is, "anole-port tag") != 1 {
		t.Errorf("the bridge's port alone is to be marked:\n%s", is)
	}
	fromLS()
	fromBE()
	r.until("both send", func() bool { return r.sent(shape.LS) > 1e6 && r.sent(shape.BE) > 1e6 })
	be.Remove()
	r.until("the container is forgotten", func() bool { return !strings.Contains(w.show(), "anole-port") })
	r.close()
	if is := w.show(); is != was {
		t.Errorf("there is\n%s\nbefore it was\n%s", is, was)
	}
}

// An interface that is not there yet, goes, and comes back.
func TestKernelNetworkInterfaceComesAndGoes(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	p := netPolicy(n)
	p.Net.Interfaces["late0"] = NetInterface{Rate: 1e9}
	r := openRig(t, n, p, nil)
	using := func(name string) string {
		for _, l := range r.Status().Network {
			if l.Interface == name {
				return l.Using
			}
		}
		return ""
	}
	r.until("shared", func() bool { return using(lab.Uplink) == "htb" })
	if using("late0") != "off" || len(r.degradedBy("net of late0")) != 1 {
		t.Errorf("late0 is %s; degraded: %v", using("late0"), r.degradedBy("net"))
	}
	later := time.Now()
	after := func(what string, ok func() bool) {
		t.Helper()
		for range 100 { // no need to wait in truth
			if later = later.Add(time.Second); ok() {
				return
			}
			r.Step(later)
		}
		t.Fatalf("not within 100 s: %s\n%+v", what, r.Status().Network)
	}
	if err := w.Node.Remove(lab.Uplink); err != nil {
		t.Fatal(err)
	}
	after("it is gone", func() bool { return using(lab.Uplink) == "off" })
	if left := r.j.Pending(); len(left) > 0 {
		t.Errorf("in the journal: %+v", left)
	}
	if err := w.Node.Veth("late0", lab.Uplink); err != nil {
		t.Fatal(err)
	}
	after("both are there", func() bool { return using(lab.Uplink) == "htb" && using("late0") == "htb" })
	if d := r.degradedBy("net"); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	r.close()
}

func TestKernelNetworkConflict(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	w.setFIFO()
	was := w.show()
	r := openRig(t, n, netPolicy(n), nil)
	r.steps(3)
	s := r.Status()
	if len(s.Network) != 1 || s.Network[0].Using != "off" || !strings.Contains(s.Network[0].Why, "net.interfaces.up0.replace") {
		t.Errorf("status: %+v", s.Network)
	}
	if is := w.show(); is != was {
		t.Errorf("there is\n%s", is)
	}
	r.set(func(p *Policy) {
		p.Net.Interfaces = map[string]NetInterface{lab.Uplink: {Rate: 200e6, Replace: true}}
	})
	r.until("replaced", func() bool { return strings.Contains(w.show(), "htb a0e:") })
	r.close()
	if is := w.show(); is != was {
		t.Errorf("put back: there is\n%s\nbefore it was\n%s", is, was)
	}
}

// Somebody replaces the qdisc while it is shared: it is theirs for a minute at
// least, and put back in the end.
func TestKernelNetworkReplacedMeanwhile(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	p := netPolicy(n)
	p.Net.Interfaces[lab.Uplink] = NetInterface{Rate: 200e6, Replace: true}
	r := openRig(t, n, p, nil)
	now := time.Now()
	after := func(d time.Duration) { now = now.Add(d); r.Step(now) }
	after(0)
	if !strings.Contains(w.show(), "htb a0e:") {
		t.Fatal("not shared")
	}
	w.setFIFO()
	after(6 * time.Second)
	after(6 * time.Second)
	s := r.Status()
	if s.Network[0].Using != "off" || !strings.Contains(s.Network[0].Why, "somebody set pfifo 7:") || len(r.degradedBy("net of up0")) != 1 {
		t.Errorf("status: %+v, degraded: %v", s.Network, r.degradedBy("net"))
	}
	if is := w.show(); !strings.Contains(is, "pfifo 7:") || strings.Contains(is, "clsact") {
		t.Errorf("there is\n%s", is)
	}
	after(2 * time.Minute)
	if !strings.Contains(w.show(), "htb a0e:") {
		t.Error("not replaced again, as the policy says")
	}
	r.close()
	if is := w.show(); !strings.Contains(is, "pfifo 7:") || strings.Contains(is, "a0e") || strings.Contains(is, "clsact") {
		t.Errorf("there is\n%s", is)
	}
}

// A port of a bridge that somebody uses in a way that leaves no place is told of
// for as long as it is so.
func TestKernelNetworkPortConflict(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	w := openNetwork(t)
	pod, err := w.AddPod(1, true)
	if err != nil {
		t.Fatal(err)
	}
	index, err := w.Node.Index(pod.Host)
	if err == nil {
		err = w.Node.Netlink().QdiscReplace(&netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_INGRESS, Handle: netlink.MakeHandle(0xffff, 0)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	be := n.Make("be.service")
	w.send(be, pod.Space)
	r := openRig(t, n, netPolicy(n), nil)
	told := func() bool {
		d := r.degradedBy("net members")
		return len(d) == 1 && strings.Contains(d[0], "tc qdisc replace dev pod1 clsact")
	}
	r.until("it is told", told)
	r.steps(20)
	if !told() {
		t.Errorf("degraded: %v", r.degradedBy("net"))
	}
	r.close()
}

// On cgroup v1 net_cls knows sockets that were open before anole was there, of
// workloads with a group of their own there and of those without.
func TestKernelNetworkOpenSockets(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	if v, ok := n.Tree.Version(netCls); !ok || v != cgroup.V1 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "sockets that are open already", Reason: feature.NoKernel, Need: "net_cls mounted on cgroup v1"})
	}
	w := openNetwork(t)
	ls, be := n.Make("ls.service"), n.Make("be.service")
	own := n.Tree.Path(netCls, be.Rel)
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cgroup.Remove(own, n.Tree.Mount(netCls)) })
	fromLS, fromBE := w.send(ls, nil), w.send(be, nil)
	for _, pid := range be.Threads() {
		if err := cgroup.Move(pid, own); err != nil {
			t.Fatal(err)
		}
	}
	fromLS()
	fromBE()
	classID := func() string {
		b, err := os.ReadFile(own + "/" + netClsFile)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	at := func() string {
		rel, err := procfs.ControllerCgroup("", ls.Threads()[0], netCls)
		if err != nil {
			t.Fatal(err)
		}
		return rel
	}
	for end := time.Now().Add(20 * time.Second); w.sink.Received() < 1e6; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("they do not send")
		}
	}
	r := openRig(t, n, netPolicy(n), nil)
	r.until("both are known", func() bool { return r.sent(shape.LS) > 1e6 && r.sent(shape.BE) > 1e6 })
	if classID() != shape.BE.ClassID() || at() != "/anole-net-ls" || r.netClassOf(be) != "BE" || r.netClassOf(ls) != "LS" {
		t.Errorf("the number is %s, the other is in %s; %s and %s", classID(), at(), r.netClassOf(be), r.netClassOf(ls))
	}
	r.set(func(p *Policy) { p.Net.Use = "off" })
	r.until("off", func() bool { return classID() == "0" && at() == "/" })
	r.set(func(p *Policy) { p.Net.Use = "htb" })
	r.until("on again", func() bool { return classID() != "0" && at() != "/" })
	r.close()
	if classID() != "0" || at() != "/" {
		t.Errorf("after Close: the number is %s, the other is in %s", classID(), at())
	}
	if _, err := os.Stat(n.Tree.Path(netCls, "anole-net-ls")); err == nil {
		t.Error("the shadow group is still there")
	}
}
