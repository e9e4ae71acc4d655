//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * tcprt.bpf.c: the times of each request on a TCP connection, told from its
 * segments alone.
 *
 * A request is a turn of the connection: the side that asks sends, then the side
 * that answers. tcp_probe sees each segment that comes in while the connection is
 * established, before the kernel works on it, so the state that it compares with
 * is the one before. What went out is seen by how far snd_nxt has come, and when
 * by first_tx_mstamp, the time that the kernel notes when a packet leaves with
 * nothing in flight: an answer begins with such a packet, as its request
 * acknowledged all that was sent before. inet_sock_set_state sees the rest: the
 * beginning, which tells the role, and the end.
 *
 *   server   T0 first segment of the request, T1 the last one before the answer,
 *            T2 first packet of the answer, T3 all of it acknowledged
 *   client   T0 first packet of the request, T1 all of it acknowledged, T2 first
 *            segment of the answer, T3 the last one
 *
 * Where reads is attached, at tcp_rcv_space_adjust, which each read of a program
 * calls, it tells when the program took the request up, and which one it was.
 *
 * All requests are counted per service, in histograms of the CPU that they end on.
 * A record of its own goes out for those that user space wants one of.
 *
 * A connection's calls are one after another: its lock is held. The kernel leaves
 * out a call that comes while another of the same program runs on the same CPU; a
 * segment that was not seen is found by rcv_nxt, and taken for one of now.
 */
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum shape {
	SERVER = 1, /* role */
	CLIENT = 2,

	IDLE = 0, /* state of a connection */
	REQUEST = 1,
	ANSWER = 2,

	/* flags of a record */
	OVERLAP = 1 << 0,    /* another request came in before the answer was acknowledged */
	PIGGYBACK = 1 << 1,  /* the acknowledgement of the answer came with data */
	ABORT_REQ = 1 << 2,  /* closed while the request was coming in or unanswered */
	ABORT_ANSWER = 1 << 3, /* closed before the answer was through */
	CLOSED = 1 << 4,     /* the connection ended with it */
	MIDWAY = 1 << 5,     /* the connection was there before anole */
	GUESSED = 1 << 6,    /* no time of the first packet, or an unseen segment: now */
	REORDER = 1 << 7,    /* segments came out of order */
	HALF_CLOSED = 1 << 8, /* the asking side's FIN came with the request */
	ZERO_WINDOW = 1 << 9,
	NO_DELAY = 1 << 10,  /* TCP_NODELAY */
	DELAYED_ACK = 1 << 11, /* the acknowledgement of the answer waited for its timer */

	/* phases */
	UPLOAD = 0,
	QUEUE,
	PROCESSING,
	SEND,
	DELIVERY,
	TOTAL,
	RTT,
	PHASES = 8,

	BUCKETS = 128, /* a power of two, for the verifier; 110 are used */

	/* what records are for, bits of emit */
	EMIT_ALL = 1,
	EMIT_SLOW = 2,   /* as slow as the service's limit, or slower */
	EMIT_FAILED = 4, /* aborted, or with retransmitted segments */
	EMIT_SAMPLE = 8,

	RING = 8 << 20,
	WAKE = 2048, /* records of a CPU, after each of which a reader is waked */
	SERVICES = 256,

	/* how long a delayed acknowledgement waits, TCP_DELACK_MIN to _MAX and a bit, ms */
	DELACK_LEAST = 30,
	DELACK_MOST = 220,
	MSEC = 1000000,
};

const volatile enum shape shape_anchor = IDLE;
/* When anole came, ns on CLOCK_MONOTONIC. */
const volatile __u64 since = 0;
/* Records are for these roles, as bits 1 << role. */
const volatile __u32 roles = 1 << SERVER | 1 << CLIENT;

/* What maps connections must be in to count, as bits. */
enum {
	BY_NETWORK = 1,
	BY_NETNS = 2,
	BY_CGROUP = 4,
};
const volatile __u32 filter = 0;

/* Changed while it runs. */
volatile __u32 emit = EMIT_ALL;
volatile __u32 sample_mask = 0; /* EMIT_SAMPLE: one of mask + 1 */
volatile __u32 skip_mask = 0;   /* of new connections, all but one of mask + 1 are left out */

struct tuple {
	__u32 local[4];
	__u32 remote[4];
	__u16 local_port;  /* of the host's order */
	__u16 remote_port;
	__u16 family;
	__u16 zero;
	__u32 netns;
};

/* What each segment reads comes first, in two cache lines. */
struct conn {
	__u8 role, state;
	__u8 shut; /* the window was found shut */
	__u8 zero;
	__u16 flags;
	__u16 zero2;
	__u32 slot; /* the service's place in counts */
	__u32 told; /* it was told of for being idle, before it ended */
	__u64 t0, t1, t2, t3, read, last; /* ns, CLOCK_MONOTONIC; 0 is not yet */
	__u32 rcv_from;  /* rcv_nxt when the request began */
	__u32 snd_from;  /* snd_nxt when it began (server), when its answer began, or what t1 is of (client) */
	__u32 snd_done;  /* snd_nxt that t3 is of */
	__u32 rcv_answer; /* client: rcv_nxt when the answer began */
	__u32 rcv_seen; /* the end of what was seen to come in */
	__u32 number; /* of requests before */
	__u32 retrans, reorder; /* totals when the request before ended */
	__u32 chrono[3]; /* likewise */
	__u32 zero_windows; /* since */
	__u32 queued;     /* ns that any write was in the qdisc, since; 4 s at most */
	__u32 inside;     /* how many are; one that is dropped never leaves */
	/* The rest is of records, and of what hardly comes. */
	__u64 id;         /* its key in heads */
	__u64 sched;      /* since when writes are in the qdisc */
	__u64 cgroup; /* id in the cgroup2 hierarchy */
	__u32 pid;
	struct tuple tuple;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conns SEC(".maps");

/* Connections that do not count, so that each is looked at once. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} ignored SEC(".maps");

/* Ports that somebody listened on when anole came: netns << 16 | port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u8);
} listeners SEC(".maps");

/* Local (server) or remote (client) ports that count; with an entry 0, all. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u16);
	__type(value, __u8);
} ports SEC(".maps");

/* Networks of the other side's addresses, those of IPv4 as ::ffff:0:0/96. */
struct network {
	__u32 bits;
	__u32 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct network);
	__type(value, __u8);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} namespaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u8);
} cgroups SEC(".maps");

