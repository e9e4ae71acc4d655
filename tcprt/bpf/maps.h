/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* maps.h: what is kept of connections, services and requests, and what user space sets. */
#ifndef ANOLE_TCPRT_MAPS_H
#define ANOLE_TCPRT_MAPS_H

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
	/* 12 to 14 are set outside of the kernel */
	ONE_WAY = 1 << 15,   /* a last message, after which the asking side left at once */

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

	WAKE = 2048, /* records of a CPU, after each of which a reader is waked */
	SERVICES = 256,

	/* how long a delayed acknowledgement waits, TCP_DELACK_MIN to _MAX and a bit, ms */
	DELACK_LEAST = 30,
	DELACK_MOST = 220,
	/* how soon after its beginning a message's sender leaves who waits for no answer,
	 * and how soon the server does, ms */
	LEAVES = 10,
	ENDS = 1000,
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

/* Ports that somebody listens on, or did: netns << 16 | port. */
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
	__uint(max_entries, 4 << 20); /* or more */
} records SEC(".maps");

struct total {
	__u64 records;
	__u64 dropped; /* no room in the ring */
	__u64 synacks; /* retransmitted, of connections that are none yet */
	__u64 strays;  /* retransmitted segments of connections that never were */
	__u64 unopened; /* connections that the kernel had no room for, each time it was tried */
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
	__u64 requests, aborted_requests, aborted_answers, one_way, overlaps, piggybacks;
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

#endif
