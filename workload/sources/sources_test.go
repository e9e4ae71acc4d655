package sources

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/workload"
)

// fakeCRI is a CRI runtime with one pod.
type fakeCRI struct {
	runtime.UnimplementedRuntimeServiceServer
}

func (fakeCRI) Version(context.Context, *runtime.VersionRequest) (*runtime.VersionResponse, error) {
	return &runtime.VersionResponse{RuntimeName: "fake", RuntimeVersion: "1"}, nil
}

func (fakeCRI) ListContainers(context.Context, *runtime.ListContainersRequest) (*runtime.ListContainersResponse, error) {
	return &runtime.ListContainersResponse{}, nil
}

func (fakeCRI) ListPodSandbox(context.Context, *runtime.ListPodSandboxRequest) (*runtime.ListPodSandboxResponse, error) {
	return &runtime.ListPodSandboxResponse{Items: []*runtime.PodSandbox{{Id: "p"}}}, nil
}

func serve(t *testing.T, path string, service bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	if service {
		runtime.RegisterRuntimeServiceServer(s, fakeCRI{})
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
}

// A socket where nothing of the kind answers is passed over, as docker's
// containerd, which has no CRI.
func TestAutoTakesTheFirstThatAnswers(t *testing.T) {
	root := testkit.SocketDir(t)
	serve(t, root+"/run/containerd/containerd.sock", false)
	serve(t, root+"/run/crio/crio.sock", true)
	s := New(Options{NRI: "off", Events: "off", Root: root})
	r := workload.NewRegistry()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx, r, nil) }()
	for end := time.Now().Add(time.Minute); r.Len() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%+v", r.Status())
		}
	}
	cancel()
	<-done
	for _, p := range s.Probes() {
		res := p.Result()
		if want := map[bool]feature.Answer{true: feature.Yes, false: feature.No}[res.Feature == "containers by cri"]; res.Answer != want {
			t.Errorf("%+v", res)
		}
	}
}

func TestNamedSocketIsNotGuessed(t *testing.T) {
	root := testkit.SocketDir(t)
	serve(t, root+"/run/crio/crio.sock", true)
	s := New(Options{NRI: "off", Events: "off", CRI: root + "/none", Root: root})
	err := s.all[0].Run(context.Background(), workload.NewRegistry().Feed(workload.FromCRI))
	var u *feature.UnsupportedError
	if !errors.As(err, &u) || u.Reason != feature.NoPeer {
		t.Errorf("%v", err)
	}
}