struct record {
	struct tuple tuple;
	__u32 number;
	__u64 cgroup;
	__u64 t0, t1, read, t2, last, t3;
	__u64 end; /* when it was told */
	__u32 queued;
	__u32 request_seq, answer_seq;
	__u32 request_bytes, answer_bytes;
	__u32 unacked; /* bytes of an answer that was not acknowledged */
	__u32 retrans, reorder, zero_windows;
	__u32 chrono[3]; /* jiffies */
	__u32 rtt_us, min_rtt_us;
	__u32 mss;
	__u32 pid;
	__u16 flags;
	__u8 role;
	__u8 zero;
	char comm[16];
	__u32 zero2;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING);
} records SEC(".maps");

struct total {
	__u64 records;
	__u64 dropped; /* no room in the ring */
	__u64 synacks; /* retransmitted, of connections that are none yet */
	__u64 strays;  /* retransmitted segments of connections that never were */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct total);
} totals SEC(".maps");

/* A service: requests of one role, port, network namespace and cgroup. */
struct service {
	__u64 cgroup;
	__u32 netns;
	__u16 port; /* the server's */
	__u8 role;
	__u8 zero;
};

/* Places in counts; 0 is for those that found none free. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SERVICES);
	__type(key, struct service);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, SERVICES);
	__uint(value_size, sizeof(__u32));
} places SEC(".maps");

/* What a CPU counted of a service. */
struct count {
	__u64 requests, aborted_requests, aborted_answers, overlaps, piggybacks;
	__u64 request_bytes, answer_bytes;
	__u64 retrans, reorder, zero_windows;
	__u64 chrono[3]; /* jiffies */
	__u64 opened, closed, unconnected; /* connections */
	__u64 sum[PHASES];    /* ns */
	__u32 zeros[PHASES];  /* of bucket 0, which many are in: beside the rest */
	__u32 buckets[PHASES][BUCKETS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SERVICES);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

/* From when on a service's requests are slow, ns. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SERVICES);
	__type(key, __u32);
	__type(value, __u64);
} limits SEC(".maps");

/* The process that made, or first read from, a service's latest connection. */
struct owner {
	__u32 pid;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SERVICES);
	__type(key, __u32);
	__type(value, struct owner);
} owners SEC(".maps");

/* Keeps types in BTF. */
const struct record *record_anchor __attribute__((unused));

#include "heads.h"

static __always_inline int after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

static __always_inline int wanted(__u16 port)
{
	__u16 all = 0;

	return bpf_map_lookup_elem(&ports, &port) || bpf_map_lookup_elem(&ports, &all);
}

static __always_inline __u64 span(__u64 from, __u64 to)
{
	return from && to > from ? to - from : 0;
}

/* 1 if a >= b, both under 2^63, with no branch: the verifier walks each. */
static __always_inline __u64 least(__u64 a, __u64 b)
{
	__u64 d = a - b;

	barrier_var(d);
	return ~d >> 63;
}

/* a where on is 1, b where it is 0. */
static __always_inline __u64 either(__u64 on, __u64 a, __u64 b)
{
	return b ^ ((a ^ b) & -on);
}

/*
 * The bucket of a duration: four to the octave, from 2^-20 s to 2^7 s, as the Go
 * side has them.
 */
static __always_inline __u32 bucket(__u64 ns)
{
	__u64 x, m, i, msb;

	ns = either(least(ns, 1ULL << 37), 1ULL << 37, ns);
	x = ns + (ns * 79179681 >> 30); /* in 2^-30 s */
	x = either(least(x, 1023), x, 1023); /* which is in bucket 0 */
	x = either(least(x, 1ULL << 37), 1ULL << 37, x); /* in the last */
	m = x;
	msb = least(m, 1ULL << 32) << 5;
	m >>= msb;
	i = least(m, 1 << 16) << 4;
	m >>= i;
	msb |= i;
	i = least(m, 1 << 8) << 3;
	m >>= i;
	msb |= i;
	i = least(m, 1 << 4) << 2;
	m >>= i;
	msb |= i;
	i = least(m, 1 << 2) << 1;
	m >>= i;
	msb |= i;
	msb |= m >> 1;
	m = x << (63 - msb) >> 32;
	return 1 + 4 * (msb - 10) + least(m, 0x9837f052) + least(m, 0xb504f334) + least(m, 0xd744fccb);
}

static __always_inline void observe(struct count *n, int phase, __u64 ns)
{
	n->sum[phase] += ns;
	if (ns < 954) /* most uploads are of one segment */
		n->zeros[phase]++;
	else
		n->buckets[phase][bucket(ns) & (BUCKETS - 1)]++;
}

