package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	api "github.com/containerd/containerd/api/services/events/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/sourcetest"
)

// fake is a containerd with two namespaces.
type fake struct {
	api.UnimplementedEventsServer
	containers.UnimplementedContainersServer
	t      *testing.T
	dir    string
	proxy  *sourcetest.Proxy
	server *grpc.Server

	mu        sync.Mutex
	n         int
	all       map[string]*containers.Container
	listeners map[chan *types.Envelope]bool
}

// spaces lists the namespaces; it has a type of its own, for its List.
type spaces struct {
	namespaces.UnimplementedNamespacesServer
}

func (spaces) List(context.Context, *namespaces.ListNamespacesRequest) (*namespaces.ListNamespacesResponse, error) {
	return &namespaces.ListNamespacesResponse{Namespaces: []*namespaces.Namespace{{Name: "default"}, {Name: "k8s.io"}}}, nil
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, dir: testkit.SocketDir(t), all: map[string]*containers.Container{}, listeners: map[chan *types.Envelope]bool{}}
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
	api.RegisterEventsServer(f.server, f)
	containers.RegisterContainersServer(f.server, f)
	namespaces.RegisterNamespacesServer(f.server, spaces{})
	go func(s *grpc.Server) { _ = s.Serve(l) }(f.server)
}

func (f *fake) Source() workload.Source { return New(f.proxy.Path) }
func (f *fake) Cut() func()             { return f.proxy.Cut() }
func (f *fake) Restart()                { f.server.Stop(); f.serve() }

func (f *fake) Start(value string) string {
	f.mu.Lock()
	f.n++
	id := fmt.Sprint("web", f.n)
	f.all[id] = &containers.Container{
		ID: id, Labels: map[string]string{"team": value}, Spec: &anypb.Any{Value: []byte(`{"linux":{"cgroupsPath":"/default/` + id + `"},"annotations":{"a":"b"}}`)},
	}
	f.mu.Unlock()
	f.tell("/containers/create", &events.ContainerCreate{ID: id})
	f.tell("/tasks/start", &events.TaskStart{ContainerID: id, Pid: 7})
	return id
}

func (f *fake) Remove(id string) {
	f.mu.Lock()
	delete(f.all, id)
	f.mu.Unlock()
	f.tell("/containers/delete", &events.ContainerDelete{ID: id})
}

func (f *fake) tell(topic string, m proto.Message) {
	v, err := anypb.New(m)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.listeners {
		c <- &types.Envelope{Namespace: "default", Topic: topic, Event: v}
	}
}

func (f *fake) Subscribe(_ *api.SubscribeRequest, s api.Events_SubscribeServer) error {
	c := make(chan *types.Envelope, 100)
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

func (f *fake) Get(_ context.Context, r *containers.GetContainerRequest) (*containers.GetContainerResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.all[r.GetID()]; k != nil {
		return &containers.GetContainerResponse{Container: proto.Clone(k).(*containers.Container)}, nil
	}
	return nil, status.Error(codes.NotFound, "no such container")
}

func (f *fake) List(ctx context.Context, _ *containers.ListContainersRequest) (*containers.ListContainersResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := &containers.ListContainersResponse{}
	md, _ := metadata.FromIncomingContext(ctx)
	if slices.Equal(md.Get("containerd-namespace"), []string{"default"}) {
		for _, k := range f.all {
			out.Containers = append(out.Containers, proto.Clone(k).(*containers.Container))
		}
	}
	return out, nil
}

func TestConforms(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World { return newFake(t) })
}

func TestContainersOfCRIAreLeftOut(t *testing.T) {
	if _, ok := record("k8s.io", &containers.Container{ID: "x", Labels: map[string]string{criKind: "container"}}); ok {
		t.Error("a container of CRI's")
	}
	r, ok := record("team", &containers.Container{ID: "x", Labels: map[string]string{"nerdctl/name": "web"}, Image: "nginx"})
	if !ok || r.ID != "team:x" || r.Name != "web" || r.Image != "nginx" || r.Cgroup != "" {
		t.Errorf("%+v", r)
	}
}

func TestSpec(t *testing.T) {
	for in, want := range map[string]string{
		`{"linux":{"cgroupsPath":"/default/web"}}`:         "/default/web",
		`{"linux":{"cgroupsPath":"user.slice:nerdctl:x"}}`: "/user.slice/nerdctl-x.scope",
		`{"linux":null}`:              "",
		`{"linux":{"cgroupsPath":7}}`: "",
		`not JSON`:                    "",
		strings.Repeat(" ", 2<<20) + `{"linux":{"cgroupsPath":"/a/b"}}`: "",
	} {
		if got, _ := readSpec([]byte(in)); got != want {
			t.Errorf("%.60s: %q", in, got)
		}
	}
}

// FuzzForeign: what a runtime, or whoever labels containers, writes breaks
// nothing and stays bounded.
func FuzzForeign(f *testing.F) {
	b, _ := proto.Marshal(&events.TaskCreate{ContainerID: "web", Bundle: "/b", Pid: 3})
	f.Add("/tasks/create", b, []byte(`{"linux":{"cgroupsPath":"a.slice:b:c"},"annotations":{"x":"y"}}`), "default", "web")
	f.Add("/containers/delete", []byte{0x0a, 0xff, 0xff}, []byte(`{}`), "a/b", "../x")
	f.Fuzz(func(t *testing.T, topic string, event, spec []byte, namespace, id string) {
		_, _ = about(&types.Envelope{Topic: topic, Event: &anypb.Any{Value: event}})
		r := workload.NewRegistry()
		rec, ok := record(namespace, &containers.Container{ID: id, Labels: map[string]string{"team": string(spec)}, Spec: &anypb.Any{Value: spec}})
		if !ok {
			return
		}
		r.Feed(workload.FromEvents).Put(rec)
		for _, c := range r.All() {
			if strings.ContainsAny(c.ID, "/\n\x00") || c.Cgroup != "" && !strings.HasPrefix(c.Cgroup, "/") {
				t.Fatalf("%+v", c.Record)
			}
			if _, err := json.Marshal(c); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhyNobodyAnswers(t *testing.T) {
	err := New(filepath.Join(testkit.SocketDir(t), "none")).Run(context.Background(), workload.NewRegistry().Feed(workload.FromEvents))
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.NoPeer {
		t.Errorf("%v", err)
	}
}
