// Package runq measures how long tasks wait for a CPU: run-queue latency, as
// one histogram for each class of cgroups, taken in the kernel by eBPF.
//
// A wait begins when a task becomes runnable (woken, created, or preempted
// while it still wants to run) and ends when it is switched in. It includes
// the time a task stands on a queue because its cgroup's CPU quota is used up:
// to the workload that is the same. It does not include the way of a remote
// wakeup to the target CPU, as sched_wakeup does not either.
//
// # Classes and cgroups
//
// A class is a number from 1 to [MaxClass]; what it means is up to the caller.
// [Tracer.SetClass] puts a cgroup into a class. What counts is the cgroup of
// the cpu controller: on cgroup v1 the directory below the cpu hierarchy, on
// v2 the nearest ancestor directory that has the cpu controller enabled. A
// directory of any other hierarchy (also of a v2 tree mounted beside a v1 cpu
// controller) names a cgroup that no task's scheduling belongs to, and its
// number may even be that of a foreign cpu cgroup: pass [CgroupID] the path in
// the cpu hierarchy. A class is not inherited by child cgroups.
//
// # Sources
//
// [Stamps] takes the time at sched_wakeup, sched_wakeup_new and preemption, and
// the difference at switch-in. [Accounting] reads at sched_switch what the
// scheduler notes anyway (CONFIG_SCHED_INFO, in every distribution's kernel):
// less than half of the cost, and the sum is that of /proc/PID/schedstat to the
// nanosecond, but, as there, a wakeup that preempts at once counts as a wait of
// nearly 0, where Stamps sees the microseconds that the switch takes. From some
// 100 µs up the two agree.
//
// A wait whose beginning is not known is left out; it shows as
// [ClassStats].Switches beyond Wait.Count. That is one for each task that was
// queued when its cgroup got a class, and those of two tasks, both of a class,
// whose pids are equal modulo 16384 and that wait at the same time.
//
// Nothing is pinned: the programs leave the kernel with the process, however it
// ends. Needs Linux 5.14 or later with BTF and CONFIG_CGROUP_SCHED, and CAP_BPF
// with CAP_PERFMON; [Probe] tells.
package runq
