package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/test/fault/groups"
)

// cache is where scripts/containers.sh puts the runtimes, inGuest where they are
// in a virtual machine.
const (
	cache   = "../../.cache/containers"
	inGuest = "/opt/containers"
)

// daemon is one containerd with all that is its own.
type daemon struct {
	t       *testing.T
	version string
	dir     string // of its sockets and configuration
	bin     string
	cmd     *exec.Cmd
	gone    chan struct{}
	log     *os.File
	conn    *grpc.ClientConn
	rpc     cri.RuntimeServiceClient
	node    *groups.Node
	kube    string // the root of its pods' cgroups
	oci     string // the program that runs containers
	plain   map[string]bool
}

// need gives the path of something that scripts/containers.sh fetched.
func need(t *testing.T, elem ...string) string {
	t.Helper()
	top := cache
	if testkit.Guest() {
		top = inGuest
	}
	p, err := filepath.Abs(filepath.Join(append([]string{top}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "container runtimes", Reason: feature.NoPeer, Need: p, Fix: "run scripts/containers.sh", Err: err})
	}
	return p
}

// launch starts a containerd of a version whose containers run by the low-level
// runtime runc or crun.
func launch(t *testing.T, version, oci string) *daemon {
	t.Helper()
	d := &daemon{t: t, version: version, bin: need(t, version, "usr", "bin"), dir: testkit.SocketDir(t), oci: testkit.NeedTool(t, oci), plain: map[string]bool{}}
	busybox := need(t, "busybox", "bin", "busybox")
	d.node = groups.Open(t)
	if oci == "crun" {
		hybridForCrun(t)
	}
	d.kube = d.node.Prefix + "c/kubepods"
	d.configure()
	d.start()
	t.Cleanup(d.end)
	for _, ns := range []string{"k8s.io", "default"} {
		d.ctr("-n", ns, "images", "import", imageTar(t, busybox))
	}
	return d
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }
func (d *daemon) socket() string          { return d.path("c.sock") }
func (d *daemon) nri() string             { return d.path("nri.sock") }

func (d *daemon) configure() {
	d.t.Helper()
	text := fmt.Sprintf(`version = 2
root = %[1]q
state = %[2]q
[grpc]
address = %[3]q
[debug]
level = "warn"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = %[4]q
disable_apparmor = true
disable_tcp_service = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "r"
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.r]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.r.options]
BinaryName = %[5]q
`, d.path("root"), d.path("state"), d.socket(), image, d.oci)
	if d.version != "1.6" {
		text += fmt.Sprintf("[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = false\nsocket_path = %q\nplugin_path = %q\nplugin_config_path = %q\n",
			d.nri(), d.path("plugins"), d.path("conf"))
	}
	if err := os.WriteFile(d.path("config.toml"), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// start starts the daemon and waits until its CRI service answers.
func (d *daemon) start() {
	d.t.Helper()
	var err error
	if d.log == nil {
		if d.log, err = os.Create(d.path("log")); err != nil {
			d.t.Fatal(err)
		}
	}
	d.cmd = exec.Command(filepath.Join(d.bin, "containerd"), "-c", d.path("config.toml"))
	d.cmd.Env = append(os.Environ(), "PATH="+d.bin+":"+os.Getenv("PATH"))
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		testkit.Need(d.t, &feature.UnsupportedError{Feature: "containerd " + d.version, Reason: feature.NoPeer, Need: "a system that runs it", Err: err})
	}
	d.gone = make(chan struct{})
	go func(cmd *exec.Cmd, gone chan struct{}) { _ = cmd.Wait(); close(gone) }(d.cmd, d.gone)
	d.conn, err = grpc.NewClient("unix:"+d.socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		d.t.Fatal(err)
	}
	d.rpc = cri.NewRuntimeServiceClient(d.conn)
	d.await("CRI to answer", func() bool {
		select {
		case <-d.gone:
			d.t.Fatalf("containerd %s ended:\n%s", d.version, d.said())
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := d.rpc.Status(ctx, &cri.StatusRequest{})
		return err == nil
	})
}

// stop ends the daemon; its containers go on.
func (d *daemon) stop() {
	d.t.Helper()
	_ = d.conn.Close()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.gone:
	case <-time.After(30 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.gone
	}
}

// end removes all pods and containers, and the daemon.
func (d *daemon) end() {
	if d.t.Failed() {
		d.t.Logf("containerd %s said:\n%s", d.version, d.said())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if ps, err := d.rpc.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{}); err == nil {
		for _, p := range ps.GetItems() {
			_, _ = d.rpc.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.GetId()})
			_, _ = d.rpc.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.GetId()})
		}
	}
	for name := range d.plain {
		_ = d.try("tasks", "kill", "-s", "SIGKILL", name)
		_ = d.try("tasks", "rm", "-f", name)
		_ = d.try("containers", "rm", name)
	}
	d.stop()
	_ = d.log.Close()
	d.sweep()
}

