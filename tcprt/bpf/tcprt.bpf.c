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

#include "maps.h"
#include "heads.h"
#include "count.h"
#include "open.h"
#include "turn.h"
#include "close.h"

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
			start(c, tp);
			c->t0 = bpf_ktime_get_ns();
		}
		return 0;
	}
	if (to == TCP_LISTEN) {
		__u64 key = port_of(sk);
		__u8 yes = 1;

		bpf_map_update_elem(&listeners, &key, &yes, 0);
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
 * Tells of a connection's request if that is under way, or, with settle, if it is
 * over but for the next one to come. What a connection has in store is not locked
 * against its own segments: a request that ends just now may be told with times
 * of the next.
 */
static __always_inline int show(struct seq_file *seq, struct sock *sk, struct tcp_sock *tp, struct conn *c)
{
	struct record r;
	struct seen s;
	__u32 request, answer, rcv, snd;
	__u64 wait = settle;
	long full;

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
	r.flags &= ~ONE_WAY; /* which only the end of the connection tells */
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
	full = bpf_seq_write(seq, &r, sizeof(r));
	if (l7 && !full)
		full = list_heads(seq, &r, c->id);
	/* What has no room any more is dropped, and the kernel comes again with it. */
	if (full && wait) {
		__sync_lock_test_and_set(&c->told, 0);
	} else if (wait) { /* what comes on top of it is counted when the next request begins */
		c->retrans = s.retrans;
		c->reorder = s.reorder;
		c->chrono[0] = s.chrono[0];
		c->chrono[1] = s.chrono[1];
		c->chrono[2] = s.chrono[2];
	}
	return 0;
}

/* Lists the requests of all connections that are measured, and of no others. */
SEC("iter/bpf_sk_storage_map")
int list(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conn *c = ctx->value;
	struct sock *sk = ctx->sk;
	struct tcp_sock *tp;

	if (!c || !sk)
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	return tp ? show(ctx->meta->seq, sk, tp, c) : 0;
}

/*
 * Likewise, of the connections of a network namespace, for a kernel that does not
 * allow the other: it goes over all sockets that there are.
 */
SEC("iter/tcp")
int list_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;
	struct tcp_sock *tp;
	struct conn *c;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (!tp)
		return 0;
	c = bpf_sk_storage_get(&conns, tp, 0, 0);
	return c ? show(ctx->meta->seq, (struct sock *)tp, tp, c) : 0;
}
