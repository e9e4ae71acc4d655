/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * heads.h: the first bytes of requests and of their answers, for package l7. Without
 * l7 none of it is loaded.
 *
 * They are read where packets pass the root of the cgroup2 hierarchy, which every
 * kernel has a hook for and which sees both directions. That is before tcp_probe for
 * what comes in, and before what goes out is heard of again: so of each side the
 * latest two are kept, and a request takes those whose sequence numbers are its own.
 */
#ifndef ANOLE_TCPRT_HEADS_H
#define ANOLE_TCPRT_HEADS_H

enum {
	ASKED = 256,  /* bytes of a request */
	ANSWERED = 64, /* of an answer */
	CONNECTIONS = 16384, /* that heads are kept of */
};

const volatile __u32 l7 = 0;

/* Twice the bytes, as the verifier adds up the most of where and how much. */
struct asked {
	__u32 seq, len;
	__u8 bytes[2 * ASKED];
};

struct answered {
	__u32 seq, len;
	__u8 bytes[2 * ANSWERED];
};

struct heads {
	__u32 next[2]; /* the end of what went by, of what comes in and goes out */
	__u32 last;    /* 1 + which of them the last data were */
	__u32 latest[2]; /* which of asked and of answered is */
	struct asked asked[2];
	struct answered answered[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS);
	__type(key, __u64);
	__type(value, struct heads);
} heads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct heads);
} no_heads SEC(".maps");

/* A record with them, which are of the lengths that come first. */
struct whole {
	struct record record;
	__u32 asked_len, answered_len;
	__u8 asked[ASKED];
	__u8 answered[ANSWERED];
};

const struct whole *whole_anchor __attribute__((unused));

static __always_inline struct heads *nothing(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&no_heads, &zero);
}

/* The request's head, or an empty one. */
static __always_inline struct asked *asked_of(struct heads *h, __u32 seq)
{
	return h->asked[0].seq == seq ? &h->asked[0] : h->asked[1].seq == seq ? &h->asked[1] : 0;
}

static __always_inline struct answered *answered_of(struct heads *h, __u32 seq)
{
	return h->answered[0].seq == seq ? &h->answered[0] : h->answered[1].seq == seq ? &h->answered[1] : 0;
}

/* n is not 0, most a power of two: so that verifiers of old see 1 to most. */
static __always_inline void load(struct __sk_buff *skb, __u32 at, __u8 *to, __u32 n, __u32 most)
{
	n = n > most ? most - 1 : n - 1;
	barrier_var(n);
	n &= most - 1;
	barrier_var(n);
	bpf_skb_load_bytes(skb, at, to, n + 1);
}

static __always_inline int head(struct __sk_buff *skb, __u32 out)
{
	struct bpf_sock *sk = skb->sk;
	struct conn *c;
	struct heads *h;
	__u32 at, len, seq, which;
	__u8 ip[10], tcp[14];
	__u64 id;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	c = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (!c || bpf_skb_load_bytes(skb, 0, ip, sizeof(ip)))
		return 1;
	at = ip[0] >> 4 == 4 ? (ip[0] & 15) * 4 : 40;
	if ((ip[0] >> 4 == 4 ? ip[9] : ip[6]) != IPPROTO_TCP || bpf_skb_load_bytes(skb, at, tcp, sizeof(tcp)))
		return 1;
	seq = (__u32)tcp[4] << 24 | tcp[5] << 16 | tcp[6] << 8 | tcp[7];
	seq += tcp[13] >> 1 & 1; /* a SYN has a number */
	at += (tcp[12] >> 4) * 4;
	if (skb->len <= at)
		return 1;
	len = skb->len - at;
	id = c->id;
	h = bpf_map_lookup_elem(&heads, &id);
	if (!h) {
		h = nothing();
		if (!h)
			return 1;
		bpf_map_update_elem(&heads, &id, h, BPF_NOEXIST);
		h = bpf_map_lookup_elem(&heads, &id);
		if (!h)
			return 1;
	}
	out &= 1;
	if (h->last && (__s32)(seq - h->next[out]) < 0 && h->next[out])
		return 1; /* sent again */
	h->next[out] = seq + len;
	which = out == (c->role == SERVER); /* 0: a request */
	if (which == 0) {
		struct asked *a = &h->asked[h->latest[0] & 1];

		if (h->last != 1 + out) {
			h->latest[0]++;
			a = &h->asked[h->latest[0] & 1];
			a->seq = seq;
			a->len = 0;
		}
		if (a->len < ASKED && a->seq + a->len == seq) {
			__u32 from = a->len & (ASKED - 1);

			load(skb, at, a->bytes + from, len, ASKED);
			a->len = len > ASKED - from ? ASKED : from + len;
		}
	} else {
		struct answered *a = &h->answered[h->latest[1] & 1];

		if (h->last != 1 + out) {
			h->latest[1]++;
			a = &h->answered[h->latest[1] & 1];
			a->seq = seq;
			a->len = 0;
		}
		if (a->len < ANSWERED && a->seq + a->len == seq) {
			__u32 from = a->len & (ANSWERED - 1);

			load(skb, at, a->bytes + from, len, ANSWERED);
			a->len = len > ANSWERED - from ? ANSWERED : from + len;
		}
	}
	h->last = 1 + out;
	return 1;
}

SEC("cgroup_skb/ingress")
int head_in(struct __sk_buff *skb)
{
	return head(skb, 0);
}

SEC("cgroup_skb/egress")
int head_out(struct __sk_buff *skb)
{
	return head(skb, 1);
}

/* Puts the request's and the answer's into a record. */
static __always_inline void add_heads(struct whole *w, __u64 id)
{
	struct heads *h = bpf_map_lookup_elem(&heads, &id);
	struct answered *b;
	struct asked *a;

	w->asked_len = w->answered_len = 0;
	if (!h)
		return;
	a = asked_of(h, w->record.request_seq);
	if (a && a->len <= ASKED) {
		w->asked_len = a->len;
		bpf_probe_read_kernel(w->asked, ASKED, a->bytes);
	}
	b = answered_of(h, w->record.answer_seq);
	if (b && b->len <= ANSWERED && w->record.answer_bytes) {
		w->answered_len = b->len;
		bpf_probe_read_kernel(w->answered, ANSWERED, b->bytes);
	}
}

/* Likewise after a record of list; not 0 if there was no room. */
static __always_inline long list_heads(struct seq_file *seq, struct record *r, __u64 id)
{
	struct heads *none = nothing(), *h = bpf_map_lookup_elem(&heads, &id);
	struct { __u32 asked, answered; } len = {};
	struct answered *b = 0;
	struct asked *a = 0;

	if (!none)
		return 0;
	if (h) {
		a = asked_of(h, r->request_seq);
		b = r->answer_bytes ? answered_of(h, r->answer_seq) : 0;
	}
	if (a)
		len.asked = a->len;
	else
		a = &none->asked[0];
	if (b)
		len.answered = b->len;
	else
		b = &none->answered[0];
	return bpf_seq_write(seq, &len, sizeof(len)) || bpf_seq_write(seq, a->bytes, ASKED) || bpf_seq_write(seq, b->bytes, ANSWERED);
}

#endif
