package nri

import (
	"context"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"

	"github.com/anole-os/anole/workload"
)

// session answers the calls of one connection.
type session struct {
	s      *Source
	to     *workload.Feed
	once   sync.Once
	synced chan struct{} // closed when the runtime has told all containers

	mu      sync.Mutex
	runtime string
	version string
	more    []workload.Record          // of a Synchronize in parts
	kids    map[string]map[string]bool // containers by sandbox
	waiting int                        // calls that are still being seen to
}

// events are those that tell of a container's coming and going, all known to
// the first version of NRI that takes plugins from outside.
func events() int32 {
	var m api.EventMask
	m.Set(api.Event_RUN_POD_SANDBOX, api.Event_REMOVE_POD_SANDBOX, api.Event_CREATE_CONTAINER, api.Event_START_CONTAINER,
		api.Event_UPDATE_CONTAINER, api.Event_POST_UPDATE_CONTAINER, api.Event_REMOVE_CONTAINER)
	return int32(m)
}

func (c *session) Configure(_ context.Context, req *api.ConfigureRequest) (*api.ConfigureResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runtime, c.version = req.GetRuntimeName(), req.GetRuntimeVersion()
	return &api.ConfigureResponse{Events: events()}, nil
}

// Synchronize takes all containers of the runtime, in parts if there are many.
func (c *session) Synchronize(_ context.Context, req *api.SynchronizeRequest) (*api.SynchronizeResponse, error) {
	pods := map[string]*api.PodSandbox{}
	for _, p := range req.GetPods() {
		pods[p.GetId()] = p
	}
	c.mu.Lock()
	for _, p := range req.GetPods() {
		r := c.record(p, nil)
		r.Running = true
		c.more = append(c.more, r)
	}
	for _, k := range req.GetContainers() {
		c.adopt(k.GetPodSandboxId(), k.GetId())
		if s := k.GetState(); s != api.ContainerState_CONTAINER_STOPPED {
			r := c.record(pods[k.GetPodSandboxId()], k)
			r.Running = s == api.ContainerState_CONTAINER_RUNNING
			c.more = append(c.more, r)
		}
	}
	all, detail := c.more, c.runtime+" "+c.version+" at "+c.s.o.Socket
	if !req.GetMore() {
		c.more = nil
	}
	c.mu.Unlock()
	if !req.GetMore() {
		c.to.Replace(all)
		c.to.Up(detail)
		c.once.Do(func() { close(c.synced) })
	}
	return &api.SynchronizeResponse{More: req.GetMore()}, nil
}

// adopt notes whose container it is; the lock is held.
func (c *session) adopt(pod, id string) {
	if c.kids[pod] == nil {
		c.kids[pod] = map[string]bool{}
	}
	c.kids[pod][id] = true
}

// record puts together what the runtime says of a container, or with k nil of
// the sandbox itself.
func (c *session) record(p *api.PodSandbox, k *api.Container) workload.Record {
	r := workload.Record{PodUID: p.GetUid(), PodName: p.GetName(), Namespace: p.GetNamespace(), Runtime: c.runtime}
	if k == nil {
		r.ID, r.Sandbox, r.Labels, r.Annotations = p.GetId(), true, p.GetLabels(), p.GetAnnotations()
		return r
	}
	r.ID, r.Name, r.Image = k.GetId(), k.GetName(), k.GetImage().GetName()
	r.Cgroup = workload.CgroupPath(k.GetLinux().GetCgroupsPath())
	r.Labels = workload.Overlay(k.GetLabels(), p.GetLabels())
	r.Annotations = workload.Overlay(k.GetAnnotations(), p.GetAnnotations())
	return r
}

// made says a container, or with k nil a sandbox. running says that its cgroup
// is the runtime's no more.
func (c *session) made(p *api.PodSandbox, k *api.Container, running bool) {
	c.mu.Lock()
	if k != nil {
		c.adopt(p.GetId(), k.GetId())
	}
	rec := c.record(p, k)
	rec.Running = running
	c.mu.Unlock()
	c.to.Put(rec)
}

// gone drops a container, or with an empty id the sandbox with all that is in
// it: a container whose making failed is not always taken back one by one.
func (c *session) gone(pod, id string) {
	c.mu.Lock()
	var ids []string
	if id == "" {
		ids = append(ids, pod)
		for k := range c.kids[pod] {
			ids = append(ids, k)
		}
		delete(c.kids, pod)
	} else {
		ids = append(ids, id)
		delete(c.kids[pod], id)
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.to.Drop(id)
	}
}

// mostWaiting bounds the calls that are seen to at once: more than a few mean
// that whoever does it hangs, and then the runtime waits for none.
const mostWaiting = 64

// await has something done and waits for it, for a short while.
func (c *session) await(do func()) {
	c.mu.Lock()
	full := c.waiting >= mostWaiting
	if !full {
		c.waiting++
	}
	c.mu.Unlock()
	if full {
		c.s.stats.late.Add(1)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
		c.mu.Lock()
		c.waiting--
		c.mu.Unlock()
	}()
	t := time.NewTimer(c.s.o.Patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		c.s.stats.late.Add(1)
	}
}

