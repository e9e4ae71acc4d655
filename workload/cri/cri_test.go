package cri

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/sourcetest"
)

// fake is a CRI runtime that holds one pod for each container.
type fake struct {
	runtime.UnimplementedRuntimeServiceServer
	t       *testing.T
	dir     string
	version string
	stream  Stream
	refuse  error // of the event stream
	proxy   *sourcetest.Proxy
	server  *grpc.Server

	mu        sync.Mutex
	n         int
	labels    map[string]map[string]string // by container
	listeners map[chan *runtime.ContainerEventResponse]bool
}

func newFake(t *testing.T, version string, stream Stream, refuse error) *fake {
	f := &fake{
		t: t, dir: testkit.SocketDir(t), version: version, stream: stream, refuse: refuse, labels: map[string]map[string]string{},
		listeners: map[chan *runtime.ContainerEventResponse]bool{},
	}
	f.serve()
	t.Cleanup(func() { f.server.Stop() })
	f.proxy = sourcetest.NewProxy(t, filepath.Join(f.dir, "p"), filepath.Join(f.dir, "s"))
	return f
}

func (f *fake) serve() {
	path := filepath.Join(f.dir, "s")
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.server = grpc.NewServer()
	runtime.RegisterRuntimeServiceServer(f.server, f)
	go func(s *grpc.Server) { _ = s.Serve(l) }(f.server)
}

func (f *fake) Source() workload.Source {
	return New(Options{Socket: f.proxy.Path, Poll: 20 * time.Millisecond, Stream: f.stream})
}

func (f *fake) Start(value string) string {
	f.mu.Lock()
	f.n++
	id := fmt.Sprintf("%064x", f.n)
	f.labels[id] = map[string]string{"team": value}
	f.mu.Unlock()
	f.tell(id, runtime.ContainerEventType_CONTAINER_STARTED_EVENT)
	return id
}

func (f *fake) Remove(id string) {
	f.mu.Lock()
	delete(f.labels, id)
	f.mu.Unlock()
	f.tell(id, runtime.ContainerEventType_CONTAINER_DELETED_EVENT)
}

func (f *fake) Cut() func() { return f.proxy.Cut() }

func (f *fake) Restart() {
	f.server.Stop()
	f.serve()
}

func (f *fake) tell(id string, what runtime.ContainerEventType) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := &runtime.ContainerEventResponse{ContainerId: id, ContainerEventType: what}
	if l, ok := f.labels[id]; ok {
		e.PodSandboxStatus = &runtime.PodSandboxStatus{Id: "pod-" + id, Metadata: podMeta(id), Labels: maps.Clone(l)}
		e.ContainersStatuses = []*runtime.ContainerStatus{{Id: id, Metadata: &runtime.ContainerMetadata{Name: "main"}, State: runtime.ContainerState_CONTAINER_RUNNING}}
	}
	for c := range f.listeners {
		c <- e
	}
}

func podMeta(id string) *runtime.PodSandboxMetadata {
	return &runtime.PodSandboxMetadata{Name: "pod", Namespace: "prod", Uid: "uid-" + id}
}

func (f *fake) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{RuntimeName: "containerd", RuntimeVersion: f.version}, nil
}

func (f *fake) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &runtime.ListPodSandboxResponse{}
	for id, l := range f.labels {
		out.Items = append(out.Items, &runtime.PodSandbox{Id: "pod-" + id, Metadata: podMeta(id), Labels: maps.Clone(l)})
	}
	return out, nil
}

func (f *fake) ListContainers(context.Context, *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &runtime.ListContainersResponse{}
	for id := range f.labels {
		out.Containers = append(out.Containers, &runtime.Container{
			Id: id, PodSandboxId: "pod-" + id, Metadata: &runtime.ContainerMetadata{Name: "main"}, State: runtime.ContainerState_CONTAINER_RUNNING,
			Labels: map[string]string{"team": "the container's own, which the pod overrules"},
		})
	}
	return out, nil
}

func (f *fake) GetContainerEvents(_ *runtime.GetEventsRequest, s grpc.ServerStreamingServer[runtime.ContainerEventResponse]) error {
	if f.refuse != nil {
		return f.refuse
	}
	c := make(chan *runtime.ContainerEventResponse, 100)
	f.mu.Lock()
	f.listeners[c] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
	}()
	for {
		select {
		case e := <-c:
			if err := s.Send(e); err != nil {
				return err
			}
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

func TestConformsByLists(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		return newFake(t, "1.7.24", StreamAuto, errors.New("not asked for"))
	})
}

func TestConformsByItsStream(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World { return newFake(t, "v2.1.0", StreamAuto, nil) })
}

func TestConformsWhereTheStreamIsRefused(t *testing.T) {
	for _, err := range []error{status.Error(codes.Unimplemented, "unknown method"), errors.New("not implemented")} {
		t.Run(err.Error(), func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.World { return newFake(t, "1.6.20~ds1", StreamOn, err) })
		})
	}
}

