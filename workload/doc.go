// Package workload says what runs on a node: a table of workloads found in the
// cgroup tree, and rules that pick some of them.
//
// A workload is the outermost container, systemd service or scope on a path, a
// group that anole made, or, where a path names none of these, any cgroup that
// holds processes itself. What lies inside a workload belongs to it. Slices and
// pods are the way to a workload, not one, unless they hold processes.
//
// A Table follows the tree by inotify, which kernfs feeds for directories made
// and removed by people and programs, and by looking again now and then at what
// the kernel does not announce: a process that enters or leaves an existing
// group. It has no goroutine; its owner calls Refresh.
package workload