// sweep kills what is left in the cgroups of the pods, which is of this test
// alone, and removes them.
func (d *daemon) sweep() {
	hierarchies, _ := filepath.Glob("/sys/fs/cgroup/*") // those that were mounted for the test too
	for _, root := range append(hierarchies, d.node.Tree.Mount("cpu")) {
		top := filepath.Join(root, d.node.Prefix+"c")
		_ = filepath.WalkDir(top, func(p string, e os.DirEntry, err error) error {
			if err == nil && e.Name() == "cgroup.procs" {
				b, _ := os.ReadFile(p)
				for _, pid := range strings.Fields(string(b)) {
					_ = exec.Command("kill", "-9", pid).Run()
				}
			}
			return nil
		})
		removeTree(top)
	}
	d.unmount()
}

// unmount takes away what is mounted in the daemon's directory: of containers
// that it did not get to remove.
func (d *daemon) unmount() {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	var at []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], d.dir+"/") {
			at = append(at, f[4])
		}
	}
	for _, path := range slices.Backward(at) {
		_ = syscall.Unmount(path, 0)
	}
}

// removeTree removes empty cgroups, the innermost first, and waits a little for
// the processes of killed ones.
func removeTree(top string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var dirs []string
		_ = filepath.WalkDir(top, func(p string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, p)
			}
			return nil
		})
		if len(dirs) == 0 {
			return
		}
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(dirs[i])
		}
	}
}

func (d *daemon) said() string {
	b, _ := os.ReadFile(d.path("log"))
	return string(b[max(0, len(b)-4000):])
}

