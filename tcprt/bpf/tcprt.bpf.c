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
 * A connection's calls are one after another: its lock is held.
 */
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum shape {
	UNKNOWN = 0, /* role */
	SERVER = 1,
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
	GUESSED = 1 << 6, /* no time of the first packet: that of the next segment */
	REORDER = 1 << 7,    /* segments came out of order */

	RING = 8 << 20,
};

const volatile enum shape shape_anchor = IDLE;
/* When anole came, ns on CLOCK_MONOTONIC. */
const volatile __u64 since = 0;
/* Records are for these roles, as bits 1 << role. */
const volatile __u32 roles = 1 << SERVER | 1 << CLIENT;

struct tuple {
	__u32 local[4];
	__u32 remote[4];
	__u16 local_port;  /* of the host's order */
	__u16 remote_port;
	__u16 family;
	__u16 zero;
	__u32 netns;
};

struct conn {
	struct tuple tuple;
	__u64 cgroup; /* id in the cgroup2 hierarchy */
	__u64 t0, t1, t2, t3; /* ns, CLOCK_MONOTONIC; 0 is not yet */
	__u32 rcv_from;  /* rcv_nxt when the request began */
	__u32 snd_from;  /* snd_nxt when it began (server), when its answer began (client) */
	__u32 snd_done;  /* snd_nxt that t3 is of */
	__u32 rcv_answer; /* client: rcv_nxt when the answer began */
	__u32 retrans, reorder; /* totals when it began */
	__u32 number; /* of requests before */
	__u8 role, state, flags;
	__u8 fin; /* the other side's came */
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

struct record {
	struct tuple tuple;
	__u32 number;
	__u64 cgroup;
	__u64 t0, t1, t2, t3;
	__u64 end; /* when it was told */
	__u32 request_bytes, answer_bytes;
	__u32 unacked; /* bytes of an answer that was not acknowledged */
	__u32 retrans, reorder;
	__u32 rtt_us, min_rtt_us;
	__u32 mss;
	__u8 role;
	__u8 flags;
	__u8 state; /* in which it ended */
	__u8 zero[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING);
} records SEC(".maps");

struct total {
	__u64 records;
	__u64 dropped; /* no room in the ring */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct total);
} totals SEC(".maps");

/* Keeps the record in BTF. */
const struct record *record_anchor __attribute__((unused));

static __always_inline int after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

