package containers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/workload"
)

// binary is anole, built once for the tests that need it.
var binary string

func TestMain(m *testing.M) {
	code := m.Run()
	if binary != "" && !testkit.Guest() {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

func build(t *testing.T) {
	t.Helper()
	if binary == "" && testkit.Guest() {
		binary = inGuest + "/anole"
	}
	if binary != "" {
		return
	}
	dir, err := os.MkdirTemp("", "anole-containers-")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "anole")
	cmd := exec.Command("go", "build", "-o", path, "github.com/anole-os/anole/cmd/anole")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	binary = path
}

// agent is a real agent that knows containers from one daemon.
type agent struct {
	d      *daemon
	dir    string
	cmd    *exec.Cmd
	log    bytes.Buffer
	shares string // of a container that nobody lowered
}

// newAgent configures an agent; nri is the socket of NRI, or off.
func newAgent(d *daemon, nri string) *agent {
	d.t.Helper()
	build(d.t)
	a := &agent{d: d, dir: testkit.SocketDir(d.t), shares: d.shares()}
	text := fmt.Sprintf(`version: 1
agent: {console: {enabled: false}}
workload: {nri: %q, cri: %q, events: %q}
qos: {control: {runQueue: "off", pressureStall: "off", interval: 50ms}}
`, nri, d.socket(), d.socket())
	if err := os.WriteFile(filepath.Join(a.dir, "anole.yaml"), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		if a.cmd != nil {
			_ = a.cmd.Process.Signal(syscall.SIGCONT)
			a.stop()
		}
		if d.t.Failed() {
			d.t.Logf("the agent said:\n%s", a.log.String())
		}
	})
	return a
}

func (a *agent) command(args ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{
		"--config", filepath.Join(a.dir, "anole.yaml"), "--state-dir", filepath.Join(a.dir, "state"), "--run-dir", filepath.Join(a.dir, "run"),
	}, args...)...)
}

// start starts the agent and waits until its sources are connected.
func (a *agent) start(sources ...workload.Origin) {
	a.d.t.Helper()
	a.cmd = a.command("up")
	a.cmd.Stderr = &a.log
	if err := a.cmd.Start(); err != nil {
		a.d.t.Fatal(err)
	}
	a.d.await("the agent and its sources", func() bool {
		for _, o := range sources {
			if s := a.source(o); !s.Connected {
				return false
			}
		}
		return a.command("qos", "policy").Run() == nil
	})
}

func (a *agent) stop() {
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	_ = a.cmd.Wait()
	a.cmd = nil
}

func (a *agent) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
	a.cmd = nil
}

// ask runs a verb with -o json; false if the agent did not answer.
func (a *agent) ask(v any, args ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := a.command(append(args, "-o", "json")...)
	out, err := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...).Output()
	return err == nil && json.Unmarshal(out, v) == nil
}

func (a *agent) source(o workload.Origin) (out workload.SourceStatus) {
	var v struct{ Sources []workload.SourceStatus }
	a.ask(&v, "workload", "status")
	for _, s := range v.Sources {
		if s.Name == o {
			out = s
		}
	}
	return out
}

// workload gives what the agent says of the container with that cgroup.
func (a *agent) workload(cgroup string) (out qos.WorkloadStatus) {
	var s qos.Status
	a.ask(&s, "qos", "status")
	for _, w := range s.Workloads {
		if w.Cgroup == cgroup {
			out = w
		}
	}
	return out
}

func (p *pod) path(id string) string { return filepath.Join(p.cgroup, id) }

// wantClass waits for a container's class.
func (a *agent) wantClass(what string, p *pod, id, class string) qos.WorkloadStatus {
	a.d.t.Helper()
	var w qos.WorkloadStatus
	a.d.await(fmt.Sprintf("%s to be %s", what, class), func() bool {
		w = a.workload(p.path(id))
		return w.Cgroup != "" && w.Class.String() == class
	})
	return w
}

// shares is the container's share of the CPU as its runtime wrote it, or the
// agent.
func (p *pod) shares(id string) string {
	if p.d.node.Unified() {
		return p.file(id, "cpu.weight")
	}
	return p.file(id, "cpu.shares")
}

// shares is what a container has that no agent knows of.
func (d *daemon) shares() string {
	d.t.Helper()
	p := d.pod("", nil, nil)
	defer p.remove()
	return p.shares(p.run())
}