/* Takes the addresses while the socket has them: a closed one has none. */
static __always_inline void name(struct tuple *t, struct sock *sk)
{
	t->family = sk->__sk_common.skc_family;
	t->local_port = sk->__sk_common.skc_num;
	t->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	t->netns = sk->__sk_common.skc_net.net->ns.inum;
	if (t->family == AF_INET) {
		t->local[0] = sk->__sk_common.skc_rcv_saddr;
		t->remote[0] = sk->__sk_common.skc_daddr;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		t->local[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
		t->remote[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
	}
}

/* The service's place in counts, which is taken if it has none. */
static __always_inline __u32 slot_of(struct conn *c, __u16 port)
{
	struct service key = {.cgroup = c->cgroup, .netns = c->tuple.netns, .port = port, .role = c->role};
	__u32 *known = bpf_map_lookup_elem(&services, &key);
	__u32 slot;

	if (known)
		return *known;
	if (bpf_map_pop_elem(&places, &slot))
		return 0;
	if (!bpf_map_update_elem(&services, &key, &slot, BPF_NOEXIST))
		return slot;
	bpf_map_push_elem(&places, &slot, 0); /* another CPU was first */
	known = bpf_map_lookup_elem(&services, &key);
	return known ? *known : 0;
}

/*
 * What the kernel keeps of a connection, for finish: a function that the verifier
 * walks on its own, which takes no pointer to a socket.
 */
struct seen {
	__u32 retrans, reorder;
	__u32 srtt_us, min_rtt_us;
	__u32 mss;
	__u32 unacked;
	__u32 chrono[3];
	__u32 no_delay;
};

/* How long what was sent was held up by each cause until now, see chrono_stat. */
static __always_inline void limited(struct tcp_sock *tp, __u32 *out)
{
	__u32 type = BPF_CORE_READ_BITFIELD(tp, chrono_type), sofar = 0;

	if (type)
		sofar = (__u32)bpf_jiffies64() - tp->chrono_start;
	out[0] = tp->chrono_stat[0] + (type == 1 ? sofar : 0);
	out[1] = tp->chrono_stat[1] + (type == 2 ? sofar : 0);
	out[2] = tp->chrono_stat[2] + (type == 3 ? sofar : 0);
}

static __always_inline void look(struct tcp_sock *tp, struct seen *s)
{
	s->retrans = tp->total_retrans;
	s->reorder = tp->rcv_ooopack;
	s->srtt_us = tp->srtt_us >> 3;
	s->min_rtt_us = tp->rtt_min.s[0].v;
	s->mss = tp->mss_cache;
	s->unacked = tp->write_seq - tp->snd_una;
	limited(tp, s->chrono);
	s->no_delay = BPF_CORE_READ_BITFIELD(tp, nonagle) & 1;
}

/* Whether connections of such addresses count. */
static __always_inline int passes(struct sock *sk)
{
	struct network from = {.bits = 128};
	__u32 netns = sk->__sk_common.skc_net.net->ns.inum;
	__u64 cgroup = sk->sk_cgrp_data.cgroup->kn->id;

	if (filter & BY_NETNS && !bpf_map_lookup_elem(&namespaces, &netns))
		return 0;
	if (filter & BY_CGROUP && !bpf_map_lookup_elem(&cgroups, &cgroup))
		return 0;
	if (!(filter & BY_NETWORK))
		return 1;
	if (sk->__sk_common.skc_family == AF_INET) {
		from.address[2] = bpf_htonl(0xffff);
		from.address[3] = sk->__sk_common.skc_daddr;
	} else {
		from.address[0] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0];
		from.address[1] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1];
		from.address[2] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2];
		from.address[3] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[3];
	}
	return bpf_map_lookup_elem(&networks, &from) != 0;
}

