/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* turn.h: a segment that came in, on the side that answers and on the one that asks. */
#ifndef ANOLE_TCPRT_TURN_H
#define ANOLE_TCPRT_TURN_H

static __always_inline int after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

static __always_inline void begin(struct conn *c, struct tcp_sock *tp, __u64 t0)
{
	c->flags &= MIDWAY;
	c->told = 0; /* list may have been late */
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

#endif
