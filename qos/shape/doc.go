// Package shape shares a network interface between latency-sensitive work,
// best-effort work and the rest: each has a guaranteed rate and may take what
// the others leave.
//
// On the way out, packets are told apart by an eBPF program (bpf/shape.bpf.c)
// and held to their rates by HTB, or by a time of departure (EDT) where the
// kernel has the fq qdisc. On the way in, where packets have come over the link
// already, best-effort work's excess is dropped, so that its senders slow down.
//
// Whose packet it is: that of a socket by its cgroup in the cgroup2 hierarchy,
// that of a container with a network namespace of its own by the host's end of
// its veth pair. That is known at the uplink as the interface a packet came
// from, unless a bridge lies between: then the bridge's port marks the packet in
// skb->queue_mapping, the only field that routing leaves alone and nobody else
// gives a meaning to on the way (skb->mark belongs to kube-proxy and others,
// skb->priority is overwritten by ip_forward). An incoming packet is known by
// its connection, whose outgoing packets were seen with the addresses that the
// wire has, after NAT.
//
// Sources: tc-htb(8), tc-fq(8), tc-bpf(8); net/sched/{sch_htb,sch_fq,cls_bpf}.c;
// EDT: "Evolving from AFAP: Teaching NICs about time", netdev 0x12.
package shape
