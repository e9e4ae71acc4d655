//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * iolat.bpf.c: how long the requests of chosen cgroups take, as one histogram
 * for each disk: from when a request was made, the wait in an IO scheduler
 * included, to when the disk has done it.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/*
 * The buckets are those of runq.bpf.c. bpf2go hands these numbers to Go, so each
 * is written once, here.
 */
enum shape {
	MIN_LOG = 8,
	MAX_LOG = 36,
	SUB_LOG = 2,
	SUBS = 1 << SUB_LOG,
	BUCKETS = (MAX_LOG - MIN_LOG) * SUBS + 2,
	MAX_UP = 8,    /* levels above a group that are looked at */
	MAX_DISKS = 256,
};

struct cell {
	__u64 sum_ns;
	__u64 buckets[BUCKETS];
};

/* major << 20 | minor of a disk -> its histogram. User space makes the entries:
 * a disk without one is not measured. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_DISKS);
	__type(key, __u32);
	__type(value, struct cell);
} disks SEC(".maps");

/* Ids of cgroups of the io (v2) or blkio (v1) hierarchy whose requests count. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} cgroups SEC(".maps");

/* Keeps the enum in BTF, where bpf2go finds it. */
const volatile enum shape shape_anchor = SUBS;

/* floor(log2(v)) of v > 0, by halving. */
static __always_inline __u32 log2_of(__u64 v)
{
	__u32 r = 0;

	if (v >> 32) { v >>= 32; r += 32; }
	if (v >> 16) { v >>= 16; r += 16; }
	if (v >> 8) { v >>= 8; r += 8; }
	if (v >> 4) { v >>= 4; r += 4; }
	if (v >> 2) { v >>= 2; r += 2; }
	return r + (v >> 1);
}

static __always_inline __u32 bucket_of(__u64 ns)
{
	__u32 log;

	if (!(ns >> MIN_LOG))
		return 0;
	if (ns >> MAX_LOG)
		return BUCKETS - 1;
	log = log2_of(ns);
	return (log - MIN_LOG) * SUBS + (ns >> (log - SUB_LOG) & (SUBS - 1)) + 1;
}

/* A group inside one that counts belongs to it. */
static __always_inline int counts(struct cgroup_subsys_state *css)
{
	for (int up = 0; up < MAX_UP && css; up++) {
		__u64 id = css->cgroup->kn->id;

		if (bpf_map_lookup_elem(&cgroups, &id))
			return 1;
		css = css->parent;
	}
	return 0;
}

SEC("tp_btf/block_rq_complete")
int request_done(__u64 *ctx)
{
	struct request *rq = (struct request *)ctx[0];
	__u64 began = rq->start_time_ns, now;
	struct blkcg_gq *blkg;
	struct bio *bio = rq->bio;
	struct cell *cell;
	__u32 dev, b;

	if (!bio || !began)
		return 0;
	blkg = bio->bi_blkg;
	if (!blkg)
		return 0;
	dev = (__u32)rq->q->disk->major << 20 | (__u32)rq->q->disk->first_minor;
	cell = bpf_map_lookup_elem(&disks, &dev);
	if (!cell || !counts(&blkg->blkcg->css))
		return 0;
	now = bpf_ktime_get_ns();
	if (now < began)
		return 0;
	b = bucket_of(now - began);
	barrier_var(b); /* what is checked is what is used: verifiers before 6.3 or so see no more */
	if (b >= BUCKETS)
		return 0;
	__sync_fetch_and_add(&cell->sum_ns, now - began);
	__sync_fetch_and_add(&cell->buckets[b], 1);
	return 0;
}