/* The connection's own, made if it counts. */
static __always_inline struct conn *open(struct sock *sk, __u32 role)
{
	__u16 port = role == SERVER ? sk->__sk_common.skc_num : bpf_ntohs(sk->__sk_common.skc_dport);
	struct count *n;
	struct conn *c;

	if (!(roles & 1 << role) || !wanted(port) || (skip_mask && bpf_get_prandom_u32() & skip_mask) || (filter && !passes(sk))) {
		bpf_sk_storage_get(&ignored, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		bpf_sk_storage_delete(&conns, sk); /* the socket may have had a connection before */
		return 0;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c)
		return 0;
	name(&c->tuple, sk);
	c->cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	c->role = role;
	if (l7) {
		__u64 id = (__u64)sk;

		c->id = id;
		bpf_map_delete_elem(&heads, &id); /* of a socket that was there before */
	}
	c->slot = slot_of(c, port);
	n = bpf_map_lookup_elem(&counts, &c->slot);
	if (n)
		n->opened++;
	return c;
}

/* From here on the connection counts. */
static __always_inline void start(struct conn *c, struct tcp_sock *tp)
{
	c->state = IDLE; /* the socket may have had a connection before */
	c->flags = c->number = c->told = 0;
	c->snd_from = tp->snd_nxt;
	c->rcv_from = c->rcv_seen = tp->rcv_nxt;
	c->retrans = tp->total_retrans;
	c->reorder = tp->rcv_ooopack;
	limited(tp, c->chrono);
}

/*
 * One that was there before has the role that its port tells, and counts from
 * what it sends or gets next.
 */
static __always_inline struct conn *join(struct sock *sk, struct tcp_sock *tp)
{
	__u64 key = (__u64)sk->__sk_common.skc_net.net->ns.inum << 16 | sk->__sk_common.skc_num;
	struct conn *c = open(sk, bpf_map_lookup_elem(&listeners, &key) ? SERVER : CLIENT);

	if (!c)
		return 0;
	start(c, tp);
	c->flags = MIDWAY;
	/* A client is first seen by what it gets: by the answer to a request that
	 * may have left since anole came. */
	if (c->role == CLIENT && tp->first_tx_mstamp * 1000 >= since)
		c->snd_from = tp->snd_una;
	return c;
}

static __always_inline void begin(struct conn *c, struct tcp_sock *tp, __u64 t0)
{
	c->flags &= MIDWAY;
	c->t0 = t0;
	c->t1 = c->t2 = c->t3 = c->read = c->last = 0;
	c->rcv_from = tp->rcv_nxt;
	c->state = REQUEST;
}

/*
 * When the first packet of what was just sent left, if the kernel knows. It is
 * noted for the first packet in flight only, and moves on with each
 * acknowledgement.
 */
static __always_inline __u64 left_at(struct conn *c, struct tcp_sock *tp, __u64 from, __u64 now)
{
	__u64 at = tp->first_tx_mstamp * 1000;

	/* It is of microseconds, and may so be just before. */
	if (at && at + 1000 >= from && at <= now)
		return at > from ? at : from;
	c->flags |= GUESSED;
	return now;
}

/* Whether it is to have a record. */
static __always_inline int emitted(struct conn *c, __u32 retrans, __u64 total)
{
	__u32 slot = c->slot; /* where every kernel takes a key from */
	__u64 *limit;

	if (emit & EMIT_ALL)
		return 1;
	if (emit & EMIT_FAILED && (retrans || c->flags & (ABORT_REQ | ABORT_ANSWER)))
		return 1;
	/* The ports spread it over connections that have few. */
	if (emit & EMIT_SAMPLE && !((c->number + c->tuple.local_port + c->tuple.remote_port) & sample_mask))
		return 1;
	if (!(emit & EMIT_SLOW))
		return 0;
	limit = bpf_map_lookup_elem(&limits, &slot);
	return limit && *limit && total >= *limit;
}

/* All that is known of the request; not the bytes and the time. */
static __always_inline void fill(struct record *r, struct conn *c, struct seen *s)
{
	r->tuple = c->tuple;
	r->number = c->number;
	r->cgroup = c->cgroup;
	r->t0 = c->t0;
	r->t1 = c->t1;
	r->read = c->read;
	r->t2 = c->t2;
	r->last = c->last;
	r->t3 = c->t3;
	r->queued = c->queued;
	if (c->role == SERVER) {
		r->request_seq = c->rcv_from;
		r->answer_seq = c->snd_from;
		r->unacked = c->t3 ? 0 : s->unacked;
	} else {
		r->request_seq = c->snd_done;
		r->answer_seq = c->rcv_answer;
		r->unacked = 0;
	}
	r->retrans = s->retrans - c->retrans;
	r->reorder = s->reorder - c->reorder;
	r->zero_windows = c->zero_windows;
	r->chrono[0] = s->chrono[0] - c->chrono[0];
	r->chrono[1] = s->chrono[1] - c->chrono[1];
	r->chrono[2] = s->chrono[2] - c->chrono[2];
	r->rtt_us = s->srtt_us;
	r->min_rtt_us = s->min_rtt_us;
	r->mss = s->mss;
	r->pid = c->pid;
	r->role = c->role;
	r->flags = c->flags | (r->reorder ? REORDER : 0) | (c->zero_windows ? ZERO_WINDOW : 0) | (s->no_delay ? NO_DELAY : 0);
	r->zero = r->zero2 = 0;
	__builtin_memcpy(r->comm, c->comm, sizeof(r->comm));
}

static __always_inline void tell(struct conn *c, struct seen *s, __u32 answer_bytes, __u32 request_bytes, __u64 now)
{
	__u32 zero = 0;
	struct total *sum = bpf_map_lookup_elem(&totals, &zero);
	struct record *r;

	if (!sum)
		return;
	if (l7) {
		struct whole *w = bpf_ringbuf_reserve(&records, sizeof(*w), 0);

		if (!w) {
			sum->dropped++;
			return;
		}
		fill(&w->record, c, s);
		w->record.end = now;
		w->record.answer_bytes = answer_bytes;
		w->record.request_bytes = request_bytes;
		add_heads(w, c->id);
		bpf_ringbuf_submit(w, ++sum->records & (WAKE - 1) ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
		return;
	}
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		sum->dropped++;
		return;
	}
	fill(r, c, s);
	r->end = now;
	r->answer_bytes = answer_bytes;
	r->request_bytes = request_bytes;
	/* A reader who polls is waked only when much is waiting. */
	bpf_ringbuf_submit(r, ++sum->records & (WAKE - 1) ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP);
}

/* Whether an acknowledgement came as late as one that waited for its timer. */
static __always_inline int delayed(__u64 late, __u32 bytes, __u32 mss)
{
	return bytes <= 2 * mss && late > DELACK_LEAST * MSEC && late < DELACK_MOST * MSEC;
}

/* Counts the request, tells of it if that is wanted, and ends it. */
__noinline int end(struct conn *c, struct seen *s, __u32 answer_bytes, __u32 request_bytes, __u64 now)
{
	__u64 upload, queue, processing, send, delivery, total, from;
	__u32 retrans, reorder, slot;
	struct count *n;

	if (!c || !s)
		return 0;
	slot = c->slot;
	n = bpf_map_lookup_elem(&counts, &slot);
	if (!n)
		return 0;
	retrans = s->retrans - c->retrans;
	reorder = s->reorder - c->reorder;
	if (__sync_lock_test_and_set(&c->told, 0)) /* list was first */
		goto over;
	upload = span(c->t0, c->t1);
	queue = span(c->t1, c->read);
	processing = span(c->read > c->t1 ? c->read : c->t1, c->t2);
	send = span(c->t2, c->last);
	from = c->last > c->t2 ? c->last : c->t2;
	delivery = span(from, c->t3);
	from = (__u64)s->min_rtt_us * 1000;
	if (c->role == SERVER && s->min_rtt_us && s->min_rtt_us != ~0U && delivery > from) {
		__u64 late = delivery - from;

		/* One packet or two, not lost: its acknowledgement waited. */
		if (!(c->flags & PIGGYBACK) && !retrans && delayed(late, answer_bytes, s->mss))
			c->flags |= DELAYED_ACK;
		if (c->flags & (PIGGYBACK | DELAYED_ACK))
			delivery = from;
	}
	total = upload + queue + processing + send + delivery;

	n->requests++;
	n->request_bytes += request_bytes;
	n->answer_bytes += answer_bytes;
	n->retrans += retrans;
	n->reorder += reorder;
	n->zero_windows += c->zero_windows;
	n->chrono[0] += s->chrono[0] - c->chrono[0];
	n->chrono[1] += s->chrono[1] - c->chrono[1];
	n->chrono[2] += s->chrono[2] - c->chrono[2];
	if (c->flags & OVERLAP)
		n->overlaps++;
	if (c->flags & PIGGYBACK)
		n->piggybacks++;
	/* An acknowledgement that came at once tells the path's round trip; srtt has the
	 * others too. */
	from = c->role == SERVER ? c->t3 : c->t1;
	if (!(c->flags & (PIGGYBACK | DELAYED_ACK | GUESSED)) && !retrans && c->last && from > c->last)
		observe(n, RTT, from - c->last);
	if (c->flags & ABORT_REQ) {
		n->aborted_requests++;
	} else if (c->flags & ABORT_ANSWER) {
		n->aborted_answers++;
	} else {
		observe(n, UPLOAD, upload);
		if (c->read)
			observe(n, QUEUE, queue);
		observe(n, PROCESSING, processing);
		if (c->last && c->role == SERVER)
			observe(n, SEND, send);
		observe(n, DELIVERY, delivery);
		observe(n, TOTAL, total);
	}
	if (emitted(c, retrans, total))
		tell(c, s, answer_bytes, request_bytes, now);
over:
	c->retrans = s->retrans;
	c->reorder = s->reorder;
	c->chrono[0] = s->chrono[0];
	c->chrono[1] = s->chrono[1];
	c->chrono[2] = s->chrono[2];
	c->zero_windows = 0;
	c->queued = c->inside = 0;
	c->number++;
	c->state = IDLE;
	return 0;
}

static __always_inline void finish(struct conn *c, struct tcp_sock *tp, __u32 answer_bytes, __u32 request_bytes, __u64 now)
{
	struct seen s;

	look(tp, &s);
	end(c, &s, answer_bytes, request_bytes, now);
	c->state = IDLE; /* which the verifier does not know */
}

static __always_inline void finish_server(struct conn *c, struct tcp_sock *tp, __u32 rcv_end, __u32 snd_end, __u64 now)
{
	if (c->snd_done)
		snd_end = c->snd_done;
	finish(c, tp, c->state == ANSWER ? snd_end - c->snd_from : 0, rcv_end - c->rcv_from, now);
}

/* The answer has begun if anything was sent since the request. */
static __always_inline void answered(struct conn *c, struct tcp_sock *tp, __u64 now)
{
	if (c->state != REQUEST || tp->snd_nxt == c->snd_from)
		return;
	c->state = ANSWER;
	c->t2 = left_at(c, tp, c->t1, now);
	if (c->read > c->t2) /* it was answered before it was read */
		c->read = 0;
}

/*
 * The program ends its half, which sends what was held back (TCP_CORK, Nagle) right
 * after this.
 */
static __always_inline __u64 flushed(struct conn *c, struct tcp_sock *tp, __u64 from, __u64 now)
{
	return tp->snd_nxt == c->snd_from ? now : left_at(c, tp, from, now);
}

/* The last packet of the answer left when the last one of all did. */
static __always_inline void sent(struct conn *c, struct tcp_sock *tp, __u64 now)
{
	__u64 at = tp->tcp_wstamp_ns; /* ahead of the time where packets are paced */

	c->last = at > now ? now : at > c->t2 ? at : c->t2;
}

/* Segments came in that were not seen: with the handshake, or left out. */
static __always_inline void unseen(struct conn *c, struct tcp_sock *tp, __u32 end, __u64 now)
{
	__u64 at = c->state == IDLE && !c->number && c->t0 ? c->t0 : now;
	__u32 snd = tp->snd_una;

	if (c->state == ANSWER && c->t3) {
		snd = c->snd_done;
		finish_server(c, tp, c->rcv_seen, snd, now);
	}
	if (c->state == ANSWER)
		c->flags |= OVERLAP;
	if (c->state == IDLE) {
		begin(c, tp, at);
		c->t1 = at;
		c->rcv_from = c->rcv_seen;
		c->snd_from = snd;
		c->snd_done = 0;
		c->flags |= at == now ? GUESSED : 0;
	}
	c->rcv_seen = end;
}

static __always_inline void server(struct conn *c, struct tcp_sock *tp, __u32 end, __u32 ack, __u64 now)
{
	int fresh = after(end, tp->rcv_nxt);

	if (after(tp->rcv_nxt, c->rcv_seen))
		unseen(c, tp, tp->rcv_nxt, now);
	answered(c, tp, now);
	if (c->state == ANSWER && ack == tp->snd_nxt && tp->write_seq == tp->snd_nxt && (!c->t3 || c->snd_done != ack)) {
		c->t3 = now;
		c->snd_done = ack;
		c->flags = (c->flags & ~PIGGYBACK) | (fresh ? PIGGYBACK : 0);
		sent(c, tp, now);
	}
	if (!fresh)
		return;
	if (after(end, c->rcv_seen))
		c->rcv_seen = end;
	if (c->state == ANSWER && c->t3 && c->snd_done == tp->snd_nxt) {
		finish_server(c, tp, tp->rcv_nxt, tp->snd_nxt, now);
	} else if (c->state == ANSWER) {
		c->flags |= OVERLAP;
		return;
	}
	if (c->state == IDLE) {
		begin(c, tp, now);
		c->snd_from = tp->snd_nxt;
		c->snd_done = 0;
	}
	c->t1 = now;
	c->read = 0;
}

/*
 * All of the client's request is acknowledged. If that waited for the answer to ride
 * on, or for its timer, the request was there long before: the least round trip
 * after its last packet left.
 */
static __always_inline void acked(struct conn *c, struct tcp_sock *tp, int fresh, __u64 now)
{
	__u64 left = tp->tcp_wstamp_ns, least = (__u64)tp->rtt_min.s[0].v * 1000;

	left = left > now ? now : left > c->t0 ? left : c->t0;
	c->last = left;
	c->t1 = now;
	if (!least || tp->rtt_min.s[0].v == ~0U || left + least > now)
		return;
	if (fresh)
		c->flags |= PIGGYBACK;
	else if (tp->total_retrans == c->retrans && delayed(now - left - least, tp->snd_nxt - c->snd_done, tp->mss_cache))
		c->flags |= DELAYED_ACK;
	else
		return;
	c->t1 = left + least;
}

static __always_inline void client(struct conn *c, struct tcp_sock *tp, __u32 end, __u32 ack, __u64 now)
{
	int fresh = after(end, tp->rcv_nxt);

	/* An answer, or its end, that was not seen. */
	if (after(tp->rcv_nxt, c->rcv_seen)) {
		if (c->state == REQUEST) {
			c->state = ANSWER;
			c->flags |= GUESSED;
			c->t2 = now;
			if (!c->t1)
				c->t1 = now;
			c->rcv_answer = c->rcv_seen;
			c->snd_from = tp->snd_una;
		}
		if (c->state == ANSWER)
			c->t3 = now;
		c->rcv_seen = tp->rcv_nxt;
	}
	/* Something was sent after what came in last. */
	if (c->state != REQUEST && tp->snd_nxt != c->snd_from) {
		__u64 from = c->state == ANSWER ? c->t3 : 0;

		if (c->state == ANSWER)
			finish(c, tp, tp->rcv_nxt - c->rcv_answer, c->snd_from - c->snd_done, now);
		c->snd_done = c->snd_from; /* where the request begins */
		begin(c, tp, 0);
		c->t0 = left_at(c, tp, from, now);
	}
	if (c->state == REQUEST && ack == tp->snd_nxt && tp->write_seq == ack && c->snd_from != ack) {
		acked(c, tp, fresh, now);
		c->snd_from = ack;
	}
	if (!fresh)
		return;
	if (after(end, c->rcv_seen))
		c->rcv_seen = end;
	if (c->state == REQUEST) {
		c->state = ANSWER;
		c->t2 = now;
		if (c->snd_from != tp->snd_nxt) /* it is answered before it was acknowledged */
			c->t1 = now;
		c->rcv_answer = tp->rcv_nxt;
		c->snd_from = tp->snd_nxt;
	}
	if (c->state == ANSWER)
		c->t3 = now;
}

SEC("tp_btf/tcp_probe")
int segment(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	struct tcp_sock *tp;
	__u32 end, ack;
	struct conn *c;
	__u8 flags;
	__u64 now;

	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (!c && bpf_sk_storage_get(&ignored, sk, 0, 0))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (!c) {
		c = join(sk, tp);
		if (!c)
			return 0;
	}
	now = bpf_ktime_get_ns();
	/* The verifier allows reads of any size within cb. */
	end = *(__u32 *)(skb->cb + bpf_core_field_offset(struct tcp_skb_cb, end_seq));
	ack = *(__u32 *)(skb->cb + bpf_core_field_offset(struct tcp_skb_cb, ack_seq));
	flags = *(__u8 *)(skb->cb + bpf_core_field_offset(struct tcp_skb_cb, tcp_flags));
	end -= flags & 1; /* a FIN has a number, but is no data */
	/* An acknowledgement brings nothing, not even where it comes after what was lost. */
	if (end == *(__u32 *)(skb->cb + bpf_core_field_offset(struct tcp_skb_cb, seq)))
		end = tp->rcv_nxt;
	if (!tp->snd_wnd || !tp->rcv_wnd) {
		c->zero_windows += !c->shut;
		c->shut = 1;
	} else {
		c->shut = 0;
	}
	if (c->role == SERVER)
		server(c, tp, end, ack, now);
	else
		client(c, tp, end, ack, now);
	return 0;
}

/* 1 if the other side's FIN came, which has a number in rcv_nxt but is no data. */
static __always_inline __u32 done(struct sock *sk)
{
	return sk->__sk_common.skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_DONE) & 1;
}

