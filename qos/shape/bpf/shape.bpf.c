//go:build ignore

/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * shape.bpf.c: whose packet it is, and what its class may send or receive.
 *
 *   egress_htb  on an uplink: finds the class and tells HTB by skb->priority.
 *   egress_edt  on an uplink: finds the class and sets the time of departure,
 *               which the fq qdisc keeps.
 *   ingress     on an uplink: finds the class by the connection, which the
 *               egress side saw before, and drops best-effort work's excess.
 *   port        on a container's port of a bridge: marks whose packet it is,
 *               for what only the uplink can tell apart otherwise by interface.
 *
 * All end with TC_ACT_UNSPEC, so that other filters see the packet too.
 */
#include "kernel.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum shape {
	REST = 0, /* neither of the others, and what nobody knows */
	LS = 1,
	BE = 2,
	CLASSES = 3,
	OUT = 0,
	IN = 1,
	DIRECTIONS = 2,
	UPLINKS = 16,
	LEVELS = 12, /* cgroups above a socket's that are looked at */
	TAG = 0xae00, /* of skb->queue_mapping; the class is in its low bits */
	TAG_MASK = 0xff00,
	BURST_NS = 100000000, /* of traffic that may come at once: less, and TCP does not fill its rate */
	GROW = 8, /* part of its use that a class on the way in is left to grow by */
	SHRINK = 64, /* part of the reserve that goes back in each window */
};

const volatile enum shape shape_anchor = LS;

/* What an interface may carry, bytes a second; 0 is unknown. */
struct way {
	__u64 rate;
	__u64 floor[CLASSES]; /* guaranteed */
	__u64 window; /* ns over which the use of a class is averaged */
	__u64 depth; /* ns of traffic of a class that may wait for departure */
};

struct uplink {
	struct way way[DIRECTIONS];
	__u32 slot; /* in states and counts */
	__u32 major; /* handle of HTB */
};

/* Interface index -> uplink. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UPLINKS);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

/* Id of a cgroup in the cgroup2 hierarchy -> class. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} groups SEC(".maps");

/* Interface index of a container's host-side interface -> class. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u8);
} ports SEC(".maps");

struct flow {
	__u32 local[4];
	__u32 remote[4];
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 family; /* 4 or 6 */
	__u16 zero;
};

/* A connection as it is on the wire -> class, learned on its way out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct flow);
	__type(value, __u8);
} flows SEC(".maps");

struct state {
	struct bpf_spin_lock lock;
	__u32 pad;
	__u64 window; /* when it began */
	__u64 used[CLASSES]; /* bytes in this window */
	__u64 was[CLASSES]; /* bytes a second in the window before */
	__u64 next[CLASSES]; /* when the class has room again */
	__u64 link; /* when all that was let go is sent */
	__u64 reserve; /* of LS, see hold */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, UPLINKS * DIRECTIONS);
	__type(key, __u32);
	__type(value, struct state);
} states SEC(".maps");

struct count {
	__u64 bytes;
	__u64 packets;
	__u64 dropped_bytes;
	__u64 dropped;
};

/* Index (slot * DIRECTIONS + direction) * CLASSES + class. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, UPLINKS * DIRECTIONS * CLASSES);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 len;
	__be16 id;
	__be16 frag;
	__u8 ttl;
	__u8 protocol;
	__u16 sum;
	__u32 src;
	__u32 dst;
};

struct ipv6 {
	__u32 flow;
	__be16 len;
	__u8 next;
	__u8 hops;
	__u32 src[4];
	__u32 dst[4];
};

struct header {
	__u32 src[4];
	__u32 dst[4];
	__be16 port[2]; /* source, destination */
};

static __always_inline int net_load(struct __sk_buff *skb, __u32 at, void *to, __u32 n)
{
	return bpf_skb_load_bytes_relative(skb, at, to, n, BPF_HDR_START_NET);
}

