// Package sim runs a fleet of nodes in simulated time under the decisions that
// the agent takes: control.Node is stepped with the signals of a model node, as
// the agent steps it with those of the kernel. Several policies, and the two
// ways of doing without one, run side by side on the same load.
//
// # What is modelled
//
// Time goes in ticks (1 s unless told otherwise). In each, on each node:
//
//   - Latency-sensitive (LS) services have an open load: a demand in cores read
//     from a series of samples, joined by straight lines, times noise that is
//     autocorrelated over a few ticks, times bursts of a few seconds that begin at random.
//     What is not served waits, and is given up after Options.Timeout. Sharing
//     caches, SMT and memory bandwidth with best-effort work makes requests
//     dearer: demand grows by Options.Interference times the share of the node
//     that best-effort work uses.
//   - CPU limits are token buckets: the quota's rate, and a bank as deep as the
//     burst in force. Within a tick demand is taken as a sum of requests of
//     exponential length at random times, so the share of enforcement periods
//     that run out of quota is a normal tail.
//   - Best-effort (BE) jobs are graphs of tasks, a task is a number of equal
//     instances, an instance has CPU, memory and work in core-seconds. Instances
//     of one task that were placed together are one workload (one cgroup).
//   - The CPU goes to LS first where BE yields (cpu.idle and its kin), by weight
//     in proportion to requests where nothing protects it. BE keeps to its
//     quotas, which control.Node gave. BE gets no more than is left.
//   - The p99 of an LS request is its own exponential length, plus waiting in a
//     queue of as many servers as LS may use CPUs (M/M/c by Sakasegawa's
//     approximation, "An approximation formula Lq = α·ρ^β/(1−ρ)", 1977, the tail
//     exponential), plus waiting for a BE task to leave the CPU, plus what is
//     queued already, plus the wait for quota. A service violates its objective
//     in a tick if that is above Options.SLO times the p99 on an idle node.
//   - Memory: services use what their series says, instances what they ask for.
//     Where that does not fit the kernel kills the largest BE work, which loses
//     what it did and is queued again. With evict: kill in the policy the agent's
//     own evictor comes before.
//   - Work that got almost nothing for Options.Starve is moved, by the batch
//     scheduler's patience.
//   - Placement is not ours, so it is the simplest that can be stated: first come
//     first served, onto the node with the most reclaimable CPU that has memory,
//     where reclaimable is Options.Pack of the node less LS use (averaged over a
//     minute) less what BE there asks for. It is the same for all policies.
//
// # What is not, and why that suffices
//
// Single requests, single CPUs, caches, disks and networks are not there: the
// question is what a policy does to a fleet in a day, where load moves in
// seconds to hours, and the figures that matter (idle capacity used, time in
// violation, work lost) are sums over many nodes. The constants that stand for
// the kernel (how long a waking thread waits behind BE) are from measurements
// of this repository, and are options. The real-time lane, steering, SCHED_IDLE,
// bounds and reclaim of memory, IO and network have no place in the model. The
// controllers run once in a tick if that is longer than the policy's interval:
// with ticks of 1 s they react later than the agent does, so that violations are
// on the high side.
//
// # Sameness
//
// The same input, options and seed give the same report, byte for byte, on any
// number of CPUs of one architecture: each node has its own random stream, and
// sums over nodes are taken in their order. (Other architectures may fuse
// multiplication and addition and so round differently.)
//
// In each tick it is checked that nothing came from nowhere: see ConservationError.
package sim
