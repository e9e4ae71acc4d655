// Package events tells a workload.Registry of containers that containerd runs
// for others than Kubernetes, such as ctr and nerdctl: from its own API and its
// stream of events, in all of its namespaces. The calls it makes are the same
// in containerd 1.6, 1.7 and 2. Containers of containerd's CRI service are left
// to package cri, which knows their pods.
package events

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	events "github.com/containerd/containerd/api/services/events/v1"
	namespaces "github.com/containerd/containerd/api/services/namespaces/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
)

// Sockets are the places where containerd listens, in the order in which they
// are tried.
var Sockets = []string{
	"/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/run/docker/containerd/containerd.sock",
	"/run/k0s/containerd.sock",
}

// Source follows one containerd.
type Source struct{ socket string }

// New makes a Source. It opens nothing.
func New(socket string) *Source { return &Source{socket} }

// Origin implements workload.Source.
func (s *Source) Origin() workload.Origin { return workload.FromEvents }

const (
	askFor     = 10 * time.Second
	relist     = time.Minute // how often all is asked for beside the stream
	maxMessage = 16 << 20
)

// filters choose the events that are listened to (containerd's filter syntax).
var filters = []string{`topic~="^/containers/(create|update|delete)$"`, `topic~="^/tasks/(create|start)$"`}

type client struct {
	events     events.EventsClient
	containers containers.ContainersClient
	namespaces namespaces.NamespacesClient
	to         *workload.Feed
}

// Run implements workload.Source.
func (s *Source) Run(ctx context.Context, to *workload.Feed) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient("unix:"+s.socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)), grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("connect to containerd at %s: %w", s.socket, err)
	}
	defer conn.Close()
	c := &client{events.NewEventsClient(conn), containers.NewContainersClient(conn), namespaces.NewNamespacesClient(conn), to}
	// The list comes after the stream is open, so that nothing is missed.
	stream, err := c.events.Subscribe(ctx, &events.SubscribeRequest{Filters: filters})
	if err == nil {
		err = c.list(ctx)
	}
	if err != nil {
		return refused(s.socket, err)
	}
	to.Up("containerd at " + s.socket)
	return c.follow(ctx, stream)
}

func refused(socket string, err error) error {
	text := err.Error()
	no := func(r feature.Reason, need, fix string) error {
		return &feature.UnsupportedError{Feature: "containerd events", Reason: r, Need: need, Fix: fix, Err: errors.New(text)}
	}
	switch {
	case strings.Contains(text, syscall.ENOENT.Error()), strings.Contains(text, syscall.ECONNREFUSED.Error()):
		return no(feature.NoPeer, "containerd, listening at "+socket, "start it, or name its socket in workload.events")
	case status.Code(err) == codes.Unimplemented:
		return no(feature.NoPeer, "containerd's own API at "+socket, "name containerd's socket, not that of another runtime, in workload.events")
	case strings.Contains(text, syscall.EACCES.Error()):
		return no(feature.NoPrivilege, "access to "+socket, "run the agent as root")
	}
	return fmt.Errorf("ask containerd at %s: %w", socket, err)
}

// follow takes in events until the stream or ctx ends.
func (c *client) follow(ctx context.Context, stream events.Events_SubscribeClient) error {
	got, ended := make(chan *types.Envelope, 64), make(chan error, 1)
	go func() {
		for {
			e, err := stream.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case got <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	t := time.NewTicker(relist)
	defer t.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err = <-ended:
		case e := <-got:
			err = c.tell(ctx, e)
		case <-t.C:
			err = c.list(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// tell says what an event does.
func (c *client) tell(ctx context.Context, e *types.Envelope) error {
	id, gone := about(e)
	switch {
	case id == "":
		return nil
	case gone:
		c.to.Drop(key(e.GetNamespace(), id))
		return nil
	}
	ctx, cancel := c.in(ctx, e.GetNamespace())
	defer cancel()
	k, err := c.containers.Get(ctx, &containers.GetContainerRequest{ID: id})
	if status.Code(err) == codes.NotFound {
		return nil // the event that says so is on its way
	}
	if err != nil {
		return err
	}
	if r, ok := record(e.GetNamespace(), k.GetContainer()); ok {
		c.to.Put(r)
	}
	return nil
}

// list asks for all containers of all namespaces.
func (c *client) list(ctx context.Context) error {
	asked, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	ns, err := c.namespaces.List(asked, &namespaces.ListNamespacesRequest{})
	if err != nil {
		return err
	}
	var all []workload.Record
	for _, n := range ns.GetNamespaces() {
		in, cancel := c.in(ctx, n.GetName())
		list, err := c.containers.List(in, &containers.ListContainersRequest{})
		cancel()
		if err != nil {
			return err
		}
		for _, k := range list.GetContainers() {
			if r, ok := record(n.GetName(), k); ok {
				all = append(all, r)
			}
		}
	}
	c.to.Replace(all)
	return nil
}

// in gives a context for one question within a namespace of containerd.
func (c *client) in(ctx context.Context, namespace string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace), cancel
}