// yields says whether best-effort work in a container yields the CPU: by its
// own cgroup or the home of all best-effort pods.
func (p *pod) yields(id string) bool {
	if p.file(id, "cpu.idle") == "1" {
		return true
	}
	b, _ := os.ReadFile(filepath.Join(p.d.node.Tree.Path("cpu", p.d.kube+"/besteffort"), "cpu.idle"))
	return strings.HasPrefix(p.cgroup, p.d.kube+"/besteffort") && strings.TrimSpace(string(b)) == "1"
}

type podCase struct {
	name, kube          string
	labels, annotations map[string]string
	want                string
	rule                string // part of what the agent says gave it
	refused             int
}

func pairs(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

var podCases = []podCase{
	{"guaranteed", "", nil, nil, "LS", "kubeQoS guaranteed", 0},
	{"burstable", "burstable", pairs("app", "web"), nil, "LS", "kubeQoS burstable", 0},
	{"best effort", "besteffort", nil, nil, "BE", "kubeQoS besteffort", 0},
	{"Koordinator BE", "burstable", pairs("koordinator.sh/qosClass", "BE"), nil, "BE", "koordinator.sh/qosClass=BE", 0},
	{"Koordinator LSR without consent", "", pairs("koordinator.sh/qosClass", "LSR"), nil, "LS", "kubeQoS guaranteed", 1},
	{"Volcano BE", "burstable", nil, pairs("volcano.sh/qos-level", "BE"), "BE", "annotation volcano.sh/qos-level=BE", 0},
	{"Volcano preemptable", "", nil, pairs("volcano.sh/preemptable", "true"), "BE", "volcano.sh/preemptable=true", 0},
	{"Katalyst reclaimed", "burstable", nil, pairs("katalyst.kubewharf.io/qos_level", "reclaimed_cores"), "BE", "reclaimed_cores", 0},
	{"anole's own", "burstable", nil, pairs("anole.io/qos-class", "BE", "anole.io/cpu-burst", "off"), "BE", "anole.io/qos-class=BE", 0},
	{"best effort that asks for more", "besteffort", pairs("koordinator.sh/qosClass", "LS"), nil, "BE", "kubeQoS besteffort", 1},
	{"malformed", "burstable", pairs("koordinator.sh/qosClass", "1e30"), pairs(
		"volcano.sh/qos-level", "NaN", "anole.io/cpu-burst", "-5ms", "koordinator.sh/cpuBurst", `{"cpuBurstPercent":1e30}`,
		"katalyst.kubewharf.io/qos_level", strings.Repeat("x", 100_000)), "LS", "kubeQoS burstable", 5},
}

// classes starts a pod of each case and checks what the agent makes of it.
func (a *agent) classes(t *testing.T, told workload.Origin) (undo func()) {
	t.Helper()
	var checks []func()
	for _, c := range podCases {
		p := a.d.pod(c.kube, c.labels, c.annotations)
		id := p.run()
		began := time.Now()
		w := a.wantClass(c.name, p, id, c.want)
		took := time.Since(began)
		a.d.await(c.name+" to be told of", func() bool { w = a.workload(p.path(id)); return w.Source == string(told) })
		if w = a.wantClass(c.name, p, id, c.want); !strings.Contains(w.Rule, c.rule) || len(w.Refused) != c.refused || w.Pod != "test/"+p.name {
			t.Errorf("%s: %+v", c.name, w)
		}
		a.d.await(c.name+"'s priority", func() bool { return p.yields(id) == (c.want == "BE") })
		t.Logf("%s: %s after %v, by %s", c.name, w.Class, took.Round(time.Millisecond), w.Rule)
		checks = append(checks, func() {
			if shares, yields := p.shares(id), p.yields(id); shares != a.shares || yields {
				t.Errorf("%s, after the agent: shares %s, yields %v", c.name, shares, yields)
			}
			p.remove()
		})
	}
	return func() {
		for _, c := range checks {
			c()
		}
	}
}

func TestPodsGetTheirClassByCRI(t *testing.T) {
	for _, oci := range []string{"runc", "crun"} {
		t.Run(oci, func(t *testing.T) {
			d := launch(t, "1.6", oci)
			a := newAgent(d, "off")
			a.start(workload.FromCRI)
			undo := a.classes(t, workload.FromCRI)
			a.stop()
			undo()
		})
	}
}

// firstLook is a program whose first act is to look at its own cgroup's
// cpu.idle, which it leaves in the container's log.
func (d *daemon) firstLook() []string {
	if d.node.Unified() { // a container sees its own group as the root
		return []string{"/bin/busybox", "sh", "-c", "echo idle $(cat /sys/fs/cgroup/cpu.idle); exec /bin/sleep 100000"}
	}
	cg := strings.TrimPrefix(d.node.Tree.Path("cpu", "/"), "/sys/fs/cgroup/")
	return []string{"/bin/busybox", "sh", "-c", "while IFS=: read a b c; do case ,$b, in *,cpu,*) " +
		"echo idle $(cat /cg/" + strings.Trim(cg, "/") + "$c/cpu.idle);; esac; done </proc/self/cgroup; exec /bin/sleep 100000"}
}

// logs gives what all containers printed.
func (d *daemon) logs() (out string) {
	files, _ := filepath.Glob(d.path("logs") + "/*.log")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		out += string(text)
	}
	return out
}