func TestStreamOnlyWhereItTakesNothingFromOthers(t *testing.T) {
	for version, want := range map[string]bool{"1.6.20~ds1": false, "v1.7.24": false, "2.0.0": true, "v2.1.4-k3s1": true, "": false, "two": false} {
		s := New(Options{})
		if got := s.streams(&runtime.VersionResponse{RuntimeName: "containerd", RuntimeVersion: version}); got != want {
			t.Errorf("containerd %q: %v", version, got)
		}
	}
	if New(Options{}).streams(&runtime.VersionResponse{RuntimeName: "cri-o", RuntimeVersion: "2.0"}) {
		t.Error("a runtime of which nothing is known")
	}
}

// A list is asked for as soon as a container's cgroup appears, not at the next
// turn.
func TestUnknownContainerIsAskedForAtOnce(t *testing.T) {
	f := newFake(t, "1.6", StreamOff, nil)
	r := workload.NewRegistry()
	top := t.TempDir()
	write(t, top, "/proc/self/mountinfo", "30 20 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
	write(t, top, "/sys/fs/cgroup/cpu/cgroup.procs", "")
	tab, err := workload.Open(workload.Options{Root: top, Records: r})
	if err != nil {
		t.Fatal(err)
	}
	defer tab.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go workload.Follow(ctx, New(Options{Socket: f.proxy.Path, Poll: time.Hour}), r, nil)
	await(t, func() bool { return r.Status()[1].Connected })
	id := f.Start("late")
	write(t, top, "/sys/fs/cgroup/cpu/kubepods/burstable/pod0f0e0d0c-0b0a-0908-0706-050403020100/"+id+"/cgroup.procs", "1\n")
	await(t, func() bool {
		_, err := tab.Refresh(time.Now())
		w := tab.All()
		return err == nil && len(w) == 1 && w[0].Labels["team"] == "late"
	})
}

func write(t *testing.T, top, path, text string) {
	t.Helper()
	path = filepath.Join(top, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute")
		}
	}
}

func TestWhyNobodyAnswers(t *testing.T) {
	dir := testkit.SocketDir(t)
	empty := filepath.Join(dir, "empty")
	l, err := net.Listen("unix", empty)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer() // knows no service
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	for _, socket := range []string{filepath.Join(dir, "none"), empty} {
		err := New(Options{Socket: socket}).Run(context.Background(), workload.NewRegistry().Feed(workload.FromCRI))
		var u *feature.UnsupportedError
		if !errors.As(err, &u) || u.Reason != feature.NoPeer || !strings.Contains(u.Need, socket) {
			t.Errorf("%s: %v", socket, err)
		}
	}
}

// Empty and half-filled answers say nothing, and break nothing.
func TestHollowAnswers(t *testing.T) {
	r := workload.NewRegistry()
	c := &client{to: r.Feed(workload.FromCRI)}
	c.to.Replace(c.records([]*runtime.PodSandbox{nil, {}}, []*runtime.Container{nil, {}, {Id: "x", PodSandboxId: "nowhere"}}))
	c.tell(nil)
	c.tell(&runtime.ContainerEventResponse{ContainersStatuses: []*runtime.ContainerStatus{nil, {}}})
	c.tell(&runtime.ContainerEventResponse{PodSandboxStatus: &runtime.PodSandboxStatus{}, ContainersStatuses: []*runtime.ContainerStatus{nil, {}}})
	if r.Len() != 0 {
		t.Errorf("%+v", r.All())
	}
}

// Whatever a runtime answers, each container is told of at most once and has the
// ID that the runtime gave it.
func FuzzRecords(f *testing.F) {
	seed := func(pods *runtime.ListPodSandboxResponse, containers *runtime.ListContainersResponse, e *runtime.ContainerEventResponse) {
		var b [3][]byte
		for i, m := range []proto.Message{pods, containers, e} {
			var err error
			if b[i], err = proto.Marshal(m); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b[0], b[1], b[2])
	}
	pod := &runtime.PodSandbox{Id: "p", Metadata: podMeta("p"), Labels: map[string]string{"a": "b"}, CreatedAt: -1}
	k := &runtime.Container{Id: "k", PodSandboxId: "p", State: runtime.ContainerState_CONTAINER_RUNNING}
	seed(&runtime.ListPodSandboxResponse{Items: []*runtime.PodSandbox{pod, pod}}, &runtime.ListContainersResponse{Containers: []*runtime.Container{k}}, &runtime.ContainerEventResponse{ContainerId: "k"})
	seed(nil, nil, nil)
	f.Fuzz(func(t *testing.T, pods, containers, event []byte) {
		var ps runtime.ListPodSandboxResponse
		var ks runtime.ListContainersResponse
		var e runtime.ContainerEventResponse
		if proto.Unmarshal(pods, &ps) != nil || proto.Unmarshal(containers, &ks) != nil || proto.Unmarshal(event, &e) != nil {
			return
		}
		r := workload.NewRegistry()
		c := &client{to: r.Feed(workload.FromCRI)}
		c.to.Replace(c.records(ps.GetItems(), ks.GetContainers()))
		c.tell(&e)
		seen := map[string]bool{}
		for _, x := range r.All() {
			if x.ID == "" || seen[x.ID] {
				t.Fatalf("%q, twice %v", x.ID, seen[x.ID])
			}
			seen[x.ID] = true
		}
	})
}
