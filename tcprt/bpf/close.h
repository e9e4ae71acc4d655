/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* close.h: how connections end. */
#ifndef ANOLE_TCPRT_CLOSE_H
#define ANOLE_TCPRT_CLOSE_H

/*
 * The program ends its half, which sends what was held back (TCP_CORK, Nagle) right
 * after this.
 */
static __always_inline __u64 flushed(struct conn *c, struct tcp_sock *tp, __u64 from, __u64 now)
{
	return tp->snd_nxt == c->snd_from ? now : left_at(c, tp, from, now);
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
 * The request is a last message that wants no answer, as MySQL's COM_QUIT, if its
 * sender leaves as soon as it began: a client that gives up has waited. Where the
 * connection ends it is decided, as the answer may come all the same.
 */
static __always_inline void leaves(struct conn *c, __u64 now)
{
	if (c->t0 + LEAVES * MSEC >= now)
		c->flags |= ONE_WAY;
}

/* The connection did not end because nothing more was heard. */
static __always_inline int heard(struct sock *sk)
{
	return !sk->sk_err || sk->sk_err == ECONNRESET || sk->sk_err == EPIPE;
}

/* The connection ends with the request: one-way, or as why says. */
static __always_inline void judged(struct conn *c, int unanswered, int one_way, __u32 why)
{
	c->flags |= CLOSED;
	if (!unanswered)
		c->flags &= ~ONE_WAY;
	else if (!one_way || !(c->flags & ONE_WAY))
		c->flags = (c->flags & ~ONE_WAY) | why;
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
	if (to == TCP_FIN_WAIT1 && c->state == REQUEST) {
		c->flags |= HALF_CLOSED;
		if (sk->sk_shutdown & RCV_SHUTDOWN) /* of a shutdown for writing it waits */
			leaves(c, now);
	}
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
	judged(c, c->state == REQUEST, heard(sk), ABORT_REQ);
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
		if (to == TCP_CLOSE_WAIT && c->state != IDLE && !c->t3)
			leaves(c, now);
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
	/*
	 * Whether the other side shut down for writing alone, and waits, is not known
	 * here: a server that is long about it may have been expected to answer. Of an
	 * answer all the same, as a TLS server's close_notify, nobody took anything.
	 */
	judged(c, c->state == REQUEST || !c->t3,
	       heard(sk) && c->t1 + ENDS * MSEC >= now && (c->state == REQUEST || tp->snd_una == c->snd_from),
	       c->state == REQUEST ? ABORT_REQ : ABORT_ANSWER);
	finish_server(c, tp, rcv_end, tp->snd_nxt - fin_sent(tp, from), now);
}

/* The connection is over. */
static __always_inline void closed(struct conn *c, struct tcp_sock *tp, int from)
{
	struct count *n = bpf_map_lookup_elem(&counts, &c->slot);

	if (l7) { /* nothing of what it said stays */
		__u64 id = c->id;

		bpf_map_delete_elem(&heads, &id);
	}
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

#endif
