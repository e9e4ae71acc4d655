//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * runq.bpf.c: how long tasks wait for a CPU, as one histogram per class.
 *
 * Two sources of the wait, of which the loader takes one:
 *
 *   stamp_wakeup, stamp_new,    take the time at wakeup or preemption and the
 *   stamp_switch                difference at switch-in.
 *   account_switch              reads what the scheduler keeps anyway
 *                               (task_struct.sched_info, CONFIG_SCHED_INFO):
 *                               one program and no clock read, but short waits
 *                               come out too short, see there.
 *
 * All run with interrupts off and a run queue locked, so a CPU never nests
 * them, and what is written per CPU needs no atomics.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/*
 * Bucket 0 holds waits below 2^MIN_LOG ns, the last one those of 2^MAX_LOG ns
 * and more; between them each power of two is cut into SUBS equal parts.
 * bpf2go hands these numbers to Go, so each is written once, here.
 */
enum shape {
	CLASSES = 16,
	MIN_LOG = 8,
	MAX_LOG = 36,
	SUB_LOG = 2,
	SUBS = 1 << SUB_LOG,
	BUCKETS = (MAX_LOG - MIN_LOG) * SUBS + 2,
	CACHE_SLOTS = 1024,
	MEMO_SLOTS = 16384,
	GEN_BITS = 20,
	CLASS_BITS = 4,
	MAX_UP = 8,        /* levels above a group that are looked at for its class */
	STEER_CPUS = 1024, /* CPUs that steering knows */
	STEER_SCAN = 64,   /* and how many of them one wakeup looks at */
	STEER_SLOTS = 1024,
	CLAIM_NS = 1000000,
};

/* One class on one CPU, padded to a multiple of a cache line. */
struct cell {
	__u64 sum_ns;
	__u64 switches;
	__u64 preempted;
	__u64 throttled;
	__u64 behind_ns;
	__u64 buckets[BUCKETS];
	__u64 behind[BUCKETS];
	__u64 pad[7];
};

/* Written on one CPU each, read by user space through mmap without a syscall.
 * Index cpu * CLASSES + class; the loader sets max_entries,
 * for which one CPU stands here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, struct cell);
} cells SEC(".maps");

/* Id of a cgroup of the cpu controller's hierarchy -> class. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} classes SEC(".maps");

/* Keeps the enum in BTF, where bpf2go finds it. */
const volatile enum shape shape_anchor = CLASSES;

/* Whether tasks without a class are counted, as class 0. */
const volatile __u8 count_unclassed = 0;

/* The class that waits are blamed on, 0 for none. */
const volatile __u8 blame = 0;

/* Bit c: tasks of class c are steered. */
const volatile __u16 steer = 0;

/* How many CPUs there are; bounds the search for a better one. */
const volatile __u32 steer_cpus = 0;

/* Bumped by user space after each change of `classes`; outdates class_cache. */
__u32 generation = 0;

/*
 * Direct-mapped cache in front of `classes`, also of the answer "none", so that
 * a switch of an unclassed task costs a few loads. A slot is one word (css
 * serial number, generation, class), so two CPUs cannot mix up their halves.
 * css.serial_nr is never used twice in the life of a kernel.
 */
__u64 class_cache[CACHE_SLOTS];

/*
 * One remembered number per task, direct-mapped by pid. key_xor holds key ^
 * value: when another task has taken the slot, or two CPUs wrote a word each,
 * the key does not come out and the memo counts as absent. Locks, allocation
 * under the run queue lock (which task storage would do) and deletion at task
 * exit are all avoided that way.
 */
struct memo {
	__u64 key_xor;
	__u64 value;
};

struct memo memos[MEMO_SLOTS];

static __always_inline struct memo *memo_of(struct task_struct *p)
{
	return &memos[(__u32)p->pid & (MEMO_SLOTS - 1)];
}

