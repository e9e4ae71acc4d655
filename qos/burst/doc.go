// Package burst holds the whole reasoning of CPU Burst and touches no file: a planner for kernel bandwidth settings, the exact bound on what a plan
// may use, a simulator of the kernel's token bucket, the Monte-Carlo overload estimate for many such groups, the learner that finds the burst a
// workload needs, and the ledger of agent-side credit. Everything is a pure function or a replayable state machine: time is passed in, randomness
// comes from a seed, and reading or writing cgroup files is the caller's business.
//
// # Kernel model
//
// A group with period P, quota Q and burst B owns one pool of run time. Each P the kernel adds Q and cuts the pool to the depth D = Q + B; a group
// that finds the pool empty is throttled until the next refill (kernel/sched/fair.c, __refill_cfs_bandwidth_runtime and do_sched_cfs_period_timer).
// On mainline B may not exceed Q, so D is at most 2Q = 2rP for a limit of r CPUs: a stock kernel gets a deeper bucket only by a longer period, which
// is what [NewPlan] trades against the stall of an exhausted group. ANCK lifts that rule.
//
// Three kernel facts shape callers. Writing quota, period or burst, even to the value it already has, adds one quota to the pool and ends throttling
// at once: write on change only, and see [Credit] for the deliberate use of it. throttled_time in cpu.stat grows when a group is unthrottled, not
// while it waits, so an agent needs other evidence of a stall in progress. And a child's quota/period on cgroup v1 may not exceed its parent's.
//
// Times are [Micros], the unit of the kernel files, or time.Duration where nothing is written to the kernel. No type here is safe for concurrent use
// unless it says so; nothing blocks except [MonteCarlo], and nothing logs.
package burst