func TestAgentWithNRI(t *testing.T) {
	for _, oci := range []string{"runc", "crun"} {
		t.Run(oci, func(t *testing.T) { testAgentWithNRI(t, oci) })
	}
}

func testAgentWithNRI(t *testing.T, oci string) {
	d := launch(t, "1.7", oci)
	proxy := newProxy(t, d)
	a := newAgent(d, proxy.Path)
	a.start(workload.FromNRI, workload.FromCRI, workload.FromEvents)
	undo := a.classes(t, workload.FromNRI)

	be := func() (*pod, string) {
		p := d.pod("burstable", pairs("koordinator.sh/qosClass", "BE"), nil)
		return p, p.run()
	}
	steady, steadyID := be()
	a.wantClass("a best-effort pod", steady, steadyID, "BE")

	t.Run("before the program runs", func(t *testing.T) {
		const n = 5
		for i := range n {
			p := d.pod("burstable", pairs("koordinator.sh/qosClass", "BE"), nil)
			p.run(d.firstLook()...)
			d.await("its log", func() bool { return strings.Count(d.logs(), "idle ") > i })
			defer p.remove()
		}
		if got := strings.Count(d.logs(), "idle 1"); got != n {
			t.Errorf("%d of %d programs found themselves lowered from their first moment:\n%s", got, n, d.logs())
		}
	})

	t.Run("limits changed by the runtime", func(t *testing.T) {
		p, id := be()
		a.wantClass("a best-effort pod", p, id, "BE")
		d.await("it to yield", func() bool { return p.yields(id) })
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		// The kernel refuses a weight while cpu.idle is 1.
		if _, err := d.rpc.UpdateContainerResources(ctx, &cri.UpdateContainerResourcesRequest{
			ContainerId: id, Linux: &cri.LinuxContainerResources{CpuShares: 700, CpuPeriod: 100_000, CpuQuota: 50_000},
		}); err != nil {
			t.Errorf("update: %v", err)
		}
		d.await("it to yield again", func() bool { return p.yields(id) })
		defer p.remove()
	})

	t.Run("NRI cut", func(t *testing.T) {
		connects := a.source(workload.FromNRI).Connects
		heal := proxy.Cut()
		p, id := be()
		a.wantClass("a pod that starts while NRI is cut", p, id, "BE") // by CRI
		heal()
		d.await("NRI to be back", func() bool { s := a.source(workload.FromNRI); return s.Connected && s.Connects > connects })
		d.await("the pod to be told of by NRI", func() bool { return a.workload(p.path(id)).Source == "nri" })
		a.wantClass("the pod from before", steady, steadyID, "BE")
		p.remove()
	})

	t.Run("containerd restarted", func(t *testing.T) {
		var s qos.Explanation
		d.stop()
		d.start()
		d.await("NRI to be back", func() bool { return a.source(workload.FromNRI).Connected })
		p, id := be()
		w := a.wantClass("a pod of the new daemon", p, id, "BE")
		if a.ask(&s, "qos", "explain", a.workload(steady.path(steadyID)).ID); len(s.Files) == 0 {
			t.Error("nothing to explain")
		}
		for _, x := range s.Decisions {
			if x.New == "0" {
				t.Errorf("the class flapped: %+v", x)
			}
		}
		if len(w.Conflicts) > 0 {
			t.Errorf("%+v", w.Conflicts)
		}
		p.remove()
	})

	t.Run("agent stopped", func(t *testing.T) {
		if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p, id := be()
		t.Logf("a pod starts within %v while the plugin is stopped", time.Since(began).Round(time.Millisecond))
		if p.yields(id) {
			t.Error("who lowered it?")
		}
		began = time.Now()
		q, qid := be()
		t.Logf("the next one within %v", time.Since(began).Round(time.Millisecond))
		if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		a.wantClass("a pod that started meanwhile", p, id, "BE")
		a.wantClass("another", q, qid, "BE")
		d.await("it to yield", func() bool { return p.yields(id) })
		d.await("NRI to be back", func() bool { return a.source(workload.FromNRI).Connected })
		p.remove()
		q.remove()
	})

	t.Run("agent killed", func(t *testing.T) {
		a.kill()
		p, id := be() // nobody is there to delay it
		if out, err := a.command("revert").CombinedOutput(); err != nil {
			t.Fatalf("revert: %v: %s", err, out)
		}
		if shares := steady.shares(steadyID); steady.yields(steadyID) || shares != a.shares {
			t.Errorf("after revert: shares %s, yields %v", shares, steady.yields(steadyID))
		}
		a.start(workload.FromNRI)
		a.wantClass("a pod from while there was no agent", p, id, "BE")
		a.wantClass("a pod from before", steady, steadyID, "BE")
		p.remove()
	})
	a.stop()
	undo()
	if shares := steady.shares(steadyID); steady.yields(steadyID) || shares != a.shares {
		t.Errorf("after the agent: shares %s, yields %v", shares, steady.yields(steadyID))
	}
}