/*
 * 1 if our FIN is in snd_nxt, which it leaves with the last data: in write_seq it is
 * only after the state changed to one of these.
 */
static __always_inline __u32 fin_sent(struct tcp_sock *tp, int state)
{
	return (state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING || state == TCP_LAST_ACK) &&
	       tp->snd_nxt == tp->write_seq;
}

/*
 * In these states tcp_probe is not called. What came in is seen by rcv_nxt: when the
 * program reads, or when the other side's FIN came.
 */
static __always_inline void client_got(struct conn *c, struct sock *sk, struct tcp_sock *tp, int state, __u64 now)
{
	__u32 rcv_end = tp->rcv_nxt - done(sk);

	if (c->state == IDLE || !after(rcv_end, c->rcv_seen))
		return;
	if (c->state == REQUEST) {
		c->state = ANSWER;
		c->flags |= GUESSED;
		c->t2 = now;
		if (!c->t1)
			c->t1 = now;
		c->rcv_answer = c->rcv_seen;
		c->snd_from = tp->snd_nxt - fin_sent(tp, state);
	}
	c->t3 = now;
	c->rcv_seen = rcv_end;
}

static __always_inline void client_closing(struct conn *c, struct sock *sk, struct tcp_sock *tp, int from, int to, __u64 now)
{
	__u32 rcv_end = tp->rcv_nxt - done(sk);
	int open = from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT;
	int ends = to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK; /* the program does */

	/* A request that nothing came in after. */
	if (open && c->state != REQUEST && (ends ? tp->write_seq : tp->snd_nxt) != c->snd_from) {
		__u64 at = c->state == ANSWER ? c->t3 : 0;

		if (c->state == ANSWER)
			finish(c, tp, rcv_end - c->rcv_answer, c->snd_from - c->snd_done, now);
		c->snd_done = c->snd_from;
		begin(c, tp, 0);
		c->t0 = flushed(c, tp, at, now);
	}
	if (to == TCP_FIN_WAIT1 && c->state == REQUEST)
		c->flags |= HALF_CLOSED;
	/* All of the request is acknowledged. */
	if (to == TCP_FIN_WAIT2 && c->state == REQUEST && !c->t1)
		c->t1 = now;
	client_got(c, sk, tp, from, now);
	if (to == TCP_CLOSE_WAIT && c->state == REQUEST) { /* nothing more can come */
		c->flags |= CLOSED | ABORT_REQ;
		c->snd_from = tp->write_seq;
		finish(c, tp, 0, tp->snd_nxt - c->snd_done, now);
		return;
	}
	if (to != TCP_CLOSE || c->state == IDLE)
		return;
	c->flags |= CLOSED | (c->state == REQUEST ? ABORT_REQ : 0);
	finish(c, tp, c->state == ANSWER ? rcv_end - c->rcv_answer : 0,
	       (c->state == ANSWER ? c->snd_from : tp->snd_nxt - fin_sent(tp, from)) - c->snd_done, now);
}

