// Package groups makes real cgroups with real processes for tests, under names
// that no other test uses, and takes them away again.
package groups

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
)

// Node is this machine's cgroup tree.
type Node struct {
	Tree   *cgroup.Tree
	Prefix string // of all groups' names: "/t-eng-PID-SEQ-"
	tb     testing.TB
}

var seq atomic.Int64

// Open gives the node, or skips the test where no cgroup can be made. One test
// at a time has it, those of other packages included: they share what there is
// once on a node, such as its real-time bandwidth. Call it once in a test.
func Open(t testing.TB) *Node {
	t.Helper()
	testkit.NeedRoot(t)
	tree, err := cgroup.Detect("")
	testkit.Need(t, err)
	alone(t)
	n := &Node{Tree: tree, Prefix: fmt.Sprintf("/t-eng-%d-%d-", os.Getpid(), seq.Add(1)), tb: t}
	p := tree.Path("cpu", n.Prefix+"try")
	if p == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoKernel, Need: "the cpu controller"})
	}
	if err := os.Mkdir(p, 0o755); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "a writable cgroup hierarchy", Err: err})
	}
	_ = os.Remove(p)
	return n
}

// alone holds a lock until the test ends. Its cleanup runs last.
func alone(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "anole-test-groups.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

// V1 skips the test unless the cpu controller is on cgroup v1.
func (n *Node) V1() {
	n.tb.Helper()
	if n.version() != cgroup.V1 {
		testkit.Need(n.tb, &feature.UnsupportedError{Feature: "cgroup v1", Reason: feature.NoKernel, Need: "the cpu controller on cgroup v1"})
	}
}

// V2 skips the test unless the cpu controller is on cgroup v2, and has it and
// cpuset handed down to the groups below the root.
func (n *Node) V2() {
	n.tb.Helper()
	if n.version() != cgroup.V2 {
		testkit.Need(n.tb, &feature.UnsupportedError{Feature: "cgroup v2", Reason: feature.NoKernel, Need: "the cpu controller on cgroup v2"})
	}
	n.Either()
}

// Either is for tests that run on both versions: on v2 it hands the controllers
// down to the groups below the root.
func (n *Node) Either() {
	n.tb.Helper()
	if n.version() != cgroup.V2 {
		return
	}
	n.handDown(n.Tree.Mount("cpu"))
}

// Confines says whether the groups have CPU sets. A hybrid node's cpuset may be
// on cgroup v2 alone, where nobody need hand it down.
func (n *Node) Confines() bool {
	v, ok := n.Tree.Version("cpuset")
	return ok && v == n.version()
}

// CPUSets skips the test where the groups have none.
func (n *Node) CPUSets() {
	n.tb.Helper()
	if !n.Confines() {
		testkit.Need(n.tb, &feature.UnsupportedError{Feature: "cpuset", Reason: feature.NoKernel, Need: "the cpuset controller on the cgroup version of cpu"})
	}
}

// handDown enables what the tests need for the groups below one. A group with
// processes of its own has none below it that could take it.
func (n *Node) handDown(dir string) {
	n.tb.Helper()
	for _, c := range []string{"+cpu", "+cpuset", "+memory"} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(c), 0); err != nil && !errors.Is(err, syscall.EBUSY) {
			n.tb.Fatal(err)
		}
	}
}

// Group is one cgroup, in all hierarchies that matter to qos.
type Group struct {
	Rel  string
	node *Node
}

var controllers = []string{"cpu", "cpuacct", "cpuset", "memory", "blkio", "io"}

// Make makes the group called Prefix+name. It is removed after the test, its
// processes killed.
func (n *Node) Make(name string) *Group {
	n.tb.Helper()
	g := &Group{Rel: n.Prefix + name, node: n}
	if up := path.Dir(g.Rel); up != "/" && n.version() == cgroup.V2 {
		n.handDown(n.Tree.Path("cpu", up))
	}
	for _, dir := range g.dirs() {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			n.tb.Fatal(err)
		}
	}
	sets, _ := n.Tree.Version("cpuset")
	if sets == cgroup.V1 {
		for _, f := range []string{"cpuset.mems", "cpuset.cpus"} {
			b, err := os.ReadFile(filepath.Join(n.Tree.Mount("cpuset"), f))
			if err != nil {
				n.tb.Fatal(err)
			}
			g.writeIn("cpuset", f, strings.TrimSpace(string(b)))
		}
	}
	if sets == cgroup.V2 && exists(g.Path("cpuset.cpus")) {
		// Some kernels let no set with tasks in it become empty again, and a
		// restore would not be exact then.
		g.Write("cpuset.cpus", g.Read("cpuset.cpus.effective"))
	}
	n.tb.Cleanup(g.Remove)
	return g
}

