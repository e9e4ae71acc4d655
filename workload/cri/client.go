package cri

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/anole-os/anole/workload"
)

// client is one connection.
type client struct {
	rpc     runtime.RuntimeServiceClient
	to      *workload.Feed
	runtime string
}

func (c *client) version(ctx context.Context) (*runtime.VersionResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	return c.rpc.Version(ctx, &runtime.VersionRequest{})
}

// list asks for all pods and containers and says them.
func (c *client) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	// Containers first: the pod of each was there before it and still is asked
	// for, so that only one that goes meanwhile is missing.
	ks, err := c.rpc.ListContainers(ctx, &runtime.ListContainersRequest{})
	if err != nil {
		return err
	}
	ps, err := c.rpc.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	c.to.Replace(c.records(ps.GetItems(), ks.GetContainers()))
	return nil
}

// records puts lists together. What has ended is left out, and so is a
// container without its pod.
func (c *client) records(pods []*runtime.PodSandbox, containers []*runtime.Container) []workload.Record {
	byID := make(map[string]pod, len(pods))
	var out []workload.Record
	for _, p := range pods {
		byID[p.GetId()] = pod{p.GetMetadata(), p.GetLabels(), p.GetAnnotations()}
		if p.GetState() == runtime.PodSandboxState_SANDBOX_READY {
			out = append(out, c.sandbox(p.GetId(), p.GetCreatedAt(), byID[p.GetId()]))
		}
	}
	for _, k := range containers {
		p, ok := byID[k.GetPodSandboxId()]
		if ok && k.GetState() != runtime.ContainerState_CONTAINER_EXITED {
			r := c.container(k, p)
			r.Running = k.GetState() == runtime.ContainerState_CONTAINER_RUNNING
			out = append(out, r)
		}
	}
	return out
}

// pod is what is the same for all containers of one.
type pod struct {
	meta                *runtime.PodSandboxMetadata
	labels, annotations map[string]string
}

func (c *client) sandbox(id string, created int64, p pod) workload.Record {
	return workload.Record{
		ID: id, PodUID: p.meta.GetUid(), PodName: p.meta.GetName(), Namespace: p.meta.GetNamespace(),
		Labels: p.labels, Annotations: p.annotations, Runtime: c.runtime, Sandbox: true, Created: at(created),
	}
}

// described is what a container in a list and one in an event have in common.
type described interface {
	GetId() string
	GetMetadata() *runtime.ContainerMetadata
	GetImage() *runtime.ImageSpec
	GetLabels() map[string]string
	GetAnnotations() map[string]string
	GetCreatedAt() int64
}

func (c *client) container(k described, p pod) workload.Record {
	r := c.sandbox(k.GetId(), k.GetCreatedAt(), p)
	r.Sandbox, r.Name, r.Image = false, k.GetMetadata().GetName(), k.GetImage().GetImage()
	r.Labels, r.Annotations = workload.Overlay(k.GetLabels(), p.labels), workload.Overlay(k.GetAnnotations(), p.annotations)
	return r
}

func at(ns int64) time.Time {
	if ns <= 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// poll lists until ctx is done or the runtime does not answer.
func (c *client) poll(ctx context.Context, every time.Duration, detail string) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		began := time.Now()
		if err := c.list(ctx); err != nil {
			return err
		}
		c.to.Up(detail)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		case <-c.to.Unknown():
			// The runtime makes a cgroup before its lists have the container, and
			// several in a row: look a moment later, once.
			if !pause(ctx, leastGap-time.Since(began), leastGap/5) {
				return ctx.Err()
			}
		}
	}
}

// pause waits for the longer of two times and says whether ctx is not done.
func pause(ctx context.Context, d, least time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(max(d, least)):
		return true
	}
}

// stream listens to events. The list comes after the stream is open, so that
// nothing is missed in between.
func (c *client) stream(ctx context.Context, detail func(how string) string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.rpc.GetContainerEvents(ctx, &runtime.GetEventsRequest{})
	if err != nil {
		return err
	}
	events, ended := make(chan *runtime.ContainerEventResponse, 64), make(chan error, 1)
	go func() {
		for {
			e, err := s.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := c.listUnless(ctx, ended); err != nil {
		return err
	}
	c.to.Up(detail("its event stream"))
	t := time.NewTicker(relist)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case e := <-events:
			c.tell(e)
		case <-t.C:
			if err := c.list(ctx); err != nil {
				return err
			}
		}
	}
}

// listUnless lists, unless the stream has been refused already.
func (c *client) listUnless(ctx context.Context, ended <-chan error) error {
	if err := c.list(ctx); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	default:
		return nil
	}
}

// tell says what an event does. It carries the pod and all its containers as
// they are now.
func (c *client) tell(e *runtime.ContainerEventResponse) {
	switch e.GetContainerEventType() {
	case runtime.ContainerEventType_CONTAINER_STOPPED_EVENT, runtime.ContainerEventType_CONTAINER_DELETED_EVENT:
		c.to.Drop(e.GetContainerId())
		return
	}
	s := e.GetPodSandboxStatus()
	if s == nil {
		return
	}
	p := pod{s.GetMetadata(), s.GetLabels(), s.GetAnnotations()}
	if e.GetContainerId() == s.GetId() {
		c.to.Put(c.sandbox(s.GetId(), s.GetCreatedAt(), p))
	}
	for _, k := range e.GetContainersStatuses() {
		if k.GetState() != runtime.ContainerState_CONTAINER_EXITED {
			r := c.container(k, p)
			r.Running = k.GetState() == runtime.ContainerState_CONTAINER_RUNNING
			c.to.Put(r)
		}
	}
}

// unimplemented says that a runtime does not know the call; containerd 1.6 says
// so with an unknown code.
func unimplemented(err error) bool {
	return status.Code(err) == codes.Unimplemented || err != nil && strings.Contains(err.Error(), "not implemented")
}