static __always_inline void server_closing(struct conn *c, struct sock *sk, struct tcp_sock *tp, int from, int to, __u64 now)
{
	__u32 rcv_end = tp->rcv_nxt - done(sk);
	int ends = to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK; /* the program does */

	/* A FIN of our own is counted by snd_nxt only after this. */
	if (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT) {
		if (after(rcv_end, c->rcv_seen))
			unseen(c, tp, rcv_end, now);
		if (c->state == REQUEST && (ends ? tp->write_seq : tp->snd_nxt) != c->snd_from) {
			c->state = ANSWER;
			c->t2 = flushed(c, tp, c->t1, now);
			if (c->read > c->t2)
				c->read = 0;
			/* The kernel's time is of the first packet of the last flight. */
			if (tp->snd_una != c->snd_from && tp->snd_nxt - c->snd_from > tp->mss_cache)
				c->flags |= GUESSED;
		}
		if (to == TCP_CLOSE_WAIT && c->state == REQUEST)
			c->flags |= HALF_CLOSED;
		/* More was sent since all was acknowledged. */
		if (c->state == ANSWER && c->t3 && c->snd_done != (ends ? tp->write_seq : tp->snd_nxt))
			c->t3 = c->snd_done = 0;
		if (c->state == ANSWER && !c->t3) {
			if (tp->write_seq == tp->snd_nxt) /* else the last packet is to leave yet */
				sent(c, tp, now);
			if (from == TCP_CLOSE_WAIT && tp->snd_una == tp->write_seq) {
				c->t3 = now;
				c->flags |= GUESSED;
			}
		}
	}
	/* All that was sent is acknowledged, our FIN too. */
	if (c->state == ANSWER && !c->t3 && tp->snd_una == tp->write_seq &&
	    (to == TCP_FIN_WAIT2 || (to == TCP_CLOSE && (from == TCP_LAST_ACK || from == TCP_FIN_WAIT2 || from == TCP_CLOSING)))) {
		c->t3 = now;
		if (!c->last)
			sent(c, tp, now);
	}
	if (to != TCP_CLOSE || c->state == IDLE)
		return;
	c->flags |= CLOSED;
	if (c->state == REQUEST)
		c->flags |= ABORT_REQ;
	else if (!c->t3)
		c->flags |= ABORT_ANSWER;
	finish_server(c, tp, rcv_end, tp->snd_nxt - fin_sent(tp, from), now);
}