static __always_inline __u64 memo_key(struct task_struct *p, __u64 turn)
{
	return (__u64)p->pid << 32 | (__u32)turn;
}

static __always_inline void memo_put(struct memo *m, __u64 key, __u64 value)
{
	m->key_xor = key ^ value;
	m->value = value;
}

static __noinline __u32 class_by_id(__u64 id)
{
	__u8 *class = bpf_map_lookup_elem(&classes, &id);

	return class ? *class & (CLASSES - 1) : 0;
}

static __always_inline __u32 class_of(struct task_struct *p)
{
	struct task_group *tg = p->sched_task_group;
	__u64 serial = tg->css.serial_nr;
	__u64 tag, word;
	__u64 *slot;
	__u32 class;

	if (!serial) {
		/* An autogroup: no cgroup of its own, its tasks are in the root. */
		tg = tg->parent;
		serial = tg->css.serial_nr;
	}
	/* The generation is read before the map: a change in between leaves a
	 * slot that is already outdated, never one that is wrong. */
	tag = serial << (GEN_BITS + CLASS_BITS) |
	      (__u64)(*(volatile __u32 *)&generation & ((1 << GEN_BITS) - 1)) << CLASS_BITS;
	slot = &class_cache[serial & (CACHE_SLOTS - 1)];
	word = *(volatile __u64 *)slot;
	if ((word ^ tag) < CLASSES)
		return word & (CLASSES - 1);
	class = class_by_id(tg->css.cgroup->kn->id) & (CLASSES - 1);
	for (int up = 0; up < MAX_UP && !class; up++) {
		/* A group inside a workload belongs to it. */
		tg = tg->parent;
		if (!tg)
			break;
		class = class_by_id(tg->css.cgroup->kn->id) & (CLASSES - 1);
	}
	*(volatile __u64 *)slot = tag | class;
	return class;
}

static __always_inline struct cell *cell_of(__u32 class)
{
	__u32 key = bpf_get_smp_processor_id() * CLASSES + class;

	return bpf_map_lookup_elem(&cells, &key);
}

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

static __always_inline void record(struct cell *c, __u64 ns)
{
	__u32 b = bucket_of(ns);

	barrier_var(b); /* what is checked is what is used: verifiers before 6.3 or so see no more */
	if (b >= BUCKETS) /* never; the verifier cannot know */
		return;
	c->sum_ns += ns;
	c->buckets[b]++;
}

static __always_inline void record_behind(struct cell *c, __u64 ns)
{
	__u32 b = bucket_of(ns);

	barrier_var(b); /* what is checked is what is used: verifiers before 6.3 or so see no more */
	if (b >= BUCKETS)
		return;
	c->behind_ns += ns;
	c->behind[b]++;
}

static __always_inline void count_preemption(__u32 class)
{
	struct cell *c;

	if (!class && !count_unclassed)
		return;
	c = cell_of(class);
	if (c)
		c->preempted++;
}

/* Whether prev wants to run on: preempted whatever its state says (ctx[0]), or
 * gone through schedule() without going to sleep. Not the idle task. */
static __always_inline int preempted(__u64 *ctx, struct task_struct *prev)
{
	return prev->pid && (prev->__state == TASK_RUNNING || (ctx[0] & 1));
}

/* Whether prev stops running because its group ran out of quota: not a wait for
 * a CPU. Linux 6.18 throttles each task on its way to user space; before, the
 * group's queue is taken off as a whole while the switch is made. */
static __always_inline int throttled(struct task_struct *prev)
{
	if (bpf_core_field_exists(prev->throttled))
		return prev->throttled;
	if (bpf_core_field_exists(prev->se.cfs_rq->throttle_count))
		return prev->se.cfs_rq->throttle_count > 0;
	return 0;
}

static __always_inline void count_throttled(__u32 class)
{
	struct cell *c = cell_of(class);

	if (c)
		c->throttled++;
}