// Home is Make for a group that several tests' groups are in: it is made once,
// and so removed after all of them.
func (n *Node) Home(name string) {
	n.tb.Helper()
	if !exists(n.Tree.Path("cpu", n.Prefix+name)) {
		n.Make(name)
	}
}

func (n *Node) version() cgroup.Version { v, _ := n.Tree.Version("cpu"); return v }

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func (g *Group) dirs() []string {
	seen := map[string]bool{}
	var out []string
	for _, c := range controllers {
		if p := g.node.Tree.Path(c, g.Rel); p != "" && !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// Remove kills the group's processes and removes it.
func (g *Group) Remove() {
	for _, dir := range g.dirs() {
		// What is dying is waited for: it cannot be moved to a group that has
		// handed controllers down.
		end := time.Now().Add(30 * time.Second)
		for kill(dir) > 0 && time.Now().Before(end) {
			time.Sleep(2 * time.Millisecond)
		}
		if err := cgroup.Remove(dir, filepath.Dir(dir)); err != nil {
			g.node.tb.Error(err)
		}
	}
}

// kill kills the processes in a directory and below, and says how many there
// are still.
func kill(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		b, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		pids, _ := cgroup.Procs(b)
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		n += len(pids)
		return nil
	})
	return n
}

// Spin starts a process in the group that uses all the CPU it can get.
func (g *Group) Spin() *exec.Cmd { return g.Run("sh", "-c", "while :; do :; done") }

// Sleep starts a process in the group that does nothing.
func (g *Group) Sleep() *exec.Cmd { return g.Run("sleep", "1000") }

// Run starts a command in the group. It is killed after the test at the latest.
func (g *Group) Run(name string, args ...string) *exec.Cmd {
	g.node.tb.Helper()
	return g.start(func(*exec.Cmd) {}, name, args...)
}

func (g *Group) start(prepare func(*exec.Cmd), name string, args ...string) *exec.Cmd {
	g.node.tb.Helper()
	cmd := exec.Command(name, args...)
	prepare(cmd)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		g.node.tb.Fatal(err)
	}
	// It is waited for at once: a zombie keeps its removed cgroup in the kernel.
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	g.node.tb.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	g.Add(cmd.Process.Pid)
	return cmd
}

// Add moves a process into the group.
func (g *Group) Add(pid int) {
	g.node.tb.Helper()
	for _, dir := range g.dirs() {
		if err := cgroup.Move(pid, dir); err != nil {
			g.node.tb.Fatal(err)
		}
	}
}

// Path gives the whole path of a file of the group: that of the controller
// that its name begins with.
func (g *Group) Path(file string) string {
	c, _, _ := strings.Cut(file, ".")
	return filepath.Join(g.node.Tree.Path(c, g.Rel), file)
}

// Write writes one of the group's files.
func (g *Group) Write(file, value string) {
	g.node.tb.Helper()
	c, _, _ := strings.Cut(file, ".")
	g.writeIn(c, file, value)
}

func (g *Group) writeIn(controller, file, value string) {
	g.node.tb.Helper()
	if err := os.WriteFile(filepath.Join(g.node.Tree.Path(controller, g.Rel), file), []byte(value), 0); err != nil {
		g.node.tb.Fatal(err)
	}
}