/* The connection is over. */
static __always_inline void closed(struct conn *c, struct tcp_sock *tp, int from)
{
	struct count *n = bpf_map_lookup_elem(&counts, &c->slot);

	if (!n)
		return;
	n->closed++;
	if (from == TCP_SYN_SENT)
		n->unconnected++;
	n->retrans += tp->total_retrans - c->retrans; /* of its FIN, that is of no request */
	c->retrans = tp->total_retrans;
}

/* A program does something with the connection. */
static __always_inline void owned(struct conn *c, __u32 pid)
{
	__u32 slot = c->slot;
	struct owner *o = bpf_map_lookup_elem(&owners, &slot);

	c->pid = pid;
	bpf_get_current_comm(c->comm, sizeof(c->comm));
	if (!o)
		return;
	o->pid = pid;
	__builtin_memcpy(o->comm, c->comm, sizeof(o->comm));
}

SEC("tp_btf/inet_sock_set_state")
int state(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int from = ctx[1], to = ctx[2];
	struct tcp_sock *tp;
	struct total *sum;
	struct conn *c;
	__u32 zero = 0;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (to == TCP_SYN_SENT) { /* a program makes it */
		c = open(sk, CLIENT);
		if (c) {
			owned(c, bpf_get_current_pid_tgid() >> 32);
			c->t0 = bpf_ktime_get_ns();
		}
		return 0;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (to == TCP_ESTABLISHED) {
		if (!c && from != TCP_SYN_SENT)
			c = open(sk, SERVER);
		if (!c)
			return 0;
		name(&c->tuple, sk); /* whole only now */
		start(c, tp);
		/* Its SYNs count for a client's first request; what the handshake of a
		 * server's took is of no connection yet, see synack. */
		if (c->role == CLIENT) {
			c->retrans = 0;
			c->snd_from = tp->snd_una - (__u32)tp->bytes_acked + 1; /* the SYN, and what it had */
			if (tp->snd_nxt != c->snd_from) { /* a request (TFO) */
				c->snd_done = c->snd_from;
				begin(c, tp, c->t0);
			}
			return 0;
		}
		/* Of a request that came with the handshake: after it, or in the SYN (TFO),
		 * which was a round trip ago. */
		c->t0 = bpf_ktime_get_ns();
		if (tp->bytes_received) {
			c->t0 -= (__u64)(tp->srtt_us >> 3) * 1000;
			c->rcv_from = c->rcv_seen -= (__u32)tp->bytes_received;
		}
		return 0;
	}
	if (c) {
		if (c->role == SERVER)
			server_closing(c, sk, tp, from, to, bpf_ktime_get_ns());
		else
			client_closing(c, sk, tp, from, to, bpf_ktime_get_ns());
		if (to == TCP_CLOSE)
			closed(c, tp, from);
		return 0;
	}
	if (from == TCP_SYN_SENT && to == TCP_CLOSE && tp->total_retrans) {
		sum = bpf_map_lookup_elem(&totals, &zero);
		if (sum)
			sum->strays += tp->total_retrans;
	}
	return 0;
}

/* What is sent again before there is a connection. */
SEC("tp_btf/tcp_retransmit_synack")
int synack(__u64 *ctx)
{
	__u32 zero = 0;
	struct total *sum = bpf_map_lookup_elem(&totals, &zero);

	if (sum)
		sum->synacks++;
	return 0;
}

/* A program reads. */
SEC("tp_btf/tcp_rcv_space_adjust")
int reads(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct conn *c = bpf_sk_storage_get(&conns, sk, 0, 0);
	__u32 pid;

	if (!c)
		return 0;
	pid = bpf_get_current_pid_tgid() >> 32;
	if (c->pid != pid)
		owned(c, pid);
	if (c->role == SERVER && c->state == REQUEST && !c->read)
		c->read = bpf_ktime_get_ns();
	if (c->role == CLIENT && c->flags & HALF_CLOSED) {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

		if (tp)
			client_got(c, sk, tp, sk->__sk_common.skc_state, bpf_ktime_get_ns());
	}
	return 0;
}

/* Of connections made from now on, all but one of mask + 1 have no times of writes. */
volatile __u32 stamp_mask = 0;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern int bpf_sock_ops_enable_tx_tstamp(struct bpf_sock_ops_kern *skops, __u64 flags) __ksym;

/*
 * A write's way out, by the kernel's own stamps: it asks for those of each write on
 * the connections that were chosen when they were made.
 */
SEC("sockops")
int stamp(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 op = ctx->op, on = SK_BPF_CB_TX_TIMESTAMPING;
	struct conn *c;
	__u64 now;

	if (!sk)
		return 1;
	if (op == BPF_SOCK_OPS_TSTAMP_SENDMSG_CB) {
		bpf_sock_ops_enable_tx_tstamp(bpf_cast_to_kern_ctx(ctx), 0);
		return 1;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	/* A server's is called for before it is ESTABLISHED, and known. */
	if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ? wanted(ctx->local_port) : op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && c) {
		if (!(bpf_get_prandom_u32() & stamp_mask))
			bpf_setsockopt(ctx, SOL_SOCKET, SK_BPF_CB_FLAGS, &on, sizeof(on));
		return 1;
	}
	if (!c)
		return 1;
	now = bpf_ktime_get_ns();
	switch (op) {
	case BPF_SOCK_OPS_TSTAMP_SCHED_CB:
		if (!c->inside++)
			c->sched = now;
		break;
	case BPF_SOCK_OPS_TSTAMP_SND_SW_CB:
		if (c->inside && !--c->inside) {
			__u64 sum = c->queued + now - c->sched;

			c->queued = sum > ~0U ? ~0U : sum;
		}
		break;
	case BPF_SOCK_OPS_TSTAMP_ACK_CB:
		/* tcp_probe sees it in ESTABLISHED only. */
		if (c->role == SERVER && c->state == ANSWER && !c->t3 && ctx->snd_una == ctx->snd_nxt)
			c->t3 = now;
		break;
	}
	return 1;
}

/* Whether the answer's acknowledgement waited for its timer. */
static __always_inline int late(struct record *r, struct seen *s)
{
	__u64 from = r->last > r->t2 ? r->last : r->t2, least = (__u64)s->min_rtt_us * 1000;

	return least && s->min_rtt_us != ~0U && r->t3 > from + least && delayed(r->t3 - from - least, r->answer_bytes, s->mss);
}

/* Answers that were acknowledged so long ago are told of by list; 0 is none. */
volatile __u64 settle = 0;

/*
 * Lists the requests that are under way, or, with settle, those that are over
 * but for the next one to come. What a connection has in store is not locked
 * against its own segments: a request that ends just now may be told with times
 * of the next.
 */
SEC("iter/bpf_sk_storage_map")
int list(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conn *c = ctx->value;
	struct sock *sk = ctx->sk;
	struct record r;
	struct seen s;
	struct tcp_sock *tp;
	__u32 request, answer, rcv, snd;
	__u64 wait = settle;

	if (!c || !sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	/* Read here, so that no load is of either pointer. */
	rcv = tp->rcv_nxt;
	barrier_var(rcv);
	snd = tp->snd_nxt - fin_sent(tp, sk->__sk_common.skc_state);
	barrier_var(snd);
	rcv -= done(sk);
	if (wait) {
		__u64 now = bpf_ktime_get_ns();

		if (c->state != ANSWER || !c->t3 || c->t3 + wait > now)
			return 0;
		if (c->role == SERVER ? c->snd_done != snd : snd != c->snd_from)
			return 0;
		if (__sync_val_compare_and_swap(&c->told, 0, 1))
			return 0;
		wait = now;
	} else if (c->role == SERVER ? c->state == IDLE || (c->t3 && c->snd_done == snd) : c->state != REQUEST && snd == c->snd_from) {
		return 0; /* most are idle */
	}
	__builtin_memset(&r, 0, sizeof(r));
	r.end = wait;
	look(tp, &s);
	fill(&r, c, &s);
	if (c->role == SERVER) {
		request = rcv - c->rcv_from;
		if (!wait)
			r.t3 = 0;
		answer = snd - c->snd_from;
		if (c->state == REQUEST && answer) /* nothing was heard of the answer yet */
			r.t2 = tp->first_tx_mstamp * 1000;
	} else if (wait) {
		request = c->snd_from - c->snd_done;
		answer = rcv - c->rcv_answer;
	} else if (c->state == REQUEST) {
		request = snd - c->snd_done;
		answer = 0;
	} else if (snd != c->snd_from) { /* nothing came in since it was sent */
		r.t0 = tp->first_tx_mstamp * 1000;
		r.t1 = r.t2 = r.t3 = 0;
		r.number += c->state == ANSWER;
		r.request_seq = c->snd_from;
		request = snd - c->snd_from;
		answer = 0;
	} else {
		return 0;
	}
	r.request_bytes = request;
	r.answer_bytes = answer;
	if (wait && c->role == SERVER && !(r.flags & PIGGYBACK) && !r.retrans && late(&r, &s))
		r.flags |= DELAYED_ACK;
	bpf_seq_write(ctx->meta->seq, &r, sizeof(r));
	if (l7)
		list_heads(ctx->meta->seq, &r, c->id);
	return 0;
}
