// Package run starts one command as a workload of its own: in a cgroup
// /anole-<class>/<name>, with limits, whether an agent runs on the node or not.
//
// The command is inside its cgroup before its first instruction. Standard
// streams, inherited descriptors, controlling terminal, process group, signals
// and exit code are as if the command had been started directly.
//
// Nothing stays behind. When the command ends, what it left running is killed
// and the cgroup removed. When the runner is killed, a guard process does that;
// when both are killed, [Sweep] does, by the record that every run keeps from
// before its cgroup exists until after it is gone.
//
// Three processes of the same program take part: the runner ([Run]), the guard
// ([GuardMain]) and, on cgroup v1 and kernels before 5.7, the stage ([Stage]),
// which joins the cgroups and then becomes the command.
package run