// ctr runs containerd's own client and gives what it prints.
func (d *daemon) ctr(args ...string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "ctr"), append([]string{"-a", d.socket()}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+d.bin+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("ctr %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

// await polls until ok, for at most a minute: the node may be busy.
func (d *daemon) await(what string, ok func() bool) {
	d.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	d.t.Fatalf("gave up waiting for %s", what)
}

var errGone = errors.New("gone")

// pod is one sandbox.
type pod struct {
	d        *daemon
	id, name string
	config   *cri.PodSandboxConfig
	cgroup   string
}

var seq int

// pod runs a sandbox in the cgroup of a Kubernetes QoS class ("" is
// guaranteed), as a kubelet with the cgroupfs driver does.
func (d *daemon) pod(qos string, labels, annotations map[string]string) *pod {
	d.t.Helper()
	seq++
	uid := fmt.Sprintf("%08x-0000-4000-8000-%012x", os.Getpid(), seq)
	p := &pod{d: d, name: fmt.Sprint("pod", seq), cgroup: filepath.Join(d.kube, qos, "pod"+uid)}
	p.config = &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: p.name, Namespace: "test", Uid: uid}, Labels: labels, Annotations: annotations,
		LogDirectory: d.path("logs"),
		Linux: &cri.LinuxPodSandboxConfig{
			CgroupParent:    p.cgroup,
			SecurityContext: &cri.LinuxSandboxSecurityContext{NamespaceOptions: hostNetwork()},
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := d.rpc.RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
	if err != nil && strings.Contains(err.Error(), "unknown version specified") {
		testkit.Need(d.t, &feature.UnsupportedError{Feature: d.oci, Reason: feature.NoPeer, Need: "one that takes the OCI version of containerd " + d.version, Err: err})
	}
	if err != nil {
		d.t.Fatalf("run pod: %v\n%s", err, d.said())
	}
	p.id = r.GetPodSandboxId()
	return p
}

func hostNetwork() *cri.NamespaceOption {
	return &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_NODE}
}

// run makes and starts a container in the pod. Its cgroup mounts are the
// node's, so that it can look at its own.
func (p *pod) run(command ...string) (id string) {
	p.d.t.Helper()
	id, err := p.try(command...)
	if err != nil {
		p.d.t.Fatalf("start container: %v\n%s", err, p.d.said())
	}
	return id
}

func (p *pod) try(command ...string) (id string, err error) {
	if len(command) == 0 {
		command = []string{"/bin/sleep", "100000"}
	}
	seq++
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := p.d.rpc.CreateContainer(ctx, &cri.CreateContainerRequest{
		PodSandboxId: p.id, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: fmt.Sprint("c", seq)}, Image: &cri.ImageSpec{Image: image}, Command: command,
			Mounts:  []*cri.Mount{{HostPath: "/sys/fs/cgroup", ContainerPath: "/cg", Readonly: true}},
			LogPath: fmt.Sprint("c", seq, ".log"),
			Linux: &cri.LinuxContainerConfig{
				Resources:       &cri.LinuxContainerResources{CpuShares: 512},
				SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: hostNetwork()},
			},
		},
	})
	if err != nil {
		return "", err
	}
	_, err = p.d.rpc.StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.GetContainerId()})
	return c.GetContainerId(), err
}

// remove ends the pod with all that is in it. Like a kubelet it tries again: a
// runtime that was just restarted may not know its shims yet.
func (p *pod) remove() {
	p.d.t.Helper()
	var err error
	for range 4 {
		if err = p.tryRemove(); err == nil {
			return
		}
	}
	p.d.t.Fatalf("remove pod: %v", err)
}

func (p *pod) tryRemove() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := p.d.rpc.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: p.id})
	if err == nil {
		_, err = p.d.rpc.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: p.id})
	}
	return err
}

// file reads a control file of a container's cgroup.
func (p *pod) file(id, name string) string {
	controller, _, _ := strings.Cut(name, ".")
	b, err := os.ReadFile(filepath.Join(p.d.node.Tree.Path(controller, filepath.Join(p.cgroup, id)), name))
	if err != nil {
		return errGone.Error()
	}
	return strings.TrimSpace(string(b))
}

// ctrRun starts a container that is no pod, in a cgroup of the test's own.
func (d *daemon) ctrRun(name string, labels ...string) {
	d.t.Helper()
	args := []string{"run", "-d", "--net-host", "--snapshotter", "native", "--cgroup", d.named(name), "--runc-binary", d.oci}
	for _, l := range labels {
		args = append(args, "--label", l)
	}
	d.ctr(append(args, image, name, "/bin/sleep", "100000")...)
	d.plain[name] = true
}

// named is the cgroup of a container of ctrRun.
func (d *daemon) named(name string) string { return filepath.Join(d.node.Prefix+"c", "plain", name) }

func (d *daemon) ctrRemove(name string) {
	d.t.Helper()
	d.ctr("tasks", "kill", "-s", "SIGKILL", name)
	d.await(name+" to end", func() bool {
		return !strings.Contains(d.ctr("tasks", "ls"), "RUNNING") || d.try("tasks", "rm", name) == nil
	})
	_ = d.try("tasks", "rm", name)
	d.ctr("containers", "rm", name)
	delete(d.plain, name)
}

// try runs ctr.
func (d *daemon) try(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return exec.CommandContext(ctx, filepath.Join(d.bin, "ctr"), append([]string{"-a", d.socket()}, args...)...).Run()
}
