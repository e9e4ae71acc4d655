// Package nri tells a workload.Registry of containers as a plugin of the Node
// Resource Interface: containerd 1.7 and later, and CRI-O, call it at each step
// of a container's life and wait for its answer. So it knows of a container
// before its cgroup is made, and can have what must be done before the
// container's program runs done in between.
//
// It never changes what the runtime does. Every answer is "no change", given
// from memory, and what it waits for is bounded by Options.Patience: a runtime
// waits for a plugin 2 s by default and then goes on without it, so that a
// plugin that is stopped delays pods but fails none. Nothing is adjusted in
// CreateContainer, and so neither linux.unified, which runc refuses on cgroup
// v1 together with the container: values set there would be the container's own
// for as long as it lives, with nothing in the journal to say what it had
// without them. In StartContainer the cgroup is there and its program is not
// yet run; what is written then is journalled and restored like everything
// else. The runtime calls before and after it changes the limits of a container
// that runs, too.
//
// The package speaks the protocol (pkg/api of github.com/containerd/nri) itself
// rather than through that module's stub, whose Start waits without a bound for
// a Configure that does not come when the connection is cut after registering.
package nri