/* Reads addresses and ports; f gets protocol and family. */
static __always_inline int parse(struct __sk_buff *skb, struct flow *f, struct header *h)
{
	__u32 at;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4 ip;

		if (net_load(skb, 0, &ip, sizeof(ip)) || (ip.frag & bpf_htons(0x1fff)))
			return -1;
		h->src[0] = ip.src;
		h->dst[0] = ip.dst;
		f->family = 4;
		f->protocol = ip.protocol;
		at = (ip.version_ihl & 15) * 4;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6 ip;

		if (net_load(skb, 0, &ip, sizeof(ip)))
			return -1;
		__builtin_memcpy(h->src, ip.src, 16);
		__builtin_memcpy(h->dst, ip.dst, 16);
		f->family = 6;
		f->protocol = ip.next;
		at = sizeof(ip);
	} else {
		return -1;
	}
	if (f->protocol != IPPROTO_TCP && f->protocol != IPPROTO_UDP)
		return -1;
	return net_load(skb, at, h->port, sizeof(h->port));
}

/*
 * The class of the socket's cgroup or of the nearest one above that has one.
 * cgroup v1 has it as a class of HTB in net_cls.classid.
 */
static __always_inline __u32 socket_class(struct __sk_buff *skb, __u32 major)
{
	__u32 class = bpf_get_cgroup_classid(skb);
	__u64 id;
	__u8 *c;

	if (class >> 16 == major)
		return (__u16)class >> 4;
	class = REST;
	id = bpf_skb_cgroup_id(skb);
	if (!id)
		return REST;
	c = bpf_map_lookup_elem(&groups, &id);
	if (c)
		return *c;
#pragma unroll
	for (int level = 1; level <= LEVELS; level++) {
		__u64 up = bpf_skb_ancestor_cgroup_id(skb, level);

		if (!up || up == id)
			break;
		c = bpf_map_lookup_elem(&groups, &up);
		if (c)
			class = *c;
	}
	return class;
}

/*
 * The interface that a packet came from says more than its mark, which is
 * believed only of what came through something else, as a bridge.
 */
static __always_inline __u32 class_of(struct __sk_buff *skb, __u32 major)
{
	__u32 tag = skb->queue_mapping, from = skb->ingress_ifindex, class = REST;
	int marked = (tag & TAG_MASK) == TAG;
	__u8 *c;

	if (marked)
		skb->queue_mapping = 0;
	if (!from) {
		class = socket_class(skb, major);
	} else {
		c = bpf_map_lookup_elem(&ports, &from);
		if (c)
			class = *c;
		else if (marked)
			class = tag & 3;
	}
	return class < CLASSES ? class : REST;
}

/* Remembers whose connection it is, for its other direction. */
static __always_inline void learn(struct __sk_buff *skb, __u32 class)
{
	struct flow f = {};
	struct header h = {};
	__u8 *known, value = class;

	if (parse(skb, &f, &h))
		return;
	__builtin_memcpy(f.local, h.src, 16);
	__builtin_memcpy(f.remote, h.dst, 16);
	f.local_port = h.port[0];
	f.remote_port = h.port[1];
	known = bpf_map_lookup_elem(&flows, &f);
	if (known ? *known == value : class == REST)
		return;
	bpf_map_update_elem(&flows, &f, &value, 0);
}

static __always_inline __u32 recall(struct __sk_buff *skb)
{
	struct flow f = {};
	struct header h = {};
	__u8 *known;

	if (parse(skb, &f, &h))
		return REST;
	__builtin_memcpy(f.local, h.dst, 16);
	__builtin_memcpy(f.remote, h.src, 16);
	f.local_port = h.port[1];
	f.remote_port = h.port[0];
	known = bpf_map_lookup_elem(&flows, &f);
	return known && *known < CLASSES ? *known : REST;
}