static __always_inline int wanted(__u16 port)
{
	__u16 all = 0;

	return bpf_map_lookup_elem(&ports, &port) || bpf_map_lookup_elem(&ports, &all);
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

/*
 * The connection's own, made if it counts. One that was there before has the
 * role that its port tells, and counts from what it sends or gets next.
 */
static __always_inline struct conn *open(struct sock *sk, struct tcp_sock *tp, __u32 role)
{
	struct conn *c;
	__u16 port;
	__u64 key;
	int midway = role == UNKNOWN;

	if (midway) {
		key = (__u64)sk->__sk_common.skc_net.net->ns.inum << 16 | sk->__sk_common.skc_num;
		role = bpf_map_lookup_elem(&listeners, &key) ? SERVER : CLIENT;
	}
	port = role == SERVER ? sk->__sk_common.skc_num : bpf_ntohs(sk->__sk_common.skc_dport);
	if (!(roles & 1 << role) || !wanted(port)) {
		bpf_sk_storage_get(&ignored, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		return 0;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c)
		return 0;
	name(&c->tuple, sk);
	c->cgroup = sk->sk_cgrp_data.cgroup->kn->id;
	c->role = role;
	c->flags = midway ? MIDWAY : 0;
	/* A client is first seen by what it gets: by the answer to a request that
	 * may have left since anole came. */
	c->snd_from = midway && role == CLIENT && tp->first_tx_mstamp * 1000 >= since ? tp->snd_una : tp->snd_nxt;
	c->rcv_from = tp->rcv_nxt;
	return c;
}

static __always_inline void begin(struct conn *c, struct tcp_sock *tp, __u64 t0)
{
	c->flags &= MIDWAY;
	c->t0 = t0;
	c->t1 = c->t2 = c->t3 = 0;
	c->rcv_from = tp->rcv_nxt;
	c->retrans = tp->total_retrans;
	c->reorder = tp->rcv_ooopack;
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
	if (at + 1000 >= from && at <= now)
		return at > from ? at : from;
	c->flags |= GUESSED;
	return now;
}

/* Tells of the request and ends it. */
static __always_inline void finish(struct conn *c, struct tcp_sock *tp, __u32 answer_end, __u32 request_end, __u64 now)
{
	struct record *r;
	struct total *sum;
	__u32 zero = 0;
	__u64 wake = BPF_RB_NO_WAKEUP;

	sum = bpf_map_lookup_elem(&totals, &zero);
	if (!sum)
		return;
	r = bpf_ringbuf_reserve(&records, sizeof(*r), 0);
	if (!r) {
		sum->dropped++;
		goto out;
	}
	r->tuple = c->tuple;
	r->number = c->number;
	r->cgroup = c->cgroup;
	r->t0 = c->t0;
	r->t1 = c->t1;
	r->t2 = c->t2;
	r->t3 = c->t3;
	r->end = now;
	r->retrans = tp->total_retrans - c->retrans;
	r->reorder = tp->rcv_ooopack - c->reorder;
	r->rtt_us = tp->srtt_us >> 3;
	r->min_rtt_us = tp->rtt_min.s[0].v;
	r->mss = tp->mss_cache;
	r->role = c->role;
	r->state = c->state;
	r->flags = c->flags | (r->reorder ? REORDER : 0);
	r->unacked = c->role == SERVER && !c->t3 ? tp->write_seq - tp->snd_una : 0;
	r->answer_bytes = answer_end;
	r->request_bytes = request_end;
	__builtin_memset(r->zero, 0, sizeof(r->zero));
	/* A reader who polls is waked only when much is waiting. */
	if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > RING / 4)
		wake = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(r, wake);
	sum->records++;
out:
	c->number++;
	c->state = IDLE;
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
}

static __always_inline void server(struct conn *c, struct tcp_sock *tp, __u32 end, __u32 ack, __u64 now)
{
	int fresh = after(end, tp->rcv_nxt);

	answered(c, tp, now);
	if (c->state == ANSWER && ack == tp->snd_nxt && tp->write_seq == tp->snd_nxt && (!c->t3 || c->snd_done != ack)) {
		c->t3 = now;
		c->snd_done = ack;
		c->flags = (c->flags & ~PIGGYBACK) | (fresh ? PIGGYBACK : 0);
	}
	if (!fresh)
		return;
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
}

static __always_inline void client(struct conn *c, struct tcp_sock *tp, __u32 end, __u32 ack, __u64 now)
{
	int fresh = after(end, tp->rcv_nxt);

	/* Something was sent after what came in last. */
	if (c->state != REQUEST && tp->snd_nxt != c->snd_from) {
		__u64 from = c->state == ANSWER ? c->t3 : 0;

		if (c->state == ANSWER)
			finish(c, tp, tp->rcv_nxt - c->rcv_answer, c->snd_from - c->snd_done, now);
		c->snd_done = c->snd_from; /* where the request begins */
		begin(c, tp, 0);
		c->t0 = left_at(c, tp, from, now);
	}
	if (c->state == REQUEST && !c->t1 && ack == tp->snd_nxt)
		c->t1 = now;
	if (!fresh)
		return;
	if (c->state == REQUEST) {
		c->state = ANSWER;
		c->t2 = now;
		if (!c->t1)
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
	struct tcp_skb_cb *cb = (struct tcp_skb_cb *)&skb->cb;
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
		c = open(sk, tp, UNKNOWN);
		if (!c)
			return 0;
	}
	now = bpf_ktime_get_ns();
	end = BPF_CORE_READ(cb, end_seq);
	ack = BPF_CORE_READ(cb, ack_seq);
	flags = BPF_CORE_READ(cb, tcp_flags);
	end -= flags & 1; /* a FIN has a number, but is no data */
	c->fin |= flags & 1;
	if (c->role == SERVER)
		server(c, tp, end, ack, now);
	else
		client(c, tp, end, ack, now);
	return 0;
}

static __always_inline void closing(struct conn *c, struct tcp_sock *tp, int from, int to, __u64 now)
{
	/* A FIN has a number, but is no data. */
	__u32 fin_out = from == TCP_FIN_WAIT1 || from == TCP_FIN_WAIT2 || from == TCP_CLOSING || from == TCP_LAST_ACK;
	__u32 rcv_end = tp->rcv_nxt - (c->fin || from == TCP_FIN_WAIT2 || from == TCP_CLOSING);

	if (c->role == CLIENT) {
		/* A request that nothing came in after. */
		if (c->state != REQUEST && tp->snd_nxt != c->snd_from && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT)) {
			__u64 at = c->state == ANSWER ? c->t3 : 0;

			if (c->state == ANSWER)
				finish(c, tp, rcv_end - c->rcv_answer, c->snd_from - c->snd_done, now);
			c->snd_done = c->snd_from;
			begin(c, tp, 0);
			c->t0 = left_at(c, tp, at, now);
		}
		if (to != TCP_CLOSE || c->state == IDLE)
			return;
		c->flags |= CLOSED | (c->state == REQUEST ? ABORT_REQ : 0);
		finish(c, tp, c->state == ANSWER ? rcv_end - c->rcv_answer : 0,
		       (c->state == ANSWER ? c->snd_from : tp->snd_nxt - fin_out) - c->snd_done, now);
		return;
	}
	/* A FIN of our own is counted by snd_nxt only after this. */
	if (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT)
		answered(c, tp, now);
	/* All that was sent is acknowledged, our FIN too. */
	if (c->state == ANSWER && !c->t3 && (to == TCP_FIN_WAIT2 || (to == TCP_CLOSE && (from == TCP_LAST_ACK || from == TCP_FIN_WAIT2 || from == TCP_CLOSING)))) {
		if (tp->snd_una == tp->write_seq)
			c->t3 = now;
	}
	if (to != TCP_CLOSE || c->state == IDLE)
		return;
	c->flags |= CLOSED;
	if (c->state == REQUEST)
		c->flags |= ABORT_REQ;
	else if (!c->t3)
		c->flags |= ABORT_ANSWER;
	finish_server(c, tp, rcv_end, tp->snd_nxt - fin_out, now);
}