/*
 * Steering. The scheduler looks for an idle CPU for a waking task only while
 * the CPUs that share a cache have idle time (SIS_UTIL in select_idle_cpu,
 * kernel/sched/fair.c). Best-effort work that fills the node ends that search,
 * although a CPU that runs such work is as good as idle: a latency-sensitive
 * task is then queued behind another one, and stays there until a tick. Each
 * such wakeup is told to user space, which moves the task.
 */
enum { RUNS_IDLE = 0xff };

/* What each CPU runs: a class, or idle. */
__u8 running[STEER_CPUS];

/* When a CPU was last given to a steered task. It is not given again for
 * CLAIM_NS: the task is on its way. */
__u64 claimed[STEER_CPUS];

/* Tasks told of that still wait, by pid; user space looks here before it acts. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, STEER_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} waiting SEC(".maps");

struct misplaced {
	__u32 tid;
	__u32 cpu; /* where it would run at once */
};

/* Keeps the type in BTF. */
const volatile struct misplaced misplaced_anchor = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} misplacements SEC(".maps");

static __always_inline int yields(__u8 what)
{
	return what == RUNS_IDLE || (blame && what == blame);
}

static __always_inline void tell(struct task_struct *p, __u32 cpu, __u64 now)
{
	__u32 slot = (__u32)p->pid & (STEER_SLOTS - 1);
	struct misplaced *m;
	__u32 *w;

	w = bpf_map_lookup_elem(&waiting, &slot);
	m = bpf_ringbuf_reserve(&misplacements, sizeof(*m), 0);
	if (!m)
		return;
	if (w)
		*w = p->pid;
	claimed[cpu & (STEER_CPUS - 1)] = now;
	m->tid = p->pid;
	m->cpu = cpu;
	bpf_ringbuf_submit(m, 0);
}

/* Whether p may run on cpu. */
static __always_inline int allowed(struct task_struct *p, __u32 cpu)
{
	const struct cpumask *mask = p->cpus_ptr;
	unsigned long word = 0;

	bpf_probe_read_kernel(&word, sizeof(word), &mask->bits[cpu / 64 & 15]);
	return word >> (cpu & 63) & 1;
}

static __noinline int place(struct task_struct *p, __u64 now)
{
	__u32 here = p->wake_cpu;
	__u32 n = steer_cpus;
	__u32 i, cpu;

	if (here >= STEER_CPUS || yields(running[here]))
		return 0;
	if (n > STEER_CPUS)
		n = STEER_CPUS;
	for (i = 1; i < STEER_SCAN && i < n; i++) {
		cpu = here + i;
		if (cpu >= n)
			cpu -= n;
		if (cpu >= STEER_CPUS || !yields(running[cpu]))
			continue;
		if (now - claimed[cpu] < CLAIM_NS || !allowed(p, cpu))
			continue;
		tell(p, cpu, now);
		break;
	}
	return 0;
}

/* Written on change only: CPUs share the array's cache lines. */
static __always_inline void runs(__u8 what)
{
	__u8 *mine = &running[bpf_get_smp_processor_id() & (STEER_CPUS - 1)];

	if (*mine != what)
		*mine = what;
}

static __always_inline void arrived(struct task_struct *p)
{
	__u32 slot = (__u32)p->pid & (STEER_SLOTS - 1);
	__u32 *w = bpf_map_lookup_elem(&waiting, &slot);

	if (w && *w == p->pid)
		*w = 0;
}

/* Source 1: own time stamps. */

/* How often p was switched out: tells one stay on the queue from the next. */
static __always_inline __u64 turn_of(struct task_struct *p)
{
	return p->nvcsw + p->nivcsw;
}

