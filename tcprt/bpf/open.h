/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* open.h: which connections count, from when on, and as whose. */
#ifndef ANOLE_TCPRT_OPEN_H
#define ANOLE_TCPRT_OPEN_H

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
	if (!c) { /* the next segment tries again, see join */
		__u32 zero = 0;
		struct total *sum = bpf_map_lookup_elem(&totals, &zero);

		if (sum)
			sum->unopened++;
		return 0;
	}
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
	c->zero_windows = c->shut = c->queued = c->inside = 0;
}

/* The local port, in listeners. */
static __always_inline __u64 port_of(struct sock *sk)
{
	return (__u64)sk->__sk_common.skc_net.net->ns.inum << 16 | sk->__sk_common.skc_num;
}

/*
 * One that was there before, or that there was no room for when it began, has the role
 * that its port tells, and counts from what it sends or gets next.
 */
static __always_inline struct conn *join(struct sock *sk, struct tcp_sock *tp)
{
	__u64 key = port_of(sk);
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

#endif
