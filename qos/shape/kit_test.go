package shape_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/qos/shape"
)

// roleEnv names what the test binary does when it runs itself again.
const roleEnv = "ANOLE_SHAPE_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "traffic":
		exit(traffic())
	case "agent":
		exit(agent())
	case "flip":
		exit(flip())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// traffic waits for a line, so that it can be put into a cgroup before it opens
// a socket.
func traffic() error {
	var o load.TrafficOptions
	if err := json.Unmarshal([]byte(os.Args[1]), &o); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	return load.Traffic(context.Background(), o, in, os.Stdout)
}

// kit is a node in a network namespace of its own, in which the test's
// goroutine runs, and two cgroups.
type kit struct {
	*testing.T
	*lab.Lab
	j      *journal.Journal
	w      *cgroup.Writer
	ls, be *group
	v6     bool // traffic is IPv6
}

// modules of the kernel that a guest is to load; where there is a whole system
// that happens by itself.
var modules = []string{"veth", "bridge", "sch_ingress", "sch_htb", "sch_tbf", "sch_fq", "cls_bpf", "cls_u32", "ifb"}

func open(t *testing.T) *kit {
	t.Helper()
	testkit.NeedRoot(t)
	if testkit.Guest() {
		for _, m := range modules {
			testkit.Module(t, m)
		}
	}
	l, err := lab.Open()
	testkit.Need(t, denied(err))
	t.Cleanup(func() { _ = l.Close() })
	leave, err := l.Node.Enter()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := leave(); err != nil {
			t.Error(err)
		}
	})
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &kit{T: t, Lab: l, j: j, w: cgroup.NewWriter(j, "qos"), ls: newGroup(t, "ls"), be: newGroup(t, "be")}
}

// denied makes a refusal to make namespaces a reason to skip: some sandboxes
// let not even root do so.
func denied(err error) error {
	if errors.Is(err, unix.EPERM) {
		return &feature.UnsupportedError{Feature: "network namespaces", Reason: feature.NoPrivilege, Need: "CAP_SYS_ADMIN", Err: err}
	}
	return err
}

// shaper opens one, in a mode that the kernel may lack, and shares the uplink.
func (k *kit) shaper(m shape.Mode, l shape.Link) *shape.Shaper {
	k.Helper()
	testkit.Need(k, shape.Supports(m))
	s, err := shape.Open(shape.Options{Writer: k.w, Mode: m})
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = s.Close() })
	if err := s.Attach(l); err != nil {
		k.Fatal(err)
	}
	for g, c := range map[*group]shape.Class{k.ls: shape.LS, k.be: shape.BE} {
		if err := s.SetGroup(g.id, c); err != nil {
			k.Fatal(err)
		}
	}
	return s
}

// link is the uplink with a rate in both directions.
func link(r shape.Rate) shape.Link {
	return shape.Link{Name: lab.Uplink, Out: r, In: r, LS: 0.7, BE: 0.1}
}

// group is a cgroup in the cgroup2 hierarchy.
type group struct {
	dir string
	id  uint64
}

func newGroup(t *testing.T, name string) *group {
	t.Helper()
	tree, err := cgroup.Detect("")
	testkit.Need(t, err)
	base := tree.Mount(cgroup.Unified)
	if base == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "class of sockets", Reason: feature.NoKernel, Need: "a cgroup2 mount"})
	}
	dir := filepath.Join(base, fmt.Sprintf("t-shape-%d-%s", os.Getpid(), name))
	if err := os.Mkdir(dir, 0o755); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "a writable cgroup2 hierarchy", Err: err})
	}
	t.Cleanup(func() {
		if err := cgroup.Remove(dir, base); err != nil {
			t.Error(err)
		}
	})
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		t.Fatal(err)
	}
	return &group{dir: dir, id: st.Ino}
}

// flow is one running Traffic.
type flow struct {
	t    testing.TB
	in   io.WriteCloser
	out  *bufio.Reader
	sink *load.Sink
	down bool
}

// start runs Traffic in the cgroup, in the namespace of the calling thread or
// in that of at, against a Sink of its own in the world.
func (k *kit) start(g *group, at *lab.Space, o load.TrafficOptions) *flow {
	k.Helper()
	f := &flow{t: k, down: o.Down}
	at6 := lab.WorldAddr
	if k.v6 {
		at6 = "[" + lab.WorldAddr6 + "]"
	}
	err := k.World.Do(func() (err error) {
		f.sink, err = load.ListenSink(at6 + ":0")
		return err
	})
	if err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = f.sink.Close() })
	o.Addr = f.sink.Addr()
	body, err := json.Marshal(o)
	if err != nil {
		k.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", string(body))
	cmd.Env = append(os.Environ(), roleEnv+"=traffic")
	cmd.Stderr = os.Stderr
	if f.in, err = cmd.StdinPipe(); err != nil {
		k.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		k.Fatal(err)
	}
	f.out = bufio.NewReader(out)
	run := cmd.Start
	if at != nil {
		run = func() error { return at.Do(cmd.Start) }
	}
	if err := run(); err != nil {
		k.Fatal(err)
	}
	k.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGKILL); _ = cmd.Wait() })
	if g != nil {
		if err := cgroup.Move(cmd.Process.Pid, g.dir); err != nil {
			k.Fatal(err)
		}
	}
	f.line()
	return f
}

func (f *flow) line() {
	if _, err := f.in.Write([]byte("\n")); err != nil {
		f.t.Fatal(err)
	}
}

// bytes counts the payload that arrived so far.
func (f *flow) bytes() int64 {
	f.t.Helper()
	if !f.down {
		return f.sink.Received()
	}
	f.line()
	s, err := f.out.ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// stop ends it and gives the node's queues time to drain.
func (f *flow) stop() { _ = f.in.Close(); time.Sleep(300 * time.Millisecond) }

// Headers on the wire: of a frame with 1448 bytes of TCP, and with 1452 of UDP.
const (
	tcpWire = 1514.0 / 1448
	udpWire = 1494.0 / 1452
)

// rates measures flows at once, in Mbit a second on the wire.
func rates(d time.Duration, wire float64, flows ...*flow) []float64 {
	time.Sleep(700 * time.Millisecond) // to get going
	was, began := make([]int64, len(flows)), time.Now()
	for i, f := range flows {
		was[i] = f.bytes()
	}
	time.Sleep(d)
	out := make([]float64, len(flows))
	for i, f := range flows {
		out[i] = float64(f.bytes()-was[i]) * wire * 8 / 1e6 / time.Since(began).Seconds()
	}
	return out
}