static __always_inline void add(struct uplink *u, __u32 dir, __u32 class, __u32 bytes, int drop)
{
	__u32 at = (u->slot * DIRECTIONS + dir) * CLASSES + class;
	struct count *c = bpf_map_lookup_elem(&counts, &at);

	if (!c)
		return;
	if (drop) {
		c->dropped_bytes += bytes;
		c->dropped++;
	} else {
		c->bytes += bytes;
		c->packets++;
	}
}

static __always_inline __u64 less(__u64 a, __u64 b)
{
	return a > b ? a - b : 0;
}

static __always_inline __u64 least(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/*
 * What LS or the rest may send, bytes a second: their guarantee, or what the
 * others leave, to whom they have to leave no more than their guarantees.
 */
static __always_inline __u64 share(struct way *w, struct state *s, __u32 class)
{
	__u32 other = class == LS ? REST : LS;
	__u64 left = less(w->rate, least(s->was[other], w->floor[other]) + least(s->was[BE], w->floor[BE]));

	return left > w->floor[class] ? left : w->floor[class];
}

/*
 * What is set aside for LS on the way in, where its senders find room only as
 * fast as best-effort work's slow down. One that begins has its whole guarantee;
 * what it does not grow into goes back, by half in less than half a second, down
 * to a little more than it uses.
 */
static __always_inline void hold(struct state *s, struct way *w)
{
	__u64 need = s->was[LS] + s->was[LS] / GROW, floor = w->floor[LS];

	if (need > s->reserve) /* it begins, or grew out of it */
		s->reserve = need > floor ? need : floor;
	else
		s->reserve -= s->reserve / SHRINK;
	if (s->reserve < need)
		s->reserve = need;
	if (need < floor / SHRINK)
		s->reserve = need; /* next to nothing */
}

/* Closes the window if it is over. Called with the lock held. */
static __always_inline void turn(struct state *s, struct way *w, __u64 now)
{
	__u64 span = now - s->window;

	if (now < s->window || span < w->window)
		return;
#pragma unroll
	for (int c = 0; c < CLASSES; c++) {
		s->was[c] = s->used[c] * 1000000000ULL / span;
		s->used[c] = 0;
	}
	s->window = now;
	hold(s, w);
}

/* How long bytes take at a rate. */
static __always_inline __u64 takes(__u64 bytes, __u64 rate)
{
	return bytes * 1000000000ULL / (rate ? rate : 1);
}

static __always_inline __u64 later(__u64 a, __u64 b)
{
	return a > b ? a : b;
}

/*
 * When an outgoing packet may go, or 0 if too much of its class waits already.
 * Best-effort work goes when the link has sent all that was let go before, or
 * when its guarantee lets it, whichever is sooner; the others go by a clock of
 * their own at what they may have.
 */
static __always_inline __u64 depart(struct state *s, struct way *w, __u32 class, __u32 bytes, __u64 now)
{
	__u64 go, link;
	int owed = 0;

	bpf_spin_lock(&s->lock);
	turn(s, w, now);
	link = later(s->link, now);
	go = later(s->next[class], now);
	if (class == BE) {
		owed = go < link;
		if (!owed)
			go = link;
	}
	if (go > now + w->depth) {
		go = 0;
	} else {
		if (class != BE)
			s->next[class] = go + takes(bytes, share(w, s, class));
		else if (owed)
			s->next[BE] = go + takes(bytes, w->floor[BE]);
		s->link = least(link + takes(bytes, w->rate), now + 2 * w->depth);
		s->used[class] += bytes;
	}
	bpf_spin_unlock(&s->lock);
	return go;
}

/*
 * Whether an incoming packet of best-effort work is let in: at the rate of its
 * guarantee, or of what the others do not use and is not set aside for LS.
 */
static __always_inline int admit(struct state *s, struct way *w, __u32 bytes, __u64 now)
{
	__u64 rate, at;
	int ok;

	bpf_spin_lock(&s->lock);
	turn(s, w, now);
	rate = later(less(w->rate, s->reserve + s->was[REST]), w->floor[BE]);
	at = later(s->next[BE], now - BURST_NS);
	ok = at <= now;
	if (ok) {
		s->next[BE] = at + takes(bytes, rate);
		s->used[BE] += bytes;
	}
	bpf_spin_unlock(&s->lock);
	return ok;
}

/* Counts what is not held to anything, so that the others' shares are known. */
static __always_inline void note(struct state *s, struct way *w, __u32 class, __u32 bytes, __u64 now)
{
	bpf_spin_lock(&s->lock);
	turn(s, w, now);
	s->used[class] += bytes;
	bpf_spin_unlock(&s->lock);
}

/* What a packet is on the wire, the headers of all its segments included. */
static __always_inline __u32 wire(struct __sk_buff *skb)
{
	return skb->wire_len ? skb->wire_len : skb->len;
}

/*
 * What an incoming packet was on the wire. The card or the kernel may have put
 * many into one (GRO), whose headers are gone: 14 bytes of Ethernet, 20 or 40
 * of IP and 32 of TCP each.
 */
static __always_inline __u32 received(struct __sk_buff *skb)
{
	__u32 more = skb->gso_segs, header = skb->protocol == bpf_htons(ETH_P_IPV6) ? 86 : 66;

	return wire(skb) + (more > 1 ? (more - 1) * header : 0);
}

static __always_inline struct state *state_of(struct uplink *u, __u32 dir)
{
	__u32 at = u->slot * DIRECTIONS + dir;

	return bpf_map_lookup_elem(&states, &at);
}

SEC("tc")
int egress_htb(struct __sk_buff *skb)
{
	__u32 at = skb->ifindex, class;
	struct uplink *u = bpf_map_lookup_elem(&uplinks, &at);

	if (!u)
		return TC_ACT_UNSPEC;
	class = class_of(skb, u->major);
	learn(skb, class);
	add(u, OUT, class, wire(skb), 0);
	/* Minor 0x10 is LS, 0x20 BE; the rest goes to the default class. A
	 * process that chose one of these itself is not let have it. */
	if (class != REST)
		skb->priority = u->major << 16 | class << 4;
	else if (skb->priority >> 16 == u->major)
		skb->priority = 0;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int egress_edt(struct __sk_buff *skb)
{
	__u32 at = skb->ifindex, class, bytes = wire(skb);
	struct uplink *u = bpf_map_lookup_elem(&uplinks, &at);
	struct state *s;
	__u64 now, go;

	if (!u)
		return TC_ACT_UNSPEC;
	class = class_of(skb, u->major);
	learn(skb, class);
	s = state_of(u, OUT);
	if (!s)
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_ns();
	go = depart(s, &u->way[OUT], class, bytes, now);
	add(u, OUT, class, bytes, !go);
	if (!go)
		return TC_ACT_SHOT;
	/* TCP may have its own pace, which is kept where it is slower. */
	if (go > now && go > skb->tstamp)
		skb->tstamp = go;
	return TC_ACT_UNSPEC;
}

SEC("tc")
int ingress(struct __sk_buff *skb)
{
	__u32 at = skb->ifindex, class, bytes = received(skb);
	struct uplink *u = bpf_map_lookup_elem(&uplinks, &at);
	struct state *s;
	__u64 now;
	int drop = 0;

	if (!u)
		return TC_ACT_UNSPEC;
	class = recall(skb);
	if (u->way[IN].rate) {
		s = state_of(u, IN);
		if (!s)
			return TC_ACT_UNSPEC;
		now = bpf_ktime_get_ns();
		if (class == BE)
			drop = !admit(s, &u->way[IN], bytes, now);
		else
			note(s, &u->way[IN], class, bytes, now);
	}
	add(u, IN, class, bytes, drop);
	return drop ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

SEC("tc")
int port(struct __sk_buff *skb)
{
	__u32 at = skb->ifindex;
	__u8 *c = bpf_map_lookup_elem(&ports, &at);

	if (c && *c != REST && *c < CLASSES)
		skb->queue_mapping = TAG | *c;
	return TC_ACT_UNSPEC;
}
