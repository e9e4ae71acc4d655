/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * kernel.h: the few kernel types that iolat.bpf.c reads, written by hand.
 *
 * Only names and types matter here: each access is a CO-RE relocation, and the
 * loader puts in the true offset from the running kernel's BTF. Member order
 * and everything that is left out are therefore of no consequence.
 */
#ifndef ANOLE_IOLAT_KERNEL_H
#define ANOLE_IOLAT_KERNEL_H

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
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct blkcg_gq *bi_blkg;
};

struct gendisk {
	int major;
	int first_minor;
};

struct request_queue {
	struct gendisk *disk; /* Linux 5.15 */
};

struct request {
	struct request_queue *q;
	struct bio *bio;
	__u64 start_time_ns;
};

#pragma clang attribute pop

#endif