// Containers that are no pods are known by containerd's events, and one that
// comes to the name of another inherits nothing.
func TestPlainContainers(t *testing.T) {
	for _, v := range []string{"1.6", "1.7"} {
		t.Run(v, func(t *testing.T) {
			d := launch(t, v, "runc")
			a := newAgent(d, "off")
			a.start(workload.FromEvents)
			for _, c := range []struct{ label, class string }{{"koordinator.sh/qosClass=BE", "BE"}, {"app=web", "NONE"}, {"volcano.sh/preemptable=true", "BE"}, {"koordinator.sh/qosClass=LSE", "NONE"}} {
				d.ctrRun("web", c.label)
				var w qos.WorkloadStatus
				d.await(c.label+" to be "+c.class, func() bool {
					w = a.workload(d.named("web"))
					return w.Class.String() == c.class && w.Source == "events"
				})
				if w.ID != "containerd/web" || len(w.Labels) == 0 || len(w.Refused) != strings.Count(c.label, "LSE") {
					t.Errorf("%s: %+v", c.label, w)
				}
				d.ctrRemove("web")
				d.await("it to go", func() bool { return a.workload(d.named("web")).Cgroup == "" })
			}
		})
	}
}

// TestHandlerIsFast measures what a container runtime waits for.
func TestHandlerIsFast(t *testing.T) {
	d := launch(t, "1.7", "runc")
	a := newAgent(d, d.nri())
	a.start(workload.FromNRI)
	const starts = 100 // of which each is asked of us three times
	var p *pod
	for i := range starts {
		if i%20 == 0 {
			if p != nil {
				p.remove()
			}
			p = d.pod([]string{"burstable", "besteffort"}[i/20%2], pairs("koordinator.sh/qosClass", []string{"LS", "BE"}[i/20%2]), nil)
		}
		p.run()
	}
	calls, within, late := a.handler()
	t.Logf("%d calls for %d starts; within:%s; %v starts let go", calls, starts, within.text, late)
	if share := within.at["0.005"] / float64(calls); calls < starts || share < 0.99 {
		t.Errorf("%.2f %% of the calls were answered within 5 ms", 100*share)
	}
	if n, err := strconv.ParseFloat(strings.TrimSpace(late), 64); err != nil || n > starts/20 {
		t.Errorf("%q starts of %d were let go before their group was ready", late, starts)
	}
}

type buckets struct {
	at   map[string]float64
	text string
}

// handler reads the agent's own measurement of its answers.
func (a *agent) handler() (calls int, b buckets, late string) {
	a.d.t.Helper()
	socket := filepath.Join(a.dir, "run", "anole.sock")
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://anole/metrics")
	if err != nil {
		a.d.t.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		a.d.t.Fatal(err)
	}
	b.at = map[string]float64{}
	for line := range strings.Lines(string(out)) {
		var v float64
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, _ = fmt.Sscan(rest, &v)
		switch {
		case strings.HasPrefix(name, "anole_workload_nri_handler_seconds_bucket{le="):
			le := strings.Trim(strings.TrimPrefix(name, "anole_workload_nri_handler_seconds_bucket{le="), "\"}")
			b.at[le] = v
			b.text += fmt.Sprintf(" %ss %.0f", le, v)
		case name == "anole_workload_nri_handler_seconds_count":
			calls = int(v)
		case name == "anole_workload_nri_late_starts_total":
			late = rest
		}
	}
	return calls, b, late
}