static __always_inline int woken(struct task_struct *p)
{
	__u32 class = class_of(p);
	struct memo *m;
	__u64 key, now;

	if (!class && !count_unclassed)
		return 0;
	m = memo_of(p);
	key = memo_key(p, turn_of(p));
	/* Woken while it already waits (it was preempted on its way to sleep):
	 * the wait began with the first stamp. */
	if ((m->key_xor ^ m->value) == key)
		return 0;
	now = bpf_ktime_get_ns();
	memo_put(m, key, now);
	if (steer >> class & 1)
		place(p, now);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int stamp_wakeup(__u64 *ctx)
{
	return woken((struct task_struct *)ctx[0]);
}

SEC("tp_btf/sched_wakeup_new")
int stamp_new(__u64 *ctx)
{
	return woken((struct task_struct *)ctx[0]);
}

SEC("tp_btf/sched_switch")
int stamp_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u64 now = 0, since;
	struct memo *m;
	struct cell *c;
	__u32 class;

	if (preempted(ctx, prev)) {
		class = class_of(prev);
		if (!class && !count_unclassed) {
			/* not counted */
		} else if (throttled(prev)) {
			count_throttled(class);
		} else {
			count_preemption(class);
			now = bpf_ktime_get_ns();
			memo_put(memo_of(prev), memo_key(prev, turn_of(prev)), now);
		}
	}
	class = next->pid ? class_of(next) : 0;
	if (steer)
		runs(next->pid ? class : RUNS_IDLE);
	if (!next->pid)
		return 0;
	if (!class && !count_unclassed)
		return 0;
	c = cell_of(class);
	if (!c)
		return 0;
	c->switches++;
	if (steer >> class & 1)
		arrived(next);
	m = memo_of(next);
	since = m->value;
	if ((m->key_xor ^ since) != memo_key(next, turn_of(next)))
		return 0;
	if (!now)
		now = bpf_ktime_get_ns();
	since = now > since ? now - since : 0;
	record(c, since);
	/* prev may have gone to sleep by itself; what counts is who had the CPU. */
	if (blame && prev->pid && class_of(prev) == blame)
		record_behind(c, since);
	return 0;
}

/*
 * Source 2: the scheduler's own accounting.
 *
 * rq->clock is the time of the last update_rq_clock. __schedule makes one, but
 * not when a wakeup has just asked for the preemption (rq_clock_skip_update in
 * wakeup_preempt, kernel/sched/core.c): then the way from the wakeup to the
 * switch, usually microseconds, at most a tick, counts as 0. /proc/PID/schedstat
 * has the same gap.
 */

/*
 * The wait of next since it was last switched out or woken. sched_info holds
 * it in two parts: last_queued, on the clock of the queue it is on now, and,
 * for a task that was moved between queues while it waited, what it waited on
 * the former ones, already added to run_delay (sched_info_dequeue in
 * kernel/sched/stats.h). The trace point comes before sched_info_arrive, so
 * last_queued is still there; run_delay as of the last arrival is the memo.
 */
static __always_inline __u64 waited(struct task_struct *next, __u64 queued)
{
	__u64 leg = next->se.cfs_rq->rq->clock - queued;
	__u64 turn = next->sched_info.pcount;
	__u64 before = next->sched_info.run_delay;
	struct memo *m = memo_of(next);
	__u64 base = m->value;
	__u64 known = m->key_xor ^ base;

	if ((__s64)leg < 0)
		leg = 0;
	/* sched_info_arrive is about to do the same two sums. */
	memo_put(m, memo_key(next, turn + 1), before + leg);
	if (known == memo_key(next, turn) && before > base)
		leg += before - base;
	return leg;
}

SEC("tp_btf/sched_switch")
int account_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u32 class;
	__u64 queued;
	struct cell *c;

	if (preempted(ctx, prev))
		count_preemption(class_of(prev));
	if (!next->pid)
		return 0;
	class = class_of(next);
	if (!class && !count_unclassed)
		return 0;
	c = cell_of(class);
	if (!c)
		return 0;
	c->switches++;
	queued = next->sched_info.last_queued;
	if (queued)
		record(c, waited(next, queued));
	return 0;
}