SEC("tp_btf/inet_sock_set_state")
int state(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	int from = ctx[1], to = ctx[2];
	struct tcp_sock *tp;
	struct conn *c;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	if (to == TCP_ESTABLISHED) {
		open(sk, tp, from == TCP_SYN_SENT ? CLIENT : SERVER);
		return 0;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (c)
		closing(c, tp, from, to, bpf_ktime_get_ns());
	return 0;
}

/* A request that is under way. */
struct pending {
	struct tuple tuple;
	__u32 number;
	__u64 cgroup;
	__u64 t0, t1, t2; /* as far as known; 0 is not yet */
	__u32 request_bytes, answer_bytes; /* so far */
	__u8 role;
	__u8 flags;
	__u8 zero[6];
};

const struct pending *pending_anchor __attribute__((unused));

/*
 * Lists them. What a connection has in store is not locked against its own
 * segments: a request that ends just now may be told with times of the next.
 */
SEC("iter/bpf_sk_storage_map")
int list(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct pending p = {};
	struct conn *c = ctx->value;
	struct sock *sk = ctx->sk;
	struct tcp_sock *tp;

	if (!c || !sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	p.t0 = c->t0;
	p.t1 = c->t1;
	p.t2 = c->t2;
	if (c->role == SERVER) {
		if (c->state == IDLE || c->t3)
			return 0;
		p.request_bytes = tp->rcv_nxt - c->rcv_from;
		p.answer_bytes = tp->snd_nxt - c->snd_from;
		if (c->state == REQUEST && p.answer_bytes) /* nothing was heard of the answer yet */
			p.t2 = tp->first_tx_mstamp * 1000;
	} else if (c->state == REQUEST) {
		p.request_bytes = tp->snd_nxt - c->snd_done;
	} else if (tp->snd_nxt != c->snd_from) { /* nothing came in since it was sent */
		p.t0 = tp->first_tx_mstamp * 1000;
		p.t1 = p.t2 = 0;
		p.request_bytes = tp->snd_nxt - c->snd_from;
	} else {
		return 0;
	}
	p.tuple = c->tuple;
	p.number = c->number;
	p.cgroup = c->cgroup;
	p.role = c->role;
	p.flags = c->flags;
	bpf_seq_write(ctx->meta->seq, &p, sizeof(p));
	return 0;
}
