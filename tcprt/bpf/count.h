/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* count.h: a request that is over is counted, and told of if that is wanted. */
#ifndef ANOLE_TCPRT_COUNT_H
#define ANOLE_TCPRT_COUNT_H

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
	if (__sync_lock_test_and_set(&c->told, 0)) { /* list was first */
		n->retrans += retrans;
		n->reorder += reorder;
		n->chrono[0] += s->chrono[0] - c->chrono[0];
		n->chrono[1] += s->chrono[1] - c->chrono[1];
		n->chrono[2] += s->chrono[2] - c->chrono[2];
		goto over;
	}
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
	} else if (c->flags & ONE_WAY) {
		n->one_way++;
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

#endif
