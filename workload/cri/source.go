// Package cri tells a workload.Registry of the containers of a Kubernetes
// container runtime, which it asks over the Container Runtime Interface: all of
// them at first, then from the runtime's stream of events where listening takes
// nothing away from others, else by asking again every few seconds and whenever
// a container's cgroup appears that nobody has told of.
package cri

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
)

// Sockets are the places where runtimes listen, in the order in which they are
// tried.
var Sockets = []string{
	"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/k3s/containerd/containerd.sock",
	"/run/k0s/containerd.sock", "/run/cri-dockerd.sock",
}

// Stream says whether the runtime's event stream is listened to.
type Stream string

// Values of Stream. containerd 1.7 gives each event to one listener only
// (container_events.go of its CRI service), so that listening there would take
// events away from a kubelet; since 2.0 each gets all.
const (
	StreamAuto Stream = ""    // where each listener gets all events
	StreamOn   Stream = "on"  // wherever there is one: for nodes without a kubelet that listens
	StreamOff  Stream = "off" // never
)

// Options configures a Source.
type Options struct {
	Socket string        // of the runtime
	Poll   time.Duration // between two lists without a stream; 0 is 5 s
	Stream Stream
}

// Source asks one runtime.
type Source struct{ o Options }

// New makes a Source. It opens nothing.
func New(o Options) *Source {
	if o.Poll == 0 {
		o.Poll = 5 * time.Second
	}
	return &Source{o: o}
}

// Origin implements workload.Source.
func (s *Source) Origin() workload.Origin { return workload.FromCRI }

const (
	// askFor bounds one question: a runtime that is busy with a hundred pods may
	// take its time.
	askFor = 10 * time.Second
	// leastGap is the least time between two lists that appearing cgroups ask for.
	leastGap = 250 * time.Millisecond
	// relist is how often all is asked for beside a stream.
	relist = time.Minute
	// maxMessage bounds an answer: some 10,000 containers.
	maxMessage = 16 << 20
)

// Run implements workload.Source.
func (s *Source) Run(ctx context.Context, to *workload.Feed) error {
	conn, err := grpc.NewClient("unix:"+s.o.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)), grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("connect to CRI at %s: %w", s.o.Socket, err)
	}
	defer conn.Close()
	c := &client{rpc: runtime.NewRuntimeServiceClient(conn), to: to}
	v, err := c.version(ctx)
	if err != nil {
		return refused(s.o.Socket, err)
	}
	c.runtime = v.GetRuntimeName()
	if s.streams(v) {
		err = c.stream(ctx, func(how string) string { return s.detail(v, how) })
		if !unimplemented(err) {
			return err
		}
	}
	return c.poll(ctx, s.o.Poll, s.detail(v, "asked every "+s.o.Poll.String()))
}

func (s *Source) detail(v *runtime.VersionResponse, how string) string {
	return fmt.Sprintf("%s %s at %s, %s", v.GetRuntimeName(), v.GetRuntimeVersion(), s.o.Socket, how)
}

// streams says whether to listen to events.
func (s *Source) streams(v *runtime.VersionResponse) bool {
	switch s.o.Stream {
	case StreamOn:
		return true
	case StreamOff:
		return false
	}
	return v.GetRuntimeName() == "containerd" && major(v.GetRuntimeVersion()) >= 2
}

// major reads the first number of a version such as "v2.0.1" or "1.7.24~ds1".
func major(v string) int {
	head, _, _ := strings.Cut(strings.TrimPrefix(v, "v"), ".")
	n, err := strconv.Atoi(head)
	if err != nil {
		return 0
	}
	return n
}

// refused explains why a runtime did not answer.
func refused(socket string, err error) error {
	text := err.Error()
	no := func(r feature.Reason, need, fix string) error {
		return &feature.UnsupportedError{Feature: "CRI", Reason: r, Need: need, Fix: fix, Err: errors.New(text)}
	}
	switch {
	case strings.Contains(text, syscall.ENOENT.Error()), errors.Is(err, fs.ErrNotExist), strings.Contains(text, syscall.ECONNREFUSED.Error()):
		return no(feature.NoPeer, "a container runtime that listens at "+socket, "start it, or name its socket in workload.cri")
	case strings.Contains(text, syscall.EACCES.Error()):
		return no(feature.NoPrivilege, "access to "+socket, "run the agent as root")
	case unimplemented(err):
		return no(feature.NoPeer, "the CRI service (v1) at "+socket, "containerd: remove cri from disabled_plugins in its config.toml")
	}
	return fmt.Errorf("ask the runtime at %s: %w", socket, err)
}
