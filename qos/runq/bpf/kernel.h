/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kernel.h: the few kernel types that runq.bpf.c reads, written by hand.
 *
 * Only names and types matter here: each access is a CO-RE relocation, and the
 * loader puts in the true offset from the running kernel's BTF. Member order
 * and everything that is left out are therefore of no consequence.
 */
#ifndef ANOLE_RUNQ_KERNEL_H
#define ANOLE_RUNQ_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* include/uapi/linux/bpf.h, which cannot be included: it wants the asm/
 * headers of a host architecture, and this object is for every one. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_F_MMAPABLE = 1U << 10,
};

#define TASK_RUNNING 0 /* include/linux/sched.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	__u64 serial_nr;
};

struct task_group {
	struct cgroup_subsys_state css;
	struct task_group *parent;
};

struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
	int throttle_count; /* CONFIG_CFS_BANDWIDTH */
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct cpumask {
	unsigned long bits[16]; /* as many as there are; 1024 CPUs here */
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct task_struct {
	unsigned int __state;
	int pid;
	unsigned long nvcsw;
	unsigned long nivcsw;
	struct sched_entity se;
	struct task_group *sched_task_group;
	struct sched_info sched_info;
	const struct cpumask *cpus_ptr;
	int wake_cpu; /* __set_task_cpu keeps it equal to the CPU; CONFIG_SMP */
	_Bool throttled; /* Linux 6.18, CONFIG_CFS_BANDWIDTH */
};

#pragma clang attribute pop

#endif
