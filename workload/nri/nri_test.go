package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/net/multiplex"
	"github.com/containerd/ttrpc"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/sourcetest"
)

// fake is the runtime's side of NRI.
type fake struct {
	t     *testing.T
	dir   string
	proxy *sourcetest.Proxy
	old   bool // tells of most events by StateChange, as before NRI 0.11
	parts bool // tells what there is in parts
	mute  bool // never configures a plugin that registered

	mu    sync.Mutex
	l     net.Listener
	n     int
	pods  map[string]*api.PodSandbox // by container
	links map[*link]bool
}

// link is one plugin's connection.
type link struct {
	f      *fake
	mux    multiplex.Mux
	server *ttrpc.Server
	plugin api.PluginService
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, dir: testkit.SocketDir(t), pods: map[string]*api.PodSandbox{}, links: map[*link]bool{}}
	f.serve()
	t.Cleanup(func() { f.shut() })
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
	f.mu.Lock()
	f.l = l
	f.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.accept(c)
		}
	}()
}

func (f *fake) accept(conn net.Conn) {
	k := &link{f: f, mux: multiplex.Multiplex(conn)}
	out, err := k.mux.Open(multiplex.PluginServiceConn)
	if err != nil {
		return
	}
	in, err := k.mux.Listen(multiplex.RuntimeServiceConn)
	if err != nil {
		return
	}
	k.plugin = api.NewPluginClient(ttrpc.NewClient(out, ttrpc.WithOnClose(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.links, k)
	})))
	if k.server, err = ttrpc.NewServer(); err != nil {
		return
	}
	api.RegisterRuntimeService(k.server, k)
	go func() { _ = k.server.Serve(context.Background(), in) }()
}

// RegisterPlugin configures and synchronizes the plugin once it has its answer.
func (k *link) RegisterPlugin(context.Context, *api.RegisterPluginRequest) (*api.Empty, error) {
	if !k.f.mute {
		go k.introduce()
	}
	return &api.Empty{}, nil
}

func (k *link) UpdateContainers(context.Context, *api.UpdateContainersRequest) (*api.UpdateContainersResponse, error) {
	return &api.UpdateContainersResponse{}, nil
}

func (k *link) introduce() {
	f := k.f
	ctx := context.Background()
	if _, err := k.plugin.Configure(ctx, &api.ConfigureRequest{RuntimeName: "fake", RuntimeVersion: "1"}); err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	req := &api.SynchronizeRequest{}
	for id, p := range f.pods {
		req.Pods = append(req.Pods, p)
		req.Containers = append(req.Containers, container(id, p))
		if f.parts {
			req.More = true
			if _, err := k.plugin.Synchronize(ctx, req); err != nil {
				return
			}
			req = &api.SynchronizeRequest{}
		}
	}
	if _, err := k.plugin.Synchronize(ctx, req); err == nil {
		f.links[k] = true
	}
}

func container(id string, p *api.PodSandbox) *api.Container {
	return &api.Container{
		Id: id, PodSandboxId: p.GetId(), Name: "main", State: api.ContainerState_CONTAINER_RUNNING, Labels: map[string]string{"team": "the pod overrules"},
		Linux: &api.LinuxContainer{CgroupsPath: "/kubepods/" + id},
	}
}

func (f *fake) each(do func(api.PluginService)) {
	f.mu.Lock()
	var all []api.PluginService
	for k := range f.links {
		all = append(all, k.plugin)
	}
	f.mu.Unlock()
	for _, p := range all {
		do(p)
	}
}

func (f *fake) Source() workload.Source {
	return New(Options{Socket: f.proxy.Path, Patience: 20 * time.Millisecond})
}

func (f *fake) Start(value string) string {
	f.mu.Lock()
	f.n++
	id := fmt.Sprintf("%064x", f.n)
	p := &api.PodSandbox{Id: "pod-" + id, Name: "pod", Namespace: "prod", Labels: map[string]string{"team": value}}
	f.pods[id] = p
	f.mu.Unlock()
	ctx := context.Background()
	f.each(func(x api.PluginService) {
		k := container(id, p)
		r, err := x.CreateContainer(ctx, &api.CreateContainerRequest{Pod: p, Container: k})
		if err == nil && (r.GetAdjust() != nil || len(r.GetUpdate()) > 0) {
			f.t.Errorf("an adjustment: %+v", r)
		}
		if f.old {
			_, _ = x.StateChange(ctx, &api.StateChangeEvent{Event: api.Event_RUN_POD_SANDBOX, Pod: p})
			_, _ = x.StateChange(ctx, &api.StateChangeEvent{Event: api.Event_START_CONTAINER, Pod: p, Container: k})
			return
		}
		_, _ = x.RunPodSandbox(ctx, &api.RunPodSandboxRequest{Pod: p})
		_, _ = x.StartContainer(ctx, &api.StartContainerRequest{Pod: p, Container: k})
	})
	return id
}