// Read reads one of the group's files, white space trimmed.
func (g *Group) Read(file string) string {
	b, err := os.ReadFile(g.Path(file))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// Number is Read for a file with one number.
func (g *Group) Number(file string) int {
	n, err := strconv.Atoi(g.Read(file))
	if err != nil {
		g.node.tb.Fatal(err)
	}
	return n
}

// Limit sets a CPU limit, in microseconds.
func (g *Group) Limit(quota, period, burst int) {
	g.node.tb.Helper()
	// As a container runtime does: no burst that the new quota would not take.
	if g.node.version() == cgroup.V2 {
		g.Write("cpu.max.burst", "0")
		g.Write("cpu.max", fmt.Sprint(quota, " ", period))
		g.Write("cpu.max.burst", strconv.Itoa(burst))
		return
	}
	g.Write("cpu.cfs_burst_us", "0")
	g.Write("cpu.cfs_quota_us", "-1")
	g.Write("cpu.cfs_period_us", strconv.Itoa(period))
	g.Write("cpu.cfs_quota_us", strconv.Itoa(quota))
	g.Write("cpu.cfs_burst_us", strconv.Itoa(burst))
}

// Limited says whether the group has a CPU limit.
func (g *Group) Limited() bool {
	if g.node.version() == cgroup.V2 {
		return !strings.HasPrefix(g.Read("cpu.max"), "max")
	}
	return g.Read("cpu.cfs_quota_us") != "-1"
}

// Quota gives the CPU limit's quota in microseconds, -1 if there is none.
func (g *Group) Quota() int {
	if !g.Limited() {
		return -1
	}
	if g.node.version() == cgroup.V2 {
		quota, _, _ := strings.Cut(g.Read("cpu.max"), " ")
		n, err := strconv.Atoi(quota)
		if err != nil {
			g.node.tb.Fatal(err)
		}
		return n
	}
	return g.Number("cpu.cfs_quota_us")
}

// Period gives the limit's period in microseconds.
func (g *Group) Period() int {
	g.node.tb.Helper()
	if g.node.version() == cgroup.V1 {
		return g.Number("cpu.cfs_period_us")
	}
	_, period, _ := strings.Cut(g.Read("cpu.max"), " ")
	n, err := strconv.Atoi(period)
	if err != nil {
		g.node.tb.Fatal(err)
	}
	return n
}

// Burst gives the burst in microseconds.
func (g *Group) Burst() int {
	if g.node.version() == cgroup.V2 {
		return g.Number("cpu.max.burst")
	}
	return g.Number("cpu.cfs_burst_us")
}

// Weight sets the CPU weight: cpu.weight or cpu.shares.
func (g *Group) Weight(w int) {
	g.node.tb.Helper()
	if g.node.version() == cgroup.V2 {
		g.Write("cpu.weight", strconv.Itoa(w))
		return
	}
	g.Write("cpu.shares", strconv.Itoa(w))
}

// WeightNow gives the CPU weight as Weight takes it.
func (g *Group) WeightNow() int {
	if g.node.version() == cgroup.V2 {
		return g.Number("cpu.weight")
	}
	return g.Number("cpu.shares")
}

// LimitFile is the file that a limit is written to, QuotaStep the one that a
// change of a limit writes after another one has changed already.
func (n *Node) LimitFile() string { return n.either("cpu.cfs_quota_us", "cpu.max") }

// QuotaStep is told of at LimitFile.
func (n *Node) QuotaStep() string { return n.either("cpu.cfs_quota_us", "cpu.max.burst") }

// Unified says whether the cpu controller is on cgroup v2.
func (n *Node) Unified() bool { return n.version() == cgroup.V2 }

func (n *Node) either(v1, v2 string) string {
	if n.Unified() {
		return v2
	}
	return v1
}

// Threads lists the threads in the group and in those below it.
func (g *Group) Threads() []int {
	g.node.tb.Helper()
	d, err := cgroup.OpenDir(g.node.Tree.Path("cpu", g.Rel))
	if err != nil {
		g.node.tb.Fatal(err)
	}
	defer d.Close()
	tids, err := d.AllThreads()
	if err != nil {
		g.node.tb.Fatal(err)
	}
	return tids
}

// NeedFile skips the test if the group has no file of that name: the kernel has
// no such controller, or has it on the other version.
func (g *Group) NeedFile(name string) {
	g.node.tb.Helper()
	if !exists(g.Path(name)) {
		testkit.Need(g.node.tb, &feature.UnsupportedError{Feature: name, Reason: feature.NoKernel, Need: "a kernel with its controller, on the version of cgroups that the cpu controller is on"})
	}
}

// Procs lists the processes in the group.
func (g *Group) Procs() []int {
	g.node.tb.Helper()
	b, err := os.ReadFile(filepath.Join(g.node.Tree.Path("cpu", g.Rel), "cgroup.procs"))
	if err != nil {
		g.node.tb.Fatal(err)
	}
	pids, err := cgroup.Procs(b)
	if err != nil {
		g.node.tb.Fatal(err)
	}
	return pids
}

// touched lists the files that the qos room may write.
var touched = []string{
	"cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us", "cpu.shares", "cpu.idle", "cpu.rt_runtime_us", "cpu.rt_period_us",
	"cpu.max", "cpu.max.burst", "cpu.weight", "cpu.bvt_warp_ns", "cpu.qos_level", "cpuset.cpus", "cpuset.mems",
	"io.max", "io.weight", "io.bfq.weight", "blkio.bfq.weight_device",
	"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device",
	"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.min", "memory.low", "memory.high", "memory.max", "memory.oom.group",
}

// Snapshot gives the content of every file of the groups that the qos room may
// write.
func Snapshot(gs ...*Group) map[string]string {
	out := map[string]string{}
	for _, g := range gs {
		for _, f := range touched {
			if b, err := os.ReadFile(g.Path(f)); err == nil {
				out[g.Path(f)] = string(b)
			}
		}
	}
	return out
}

// Differ lists what is not the same in two snapshots.
func Differ(was, is map[string]string) []string {
	var out []string
	for f, v := range was {
		if is[f] != v {
			out = append(out, fmt.Sprintf("%s: was %q, is %q", f, v, is[f]))
		}
	}
	for f := range maps.Keys(is) {
		if _, ok := was[f]; !ok {
			out = append(out, f+": was not there")
		}
	}
	return out
}