// StateChange is how runtimes before NRI 0.11 tell of most events.
func (c *session) StateChange(_ context.Context, e *api.StateChangeEvent) (*api.Empty, error) {
	c.tell(e.GetEvent(), e.GetPod(), e.GetContainer())
	return &api.Empty{}, nil
}

func (c *session) tell(e api.Event, p *api.PodSandbox, k *api.Container) {
	switch e {
	case api.Event_RUN_POD_SANDBOX:
		c.made(p, nil, true)
	case api.Event_REMOVE_POD_SANDBOX:
		c.gone(p.GetId(), "")
	case api.Event_CREATE_CONTAINER:
		c.made(p, k, false)
	case api.Event_START_CONTAINER:
		c.made(p, k, true)
		c.await(func() { c.to.Starting(k.GetId()) })
	case api.Event_UPDATE_CONTAINER:
		c.await(func() { c.to.Updating(k.GetId(), false) })
	case api.Event_POST_UPDATE_CONTAINER:
		c.await(func() { c.to.Updating(k.GetId(), true) })
	case api.Event_REMOVE_CONTAINER:
		c.gone(p.GetId(), k.GetId())
	}
}

func (c *session) RunPodSandbox(_ context.Context, r *api.RunPodSandboxRequest) (*api.RunPodSandboxResponse, error) {
	c.tell(api.Event_RUN_POD_SANDBOX, r.GetPod(), nil)
	return &api.RunPodSandboxResponse{}, nil
}

func (c *session) RemovePodSandbox(_ context.Context, r *api.RemovePodSandboxRequest) (*api.RemovePodSandboxResponse, error) {
	c.tell(api.Event_REMOVE_POD_SANDBOX, r.GetPod(), nil)
	return &api.RemovePodSandboxResponse{}, nil
}

func (c *session) CreateContainer(_ context.Context, r *api.CreateContainerRequest) (*api.CreateContainerResponse, error) {
	c.tell(api.Event_CREATE_CONTAINER, r.GetPod(), r.GetContainer())
	return &api.CreateContainerResponse{}, nil
}

func (c *session) StartContainer(_ context.Context, r *api.StartContainerRequest) (*api.StartContainerResponse, error) {
	c.tell(api.Event_START_CONTAINER, r.GetPod(), r.GetContainer())
	return &api.StartContainerResponse{}, nil
}

func (c *session) RemoveContainer(_ context.Context, r *api.RemoveContainerRequest) (*api.RemoveContainerResponse, error) {
	c.tell(api.Event_REMOVE_CONTAINER, r.GetPod(), r.GetContainer())
	return &api.RemoveContainerResponse{}, nil
}

func (c *session) UpdateContainer(_ context.Context, r *api.UpdateContainerRequest) (*api.UpdateContainerResponse, error) {
	c.tell(api.Event_UPDATE_CONTAINER, r.GetPod(), r.GetContainer())
	return &api.UpdateContainerResponse{}, nil
}

func (c *session) PostUpdateContainer(_ context.Context, r *api.PostUpdateContainerRequest) (*api.PostUpdateContainerResponse, error) {
	c.tell(api.Event_POST_UPDATE_CONTAINER, r.GetPod(), r.GetContainer())
	return &api.PostUpdateContainerResponse{}, nil
}

// What follows is not subscribed to.

func (c *session) Shutdown(context.Context, *api.Empty) (*api.Empty, error) {
	return &api.Empty{}, nil
}

func (c *session) UpdatePodSandbox(context.Context, *api.UpdatePodSandboxRequest) (*api.UpdatePodSandboxResponse, error) {
	return &api.UpdatePodSandboxResponse{}, nil
}

func (c *session) PostUpdatePodSandbox(context.Context, *api.PostUpdatePodSandboxRequest) (*api.PostUpdatePodSandboxResponse, error) {
	return &api.PostUpdatePodSandboxResponse{}, nil
}

func (c *session) StopPodSandbox(context.Context, *api.StopPodSandboxRequest) (*api.StopPodSandboxResponse, error) {
	return &api.StopPodSandboxResponse{}, nil
}

func (c *session) PostCreateContainer(context.Context, *api.PostCreateContainerRequest) (*api.PostCreateContainerResponse, error) {
	return &api.PostCreateContainerResponse{}, nil
}

func (c *session) PostStartContainer(context.Context, *api.PostStartContainerRequest) (*api.PostStartContainerResponse, error) {
	return &api.PostStartContainerResponse{}, nil
}

func (c *session) StopContainer(context.Context, *api.StopContainerRequest) (*api.StopContainerResponse, error) {
	return &api.StopContainerResponse{}, nil
}

func (c *session) ValidateContainerAdjustment(context.Context, *api.ValidateContainerAdjustmentRequest) (*api.ValidateContainerAdjustmentResponse, error) {
	return &api.ValidateContainerAdjustmentResponse{}, nil
}