func (f *fake) Remove(id string) {
	f.mu.Lock()
	p := f.pods[id]
	delete(f.pods, id)
	f.mu.Unlock()
	ctx := context.Background()
	f.each(func(x api.PluginService) {
		if f.old { // a container whose pod goes with it
			_, _ = x.StateChange(ctx, &api.StateChangeEvent{Event: api.Event_REMOVE_POD_SANDBOX, Pod: p})
			return
		}
		_, _ = x.RemoveContainer(ctx, &api.RemoveContainerRequest{Pod: p, Container: container(id, p)})
	})
}

func (f *fake) Cut() func() { return f.proxy.Cut() }
func (f *fake) Restart()    { f.shut(); f.proxy.CutOnce(); f.serve() }

func (f *fake) shut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.l.Close()
	for k := range f.links {
		_ = k.mux.Close()
		delete(f.links, k)
	}
}

func TestConforms(t *testing.T) {
	for name, set := range map[string]func(*fake){"new": func(*fake) {}, "old": func(f *fake) { f.old = true }, "in parts": func(f *fake) { f.parts = true }} {
		t.Run(name, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.World {
				f := newFake(t)
				set(f)
				return f
			})
		})
	}
}

// connected gives a source that follows f, and its registry.
func connected(t *testing.T, f *fake, o Options) (*Source, *workload.Registry) {
	t.Helper()
	o.Socket = f.proxy.Path
	s, r := New(o), workload.NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); workload.Follow(ctx, s, r, nil) }()
	t.Cleanup(func() { cancel(); <-done })
	for end := time.Now().Add(time.Minute); !r.Status()[0].Connected; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not connected")
		}
	}
	return s, r
}

// What must be done before a container runs is done before the runtime has its
// answer, and the runtime does not wait for one that hangs.
func TestStartWaitsForWhatMustBeDone(t *testing.T) {
	f := newFake(t)
	s, r := connected(t, f, Options{Patience: 10 * time.Second})
	seen := ""
	r.OnStart(func(c workload.Container) { time.Sleep(20 * time.Millisecond); seen = c.Labels["team"] })
	f.Start("a")
	if seen != "a" {
		t.Error("the runtime had its answer before")
	}
	if n := s.Stats(); n.Late != 0 || n.Calls == 0 || n.Buckets[len(n.Buckets)-1] != n.Calls {
		t.Errorf("%+v", n)
	}
}

func TestStartDoesNotWaitForEver(t *testing.T) {
	f := newFake(t)
	s, r := connected(t, f, Options{Patience: time.Millisecond})
	hang := make(chan struct{})
	defer close(hang)
	r.OnStart(func(workload.Container) { <-hang })
	for range mostWaiting + 10 {
		f.Start("a")
	}
	if n := s.Stats().Late; n != mostWaiting+10 {
		t.Errorf("%d let go", n)
	}
}

// The stub of the NRI module would hang here for ever.
func TestCutBetweenRegisteringAndConfiguring(t *testing.T) {
	f := newFake(t)
	f.mute = true
	s := New(Options{Socket: f.proxy.Path})
	r := workload.NewRegistry()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background(), r.Feed(workload.FromNRI)) }()
	for {
		f.proxy.CutOnce()
		select {
		case err := <-ended:
			if err == nil || r.Status()[0].Connected {
				t.Errorf("%v, %+v", err, r.Status()[0])
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestWhyNobodyAnswers(t *testing.T) {
	err := New(Options{Socket: filepath.Join(testkit.SocketDir(t), "none")}).Run(context.Background(), workload.NewRegistry().Feed(workload.FromNRI))
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.NoPeer {
		t.Errorf("%v", err)
	}
}

// FuzzCalls: whatever a runtime sends gets an answer that changes nothing.
func FuzzCalls(f *testing.F) {
	b, _ := (&api.CreateContainerRequest{Pod: &api.PodSandbox{Id: "p"}, Container: &api.Container{Id: "c"}}).MarshalVT()
	f.Add(b, uint8(4))
	f.Add([]byte{0x0a, 0x00, 0x12, 0x00}, uint8(6))
	f.Fuzz(func(t *testing.T, b []byte, event uint8) {
		r := workload.NewRegistry()
		c := &session{s: New(Options{}), to: r.Feed(workload.FromNRI), synced: make(chan struct{}), kids: map[string]map[string]bool{}}
		ctx := context.Background()
		var req api.CreateContainerRequest
		if req.UnmarshalVT(b) == nil {
			if out, err := c.CreateContainer(ctx, &req); err != nil || out.GetAdjust() != nil {
				t.Fatalf("%+v, %v", out, err)
			}
		}
		var e api.StateChangeEvent
		if e.UnmarshalVT(b) == nil {
			e.Event = api.Event(event)
			if _, err := c.StateChange(ctx, &e); err != nil {
				t.Fatal(err)
			}
		}
		var sync api.SynchronizeRequest
		if sync.UnmarshalVT(b) == nil {
			if _, err := c.Synchronize(ctx, &sync); err != nil {
				t.Fatal(err)
			}
		}
	})
}
